"""Each part that dies raises its alert, and its recovery."""

from datetime import timedelta
from types import SimpleNamespace

import pytest

from portfolio.alerts import parts
from portfolio.models import Alert, Delivery
from tests.portfolio.alerts.scene import PARTS, told
from tests.portfolio.notify.stage import Stage


@pytest.fixture
def stage(scene):
    return Stage(scene.now, scene.account)


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

    def test_the_clock_is_told_when_it_differs_from_that_of_postgres(self, scene, monkeypatch):
        real, wrong = parts.timezone.now, timedelta(seconds=3)
        monkeypatch.setattr(parts, "timezone", SimpleNamespace(now=lambda: real() + wrong))
        scene.for_seconds(60)
        [alert] = Alert.objects.all()
        assert alert.title.startswith("DOWN clock: it differs from that of Postgres by ")
        wrong = timedelta(seconds=1.5)  # less than where it begins, more than where it ends
        scene.for_seconds(60)
        assert told() == ["raised"]
        wrong = timedelta(0)
        scene.for_seconds(60)
        assert told() == ["raised", "cleared"]

    def test_the_outbox_is_told_when_mails_wait_in_it_and_not_when_quiet_hours_hold_them(self, scene, stage):
        stage.person("ada")
        stage.now = scene.now
        stage.raised(subject="waits")
        Delivery.objects.update(held="quiet hours")
        scene.for_seconds(400, every=20)
        assert told("component_down") == []
        Delivery.objects.update(held="", last_error="451 try again later")
        scene.for_seconds(40)
        [alert] = Alert.objects.filter(kind="component_down")
        assert alert.title.startswith("DOWN outbox: 1 messages wait, the oldest for ")
        assert alert.title.endswith(": 451 try again later")
        Delivery.objects.update(state="sent", sent_at=scene.now)
        scene.for_seconds(20)
        assert told("component_down") == ["raised", "cleared"]
