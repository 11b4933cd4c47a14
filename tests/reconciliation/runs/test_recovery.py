"""A process that dies between keeping a correction, booking it and hearing the venue's word on it."""

import pytest
from django.utils import timezone

from positions import ingest
from reconciliation.cases import resolve
from reconciliation.cases.effects import PlanRefusal
from reconciliation.cases.plans import plan
from reconciliation.models import Correction
from reconciliation.runs import runs
from tests.reconciliation.conftest import booked, cases, held, leg

pytestmark = pytest.mark.django_db


class Killed(BaseException):
    """Stands for kill -9: nothing after it is carried out, no handler takes it for an error."""


@pytest.fixture
def case(stage, account):
    """3 ETH long, 1 of them sold behind our back."""
    stage.trade("ETH", "buy", 3)
    stage.minutes(account)
    stage.do("withhold", what="fill", count=1)
    stage.trade("ETH", "sell", 1)
    stage.minutes(account, 2)
    return next(one for one in cases(account) if one.family == "size")


def adopt(stage, case):
    return resolve.apply(
        planned=plan(case=case, action="adopt_venue"), who="ada", reason="seen at the venue",
        now=stage.now(), trace_id="t",
    )  # fmt: skip


def die_before_booking(monkeypatch):
    def record(**options):
        raise Killed

    monkeypatch.setattr(ingest, "record", record)


def die_after_booking(monkeypatch):
    record = ingest.record

    def and_die(**options):
        record(**options)
        raise Killed

    monkeypatch.setattr(ingest, "record", and_die)


def killed(stage, case, monkeypatch, how):
    with monkeypatch.context() as patch:
        how(patch)
        with pytest.raises(Killed):
            adopt(stage, case)
    correction = Correction.objects.get()
    assert correction.outcome == ""
    return correction


class TestACorrectionWhoseProcessDied:
    def test_before_booking_is_called_broken_off_and_can_be_done_again(self, stage, case, monkeypatch):
        correction = killed(stage, case, monkeypatch, die_before_booking)
        stage.minutes(case.account, 2)
        correction.refresh_from_db()
        assert correction.outcome == "broken_off"
        assert "may be done again" in case.events.get(kind="broken_off").text
        assert not booked(case.account, cause="inferred").exists()
        case.refresh_from_db()
        again = adopt(stage, case)
        assert again.entries == correction.entries
        stage.minutes(case.account)
        assert held(case.account) == {"ETH": 2}

    def test_after_booking_is_concluded_by_the_next_run(self, stage, case, monkeypatch):
        correction = killed(stage, case, monkeypatch, die_after_booking)
        assert held(case.account) == {"ETH": 2}
        stage.minutes(case.account, 2)
        correction.refresh_from_db()
        assert correction.outcome == "agrees"
        assert booked(case.account, cause="inferred").count() == 1
        case.refresh_from_db()
        assert case.state == "resolved"
        assert leg(case.account).status == "SYNCED"

    def test_is_left_alone_while_it_may_still_be_under_way(self, stage, case, monkeypatch):
        correction = killed(stage, case, monkeypatch, die_before_booking)
        stage.wait(2)
        stage.reconcile(case.account)
        correction.refresh_from_db()
        assert correction.outcome == ""

    def test_cannot_be_taken_back_when_it_booked_nothing(self, stage, case, monkeypatch):
        correction = killed(stage, case, monkeypatch, die_before_booking)
        with pytest.raises(PlanRefusal, match="never booked"):
            resolve.undo(correction=correction, who="ada", reason="x", now=stage.now(), trace_id="t")

    def test_does_not_keep_policy_from_trying_again(self, stage, case, monkeypatch):
        killed(stage, case, monkeypatch, die_before_booking)
        resolve.set_policy(account=None, family="size", mode="adopt", who="ada", now=timezone.now())
        stage.minutes(case.account, 2)
        automatic = Correction.objects.get(automatic=True)
        assert automatic.outcome == "agrees"
        assert held(case.account) == {"ETH": 2}


class TestARunThatDied:
    def test_is_given_up_and_the_next_one_proves_what_it_did_not(self, stage, account, monkeypatch):
        def die(*options, **named):
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(runs, "_finish", die)
            with pytest.raises(Killed):
                stage.reconcile(account)
        stage.trade("ETH", "buy", 1)
        stage.wait(60)
        with pytest.raises(runs.RunConflict):
            stage.reconcile(account)
        stage.wait(runs.EXPIRES_AFTER.total_seconds())
        assert stage.reconcile(account).complete
        assert leg(account).status == "SYNCED"
