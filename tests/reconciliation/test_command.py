"""Reconciliation by command and by a worker: `manage.py reconcile`, and runs that pages and bots begin."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from core.security.scopes import Scope
from positions.models import Account
from positions.sync import connections, poll
from reconciliation import tasks
from reconciliation.models import Run
from reconciliation.runs import runs
from tests.reconciliation.conftest import leg
from tests.reconciliation.stage import IMPATIENT

pytestmark = pytest.mark.django_db


@pytest.fixture
def reconcile(stage, monkeypatch):
    """The command in the stage's time; returns (what it printed, why it failed or None)."""
    monkeypatch.setattr("reconciliation.management.commands.reconcile.timezone.now", stage.now)
    begin = runs.reconcile

    def in_stage_time(**options):
        connections.connect(account=options["account"]).client.retries = IMPATIENT
        return begin(**options, pause=stage.wait)

    monkeypatch.setattr("reconciliation.management.commands.reconcile.runs.reconcile", in_stage_time)

    def call(*labels):
        told = StringIO()
        try:
            call_command("reconcile", *labels, stdout=told)
        except CommandError as error:
            return told.getvalue(), str(error)
        return told.getvalue(), None

    return call


class TestTheCommand:
    def test_says_that_everything_is_proven(self, stage, account, reconcile):
        stage.trade("ETH", "buy", 2)
        stage.wait(5)
        told, problem = reconcile()
        assert told == "main: complete; 2 compared, 0 differ\n"
        assert problem is None
        assert leg(account).status == "SYNCED"

    def test_names_what_differs_and_fails(self, stage, account, reconcile):
        stage.do("withhold", what="fill", count=1)
        stage.trade("ETH", "buy", 1)
        stage.wait(5)
        told, problem = reconcile("main")
        assert "ETH: missing_in_book: book 0, venue 1" in told
        assert problem == "not everything is proven"

    def test_fails_for_a_venue_that_cannot_be_read_and_says_why(self, stage, account, reconcile):
        stage.fail("status", status=500)
        told, problem = reconcile()
        assert "incomplete" in told
        assert "500" in told
        assert problem

    def test_refuses_a_label_that_there_is_not(self, stage, account, reconcile):
        before = Run.objects.count()
        assert reconcile("main", "mian") == ("", "there is no account mian")
        assert Run.objects.count() == before

    def test_says_that_another_run_is_under_way(self, stage, account, reconcile):
        runs.begin(account=account, now=stage.now(), trigger="schedule", trace_id="t")
        told, problem = reconcile()
        assert "under way" in told
        assert problem

    def test_goes_on_to_the_next_account_after_one_that_is_not_proven(self, stage, account, reconcile):
        Account.objects.create(
            label="broken", venue="hyperliquid", environment="simulated", base_url="http://127.0.0.1:1",
            address="0x" + "ef" * 20, created_at=stage.now(),
        )  # fmt: skip
        told, problem = reconcile()
        assert [line.split(":")[0] for line in told.splitlines()] == ["broken", "main"]
        assert problem


class TestAWorker:
    @pytest.fixture
    def begun(self, stage, account, monkeypatch):
        """A run that somebody began by the API, handed over and not yet carried out."""
        handed = []
        monkeypatch.setattr(tasks.carry_out_run, "delay", handed.append)
        monkeypatch.setattr("reconciliation.tasks.timezone.now", stage.now)
        told = tasks.begin_now(account=account, trace_id="mine")
        assert handed == [told["run_id"]]
        return Run.objects.get(pk=told["run_id"])

    def test_carries_out_what_was_begun_under_the_same_trace(self, stage, begun):
        tasks.carry_out_run(begun.pk)
        begun.refresh_from_db()
        assert (begun.complete, begun.trigger, begun.trace_id) == (True, "demand", "mine")
        assert begun.finished_at

    def test_that_is_handed_it_twice_does_it_once(self, stage, begun, monkeypatch):
        tasks.carry_out_run(begun.pk)
        monkeypatch.setattr(poll, "report", lambda **_: pytest.fail("the venue was asked again"))
        tasks.carry_out_run(begun.pk)

    def test_leaves_a_run_that_was_given_up_as_it_is(self, stage, begun):
        Run.objects.update(finished_at=stage.now(), problem="given up: it did not finish in time")
        tasks.carry_out_run(begun.pk)
        begun.refresh_from_db()
        assert (begun.as_of, begun.problem) == (None, "given up: it did not finish in time")

    def test_of_a_run_that_is_gone_does_nothing(self, db):
        tasks.carry_out_run(987_654)

    def test_that_breaks_off_leaves_a_certificate_that_says_so(self, stage, begun, monkeypatch):
        def broken(**_):
            raise ZeroDivisionError

        monkeypatch.setattr(poll, "report", broken)
        with pytest.raises(ZeroDivisionError):
            tasks.carry_out_run(begun.pk)
        begun.refresh_from_db()
        assert "broke off: ZeroDivisionError" in begun.problem
        assert begun.finished_at

    def test_shows_what_it_does_while_it_does_it(self, stage, begun, client, api_key, monkeypatch):
        report, seen = poll.report, []

        def watched(**options):
            url = f"/api/v1/reconciliation/runs/{begun.pk}"
            seen.append(client.get(url, headers=api_key(Scope.READ)).json())
            return report(**options)

        monkeypatch.setattr(poll, "report", watched)
        tasks.carry_out_run(begun.pk)
        assert {(one["state"], one["step"]) for one in seen} == {("running", "reading the venue's state")}
