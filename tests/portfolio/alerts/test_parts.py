"""Each part that dies raises its alert, and its recovery."""

import pytest

from portfolio.alerts import parts
from portfolio.models import Alert
from tests.portfolio.alerts.scene import PARTS, told


class TestAPart:
    @pytest.mark.parametrize("part", PARTS)
    def test_that_is_killed_is_told_and_so_is_its_return(self, scene, part):
        scene.for_seconds(60)
        scene.dead = {part}
        scene.for_seconds(120)
        assert Alert.objects.get().subject == f"part:{part}"
        assert told() == ["raised"]
        scene.dead = set()
        scene.for_seconds(60)
        assert told() == ["raised", "cleared"]

    def test_that_restarts_within_its_wait_is_not_told(self, scene):
        scene.dead = {"web"}
        scene.for_seconds(30)
        scene.dead = set()
        scene.for_seconds(60)
        assert told() == []

    def test_that_lives_and_does_no_work_is_down(self, scene, monkeypatch):
        monkeypatch.setitem(parts.health.PARTS, "worker", lambda now: "last heartbeat 60 s ago")
        scene.for_seconds(60)
        assert Alert.objects.get().title == "DOWN worker: it does no work: last heartbeat 60 s ago"

    def test_the_disk_is_told_when_it_is_nearly_full(self, scene, monkeypatch):
        usage = type("Usage", (), {"total": 100 * parts.GIB, "free": parts.GIB // 2})
        monkeypatch.setattr(parts.shutil, "disk_usage", lambda folder: usage)
        scene.for_seconds(60)
        assert Alert.objects.get().title == "DOWN disk: 0.5 GiB free, 0.5 %"
        usage.free = 6 * parts.GIB  # more than where it begins, less than where it ends
        scene.for_seconds(60)
        assert told() == ["raised"]
        usage.free = 10 * parts.GIB
        scene.for_seconds(60)
        assert told() == ["raised", "cleared"]
