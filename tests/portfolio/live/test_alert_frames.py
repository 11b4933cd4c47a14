"""Alerts on the stream: each change once, to who may see it."""

import asyncio

from portfolio.live.alert_frames import AlertFrames
from portfolio.live.schema import Frame
from portfolio.live.sockets import SocketFilter
from positions import live
from tests.portfolio.live.hub_stage import joined, until

EVERYTHING, ONE = SocketFilter(None, "named"), SocketFilter(frozenset({1}), "named")
ALERT = {
    "id": 7, "kind": "drift", "kind_label": "Drift", "severity": "critical", "state": "raised", "title": "T",
    "summary": "S", "account_id": 1, "account": "main", "told": True, "explained_by": None,
    "unjudged_since": None, "acknowledged_at": None, "acknowledged_by": "", "cleared_at": None,
    "raised_at": "2026-12-01T00:00:00+00:00", "at": "2026-12-01T00:00:01+00:00",
}  # fmt: skip


class TestAlertFrames:
    def test_are_made_once_for_each_change(self):
        frames = AlertFrames()
        assert frames.take(1, ALERT) is not None
        assert frames.take(1, ALERT | {"at": "2026-12-01T00:00:11+00:00"}) is None
        assert frames.take(1, ALERT | {"state": "acknowledged"}) is not None

    def test_that_are_open_are_for_who_may_see_them(self):
        frames = AlertFrames()
        frames.take(1, ALERT)
        frames.take(2, ALERT | {"id": 8, "account_id": 2})
        frames.take(None, ALERT | {"id": 9, "kind": "allocation", "account_id": None})
        frames.take(None, ALERT | {"id": 10, "kind": "component_down", "account_id": None})
        frames.take(1, ALERT | {"id": 11, "cleared_at": "2026-12-01T00:00:00+00:00"})
        assert len(list(frames.open_for(EVERYTHING))) == 4
        assert [b'"id":7' in one or b'"id":10' in one for one in frames.open_for(ONE)] == [True, True]

    def test_are_described(self):
        frame = AlertFrames().take(1, ALERT)
        assert Frame.model_validate_json(frame).root.alert.id == 7

    def test_of_the_past_are_forgotten(self):
        frames = AlertFrames()
        for number in range(2000):
            frames.take(1, ALERT | {"id": number, "cleared_at": "2026-12-01T00:00:00+00:00"})
        assert len(frames._sent) <= 501


class TestAHub:
    async def test_sends_an_alert_to_who_may_see_its_account(self, hub, book):
        one, other = await joined(hub, accounts=[1]), await joined(hub, accounts=[2])
        await asyncio.to_thread(live.append, kind="alert", account=1, frame=ALERT)
        await until(lambda: one.all("alert"))
        late = await joined(hub, accounts=[1])
        assert [frame["alert"]["id"] for frame in late.all("alert")] == [7]
        assert other.all("alert") == []
