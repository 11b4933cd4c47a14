"""Evaluations that race or die, without Redis, and what people do meanwhile: one alert all the same."""

import threading
from datetime import timedelta

import pytest
import redis
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from portfolio.alerts import evaluate as evaluating
from portfolio.alerts import store
from portfolio.alerts.evaluate import evaluate
from portfolio.models import Alert, AlertTransition
from tests.portfolio.alerts.scene import Scene, alerts, told
from tests.portfolio.market import BTC, Market


class TestTwoEvaluators:
    def test_do_not_judge_by_an_older_reading(self, scene):
        scene.tick()
        assert evaluate(scene.now - timedelta(seconds=1)) is None

    @pytest.mark.django_db(transaction=True)
    def test_that_race_raise_one_alert(self):
        scene = Scene(timezone.now())
        scene.verdict("DRIFT")
        start, failed = threading.Barrier(6), []

        def run(number):
            start.wait()
            try:
                for step in range(20):
                    evaluate(scene.now + timedelta(milliseconds=step * 500 + number))
            except DatabaseError as error:
                failed.append(error)
            finally:
                connection.close()

        threads = [threading.Thread(target=run, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        assert [alert.kind for alert in alerts()] == ["drift"]
        assert told() == ["raised"]


class TestACrash:
    def test_between_evaluation_and_commit_is_made_good_by_the_next_one(self, scene, monkeypatch):
        scene.verdict("DRIFT")

        def dies(*_, **__):
            raise DatabaseError("killed")

        with monkeypatch.context() as broken:
            broken.setattr(store, "note_evaluation", dies)
            with pytest.raises(DatabaseError):
                scene.tick()
        assert (alerts(), told()) == ([], [])
        scene.tick()
        assert told() == ["raised"]

    def test_before_publishing_is_made_good_within_seconds(self, scene, monkeypatch):
        scene.verdict("DRIFT")
        with monkeypatch.context() as broken:
            broken.setattr(evaluating, "_publish", lambda *_, **__: None)
            scene.tick()
        published = []
        monkeypatch.setattr(
            evaluating.publishing, "live", type("L", (), {"append": lambda **one: published.append(one)})
        )
        scene.tick(10)
        assert [one["frame"]["kind"] for one in published] == ["drift"]
        assert published[0]["account"] == scene.account.pk


class TestAcknowledging:
    def test_is_kept_with_who_and_when_and_ends_escalation(self, scene):
        scene.verdict("DRIFT")
        scene.tick()
        row = store.acknowledge(alert=alerts()[0].pk, who="anna", now=scene.now)
        store.acknowledge(alert=row.pk, who="bob", now=scene.now)
        scene.for_seconds(1200, every=60)
        assert told("drift") == ["raised", "acknowledged"]
        assert (row.acknowledged_by, row.state) == ("anna", "acknowledged")

    def test_of_what_is_over_is_refused(self, scene):
        scene.verdict("DRIFT")
        scene.tick()
        scene.verdict("SYNCED")
        scene.tick()
        with pytest.raises(store.NotOpen):
            store.acknowledge(alert=alerts()[0].pk, who="anna", now=scene.now)


class TestAMute:
    def test_keeps_an_alert_from_being_told_and_not_from_being_raised(self, scene):
        store.mute(
            kind="drift",
            reason="maintenance",
            until=scene.now + timedelta(minutes=5),
            who="anna",
            now=scene.now,
        )
        scene.verdict("DRIFT")
        scene.tick()
        assert (len(alerts()), told()) == (1, [])
        scene.for_seconds(320, every=10)
        assert told("drift") == ["raised"]


class TestRedisAway:
    def test_is_an_alert_and_the_rest_goes_on(self, scene, monkeypatch):
        scene.verdict("DRIFT")
        scene.tick()

        def gone(*_, **__):
            raise redis.ConnectionError("gone")

        class Gone:
            ping = xrange = hset = hgetall = get = gone

        monkeypatch.setattr("portfolio.alerts.parts.client", Gone)
        monkeypatch.setattr("portfolio.alerts.marks.client", Gone)
        scene.verdict("SYNCED")
        for _ in range(8):
            scene.tick(5)
        assert told("component_down") == ["raised"]
        assert Alert.objects.get(kind="drift").state == "cleared"
        assert AlertTransition.objects.filter(alert__kind="feed_silent").count() == 0


class TestAnEvaluationInWhichNothingChanges:
    """It runs each second: what it asks must not grow with what is held, nor with what is open."""

    def questions(self, scene):
        with CaptureQueriesContext(connection) as asked:
            evaluate(scene.now + timedelta(seconds=1))
        return [one["sql"].partition("(")[0][:60] for one in asked]

    def test_asks_no_more_of_many_accounts_and_makes_no_rows_of_open_alerts(self, scene, monkeypatch):
        scene.position()
        scene.tick(2)
        few = self.questions(scene)
        for number in range(5):
            market = Market(now=scene.now, label=f"other {number}")
            market.fill("buy", "0.5", "60000", now=scene.now)
            market.state(BTC, now=scene.now, quantity="0.5", liquidation_price="59000")
        scene.dead = {"web", "stream"}
        scene.for_seconds(50)
        assert Alert.objects.filter(cleared_at=None).exclude(told_at=None).count() >= 7
        made = []
        monkeypatch.setattr(Alert, "from_db", classmethod(lambda *_: made.append(1)))
        many = self.questions(scene)
        assert made == []
        assert len(many) <= len(few) + 1, many  # the mutes, which matter only where something is open
        assert len(many) <= 14, many
