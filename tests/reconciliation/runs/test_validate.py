"""One position validated on demand, over HTTP, against the simulated venue."""

from datetime import timedelta
from decimal import Decimal as D

import pytest
from django.db import connection
from django.utils import timezone

from core.security.scopes import Scope
from positions.models import Account, Position
from positions.sync import poll
from reconciliation.cases import resolve
from reconciliation.models import Case, Correction, Run
from reconciliation.runs import runs
from reconciliation.runs.validate import validate
from tests.reconciliation.conftest import OTHER, leg

pytestmark = pytest.mark.django_db


@pytest.fixture
def clocks(stage, monkeypatch):
    """The web process lives in the stage's time."""
    monkeypatch.setattr("reconciliation.api.runs.timezone.now", stage.now)
    monkeypatch.setattr("core.storage.database.time.sleep", stage.wait)


@pytest.fixture
def long3(stage, account, clocks):
    """3 ETH long, proven."""
    stage.trade("ETH", "buy", 3)
    stage.minutes(account)
    return Position.objects.get(account=account, instrument__venue_symbol="ETH")


@pytest.fixture
def ask(client, api_key):
    """POST …/validate as somebody who may reconcile and correct."""
    headers = api_key(Scope.READ, Scope.RECONCILE, Scope.CORRECT)

    def ask(ref, status=200, query="", **body):
        answer = client.post(
            f"/api/v1/positions/{ref}/validate{query}", body, content_type="application/json", headers=headers
        )
        assert answer.status_code == status, answer.content
        return answer.json()

    return ask


def hide(stage, side="buy", size=1):
    """The venue trades, and does not tell of the fill."""
    stage.do("withhold", what="fill", count=1)
    stage.trade("ETH", side, size)
    stage.wait(5)


class TestABookThatIsRight:
    @pytest.mark.parametrize("ref", ["{id}", "ETH", "ETH/USDC:USDC"])
    def test_is_valid_by_id_asset_and_symbol(self, stage, long3, ask, ref):
        stage.wait(5)
        told = ask(ref.format(id=long3.pk))
        assert (told["is_valid"], told["error_message"], told["differences"]) == (True, None, [])
        assert told["updated_position"]["quantity"] == "3"
        run = Run.objects.get(pk=told["run_id"])
        assert (run.trigger, run.complete) == ("demand", True)

    def test_says_on_what_the_reading_rests(self, stage, long3, ask):
        stage.wait(5)
        told = ask(long3.pk)
        assert told["reading"] in ("recorded", "simulated", "unproven")
        assert bool(told["unproven_methods"]) == (told["reading"] == "unproven")

    def test_after_a_fill_that_was_not_read_yet_is_valid_with_the_fill_booked(self, stage, long3, ask):
        stage.trade("ETH", "buy", 2)
        stage.wait(5)
        told = ask(long3.pk)
        assert (told["is_valid"], told["updated_position"]["quantity"]) == (True, "5")

    def test_of_a_closed_position_is_valid_while_the_venue_holds_nothing(self, stage, long3, ask):
        stage.trade("ETH", "sell", 3)
        stage.minutes(long3.account)
        told = ask(long3.pk)
        assert (told["is_valid"], told["updated_position"]["status"]) == (True, "CLOSED")


class TestABookThatIsWrong:
    def test_is_invalid_with_both_sides_and_nothing_is_changed(self, stage, long3, ask):
        hide(stage)
        told = ask(long3.pk)
        assert told["is_valid"] is False
        assert told["error_message"] == "quantity: book says 3, venue says 4"
        [found] = [one for one in told["differences"] if one["kind"] == "quantity"]
        assert (found["book"], found["venue"]) == ("3", "4")
        assert told["updated_position"]["quantity"] == "3"
        assert told["fixed"] == []
        [left] = told["left"]
        assert left == {
            "case_id": Case.objects.get(family="size").pk,
            "why": "the policy is to alert only: act on the case",
        }

    def test_is_not_fixed_unless_that_is_asked_for_even_where_policy_would(self, stage, long3, ask):
        resolve.set_policy(account=None, family="size", mode="adopt", who="ada", now=timezone.now())
        hide(stage)
        told = ask(long3.pk)
        assert (told["is_valid"], told["fixed"]) == (False, [])
        assert told["left"][0]["why"] == "fix_discrepancies was not asked for"
        assert not Correction.objects.exists()

    def test_is_fixed_in_that_call_where_policy_allows(self, stage, long3, ask):
        resolve.set_policy(account=None, family="size", mode="adopt", who="ada", now=timezone.now())
        hide(stage)
        told = ask(long3.pk, fix_discrepancies=True)
        assert told["is_valid"] is True
        assert told["updated_position"]["quantity"] == "4"
        [done] = told["fixed"]
        assert (done["action"], done["outcome"]) == ("adopt_venue", "agrees")
        assert told["left"] == []

    def test_above_the_materiality_is_left_and_says_so(self, stage, long3, ask):
        resolve.set_policy(
            account=None, family="size", mode="adjust", materiality_usd=D(10), who="ada", now=timezone.now()
        )
        hide(stage)
        told = ask(long3.pk, query="?fix_discrepancies=true")
        assert (told["is_valid"], told["fixed"]) == (False, [])
        assert told["left"][0]["why"] == "above the materiality"

    def test_on_another_leg_does_not_make_this_one_invalid(self, stage, long3, ask):
        stage.do("withhold", what="fill", count=1)
        stage.trade("BTC", "buy", "0.01")
        stage.wait(5)
        assert ask(long3.pk)["is_valid"] is True


