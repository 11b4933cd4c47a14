"""Who asks for a run, how often, and what happens when one is under way."""

from decimal import Decimal

import pytest
from celery.exceptions import Retry
from django.utils import timezone

from config.celery import app
from core.storage.redis import client as redis_client
from positions.book import Leg
from positions.models import Account
from positions.venues.base import PositionRow, Report
from reconciliation import tasks
from reconciliation.models import Run, Trigger
from reconciliation.runs import runs

pytestmark = pytest.mark.django_db


@pytest.fixture
def sent(monkeypatch):
    """What workers were asked for, instead of asking any."""
    found = []
    monkeypatch.setattr(
        tasks.reconcile_account, "apply_async", lambda args, **options: found.append((*args, options))
    )
    return found


class TestTheBeat:
    def test_asks_for_every_account_each_interval(self, settings, stage, sent):
        account = stage.account()
        entry = app.conf.beat_schedule["reconciliation"]
        assert entry["schedule"] == settings.RECONCILIATION_INTERVAL
        assert entry["options"]["expires"] < settings.RECONCILIATION_INTERVAL
        app.tasks[entry["task"]]()
        [(asked, options)] = sent
        assert asked == account.pk
        assert options["expires"] < settings.RECONCILIATION_INTERVAL

    def test_leaves_out_paused_and_manual_accounts(self, stage, sent):
        stage.account(enabled=False)
        tasks.reconcile_accounts()
        assert not sent


class TestARequest:
    def test_waits_alone_however_often_it_is_repeated(self, stage, sent):
        account = stage.account()
        asked = [tasks.request_run(account_id=account.pk) for _ in range(5)]
        assert asked == [True, False, False, False, False]
        assert [one[:2] for one in sent] == [(account.pk, "targeted")]

    def test_after_a_run_began_is_another_and_not_at_once(self, stage, sent):
        account = stage.account()
        tasks.request_run(account_id=account.pk)
        tasks.reconcile_account(account.pk, Trigger.TARGETED)
        assert Run.objects.get().trigger == "targeted"
        assert tasks.request_run(account_id=account.pk)
        assert 0 < sent[-1][-1]["countdown"] <= tasks.SPACED

    def test_after_a_reconnect_is_not_held_back_by_one_for_a_difference(self, stage, sent):
        account = stage.account()
        assert tasks.request_run(account_id=account.pk)
        assert tasks.request_run(account_id=account.pk, trigger=Trigger.RECONNECT)
        assert sent[-1][-1]["countdown"] == 0

    def test_that_meets_a_run_under_way_is_tried_again(self, stage):
        account = stage.account()
        runs.begin(account=account, now=stage.now(), trigger="demand", trace_id="t")
        with pytest.raises(Retry):
            tasks.reconcile_account.apply((account.pk, Trigger.RECONNECT), throw=True)
        tasks.reconcile_account.apply((account.pk, Trigger.SCHEDULE), throw=True)

    def test_without_redis_says_that_nobody_was_asked(self, stage, sent, monkeypatch):
        account = stage.account()

        def broken(*args, **options):
            raise tasks.redis.ConnectionError("down")

        monkeypatch.setattr(redis_client(), "set", broken)
        assert not tasks.request_run(account_id=account.pk)
        assert not sent

    def test_for_an_account_that_is_paused_does_nothing(self, stage):
        account = stage.account(enabled=False)
        tasks.reconcile_account(account.pk, Trigger.TARGETED)
        assert not Run.objects.exists()


class TestAnObservedReport:
    """What is done about a report that no stream brought, at a venue that paces its lists of fills."""

    @pytest.fixture
    def report(self, monkeypatch):
        """Report these quantities of BTC for an account whose book holds none; returns a True for each time
        that its fills were asked for.
        """
        account = Account.objects.create(
            label="polled", venue="hyperliquid", address="0x" + "1" * 40, created_at=timezone.now()
        )
        asked = []
        monkeypatch.setattr(
            tasks.poll_account_fills, "apply_async", lambda arguments, expires: asked.append(arguments[0])
        )

        def report(*quantities):
            now = timezone.now()
            rows = [PositionRow(venue_symbol="BTC", leg=Leg.NET, quantity=Decimal(one), currency="USDC")
                    for one in quantities]  # fmt: skip
            stated = Report(as_of=now, as_of_source="venue", received_at=now, positions=tuple(rows))
            monkeypatch.setattr(tasks.poll, "report", lambda **_: stated)
            tasks.observe_account(account.pk)
            return [pk == account.pk for pk in asked]

        return report

    def test_that_differs_in_size_has_the_fills_asked_for_at_once_but_not_all_the_time(self, report):
        assert report("0.5") == [True]
        assert report("0.5") == [True]

    def test_that_agrees_has_nothing_asked_for(self, report):
        assert report() == []