class TestAVenueThatCannotBeRead:
    def test_makes_it_neither_valid_nor_invalid(self, stage, long3, ask):
        stage.fail("status", status=500)
        told = ask(long3.pk)
        assert told["is_valid"] is None
        assert "could not be read" in told["error_message"]
        assert leg(long3.account).status == "SYNCED"

    def test_is_not_asked_while_the_account_is_paused(self, stage, long3, ask):
        until = stage.now() + timedelta(hours=1)
        Account.objects.update(paused_until=until, pause_reason="venue maintenance")
        before = Run.objects.count()
        told = ask(long3.pk)
        assert told["is_valid"] is None
        assert "venue maintenance" in told["error_message"]
        assert Run.objects.count() == before

    def test_is_never_asked_within_a_transaction(self, stage, long3, ask, monkeypatch):
        report, depths = poll.report, []

        def watched(**options):
            depths.append(len(connection.savepoint_ids))
            return report(**options)

        monkeypatch.setattr(poll, "report", watched)
        ask(long3.pk)
        assert depths
        assert set(depths) == {0}


class TestARunUnderWay:
    def test_is_waited_for_and_not_taken_for_ones_own(self, stage, long3):
        other = runs.begin(account=long3.account, now=stage.now(), trigger="schedule", trace_id="t")

        def pause(seconds):
            stage.wait(seconds)
            if Run.objects.filter(pk=other.pk, finished_at=None).exists():
                runs.carry_out(run=other, now=stage.now(), pause=stage.wait)

        found = validate(position=long3, fix=False, now=stage.now(), trace_id="mine", pause=pause)
        assert found.is_valid
        assert found.run.pk != other.pk

    def test_that_does_not_end_leaves_it_unknown(self, stage, long3):
        runs.begin(account=long3.account, now=stage.now(), trigger="schedule", trace_id="t")
        found = validate(
            position=long3, fix=True, now=stage.now(), trace_id="mine", pause=lambda s: None, patience=1
        )
        assert found.is_valid is None
        assert "under way" in found.error_message


class TestTheRequest:
    def test_for_an_unknown_position_is_404(self, account, ask):
        assert ask("987654", status=404)["code"] == "position_not_found"

    def test_for_a_name_of_several_names_the_candidates(self, stage, long3, ask):
        stage.do("deposit", user=OTHER, amount=5_000)
        other = stage.account(OTHER, "other")
        stage.trade("ETH", "buy", 1, user=OTHER)
        stage.reconcile(other, trigger="start")
        told = ask("ETH", status=409)
        assert {one["account"] for one in told["candidates"]} == {"main", "other"}

    def test_for_a_fix_needs_the_scope_to_correct(self, client, api_key, long3):
        headers = api_key(Scope.READ, Scope.RECONCILE)
        url = f"/api/v1/positions/{long3.pk}/validate?fix_discrepancies=true"
        assert client.post(url, content_type="application/json", headers=headers).status_code == 403

    def test_of_a_viewer_is_refused(self, client, api_key, long3):
        url = f"/api/v1/positions/{long3.pk}/validate"
        headers = api_key(Scope.READ)
        assert client.post(url, content_type="application/json", headers=headers).status_code == 403

    def test_works_under_the_predecessors_path(self, stage, client, api_key, long3):
        url = f"/api/positions/{long3.pk}/validate"
        headers = api_key(Scope.READ, Scope.RECONCILE)
        told = client.post(url, content_type="application/json", headers=headers).json()
        assert told["is_valid"] is True

    def test_for_a_position_kept_by_hand_says_there_is_nothing_to_ask(self, client, api_key, clocks, db):
        headers = api_key(Scope.READ, Scope.CORRECT, Scope.RECONCILE)
        body = {"symbol": "ETH", "side": "long", "quantity": "1", "price": "3000"}
        opened = client.post(
            "/api/v1/positions/open", body, content_type="application/json", headers=headers
        ).json()
        url = f"/api/v1/positions/{opened['position']['id']}/validate"
        told = client.post(url, content_type="application/json", headers=headers).json()
        assert told["is_valid"] is None
        assert "by hand" in told["error_message"]
