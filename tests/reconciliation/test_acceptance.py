"""What every reconciliation engine got wrong once when it read a venue, against the simulated one.

N1, N3 to N5, N12, N15, N17 to N21; N2 is in test_hedge.py, N14 in test_certificate.py, what is done about a
difference in test_repairs.py.
"""

import json
from dataclasses import replace

import pytest

from positions.models import Instrument, Position
from positions.sync import connections, poll
from reconciliation.api import serializers
from reconciliation.models import Case, DifferenceRow, Verdict
from tests.reconciliation import stage as staging
from tests.reconciliation.scenes import Lagging
from tests.reconciliation.stage import OTHER, USER, booked, cases, held, leg, wallet

pytestmark = pytest.mark.django_db


def renamed(stage, coin, name):
    """The venue's state with a position under a name that no list has."""
    told_state = stage.venue.info.routes["clearinghouseState"]

    def answer(body):
        state = json.loads(json.dumps(told_state(body)))
        for row in state["assetPositions"]:
            if row["position"]["coin"] == coin:
                row["position"]["coin"] = name
        return state

    return answer


class TestAnUnchangedVenue:
    def test_books_nothing_after_a_restart(self, stage, long3):
        """N1."""
        before = booked(long3).count()
        connections.forget(long3.pk)
        stage.wait(5)
        assert stage.reconcile(long3, trigger="start").complete
        assert booked(long3).count() == before

    def test_is_not_changed_by_a_second_run(self, stage, long3):
        """N17."""
        stage.reconcile(long3, trigger="demand")
        book = list(Position.objects.order_by("pk").values())
        entries = booked(long3).count()
        stage.wait(2)
        run = stage.reconcile(long3, trigger="demand")
        assert list(Position.objects.order_by("pk").values()) == book
        assert booked(long3).count() == entries
        assert run.counts["applied"] == 0


class TestLegs:
    def test_of_two_accounts_never_mix(self, stage, account):
        """N15."""
        stage.do("deposit", user=OTHER, amount=5_000)
        other = stage.account(OTHER, "other")
        stage.reconcile(other, trigger="start")
        stage.trade("ETH", "buy", 3)
        stage.trade("ETH", "sell", 1, user=OTHER)
        stage.minutes(account)
        stage.reconcile(other)
        assert (held(account), held(other)) == ({"ETH": 3}, {"ETH": -1})
        assert leg(account).status == leg(other).status == "SYNCED"

    def test_belong_to_the_account_whatever_the_symbol_says(self, stage, long3):
        """N12: A builder's dex names its markets like a venue of its own."""
        stage.do("deposit", amount=5_000, dex="flx")
        stage.trade("flx:CRCL", "buy", 2)
        stage.do("deposit", user=OTHER, amount=5_000)
        other = stage.account(OTHER, "other")
        stage.trade("ETH", "buy", 3, user=OTHER)
        stage.reconcile(other, trigger="start")
        stage.wait(601)  # dexes on which nothing was held are looked at every ten minutes
        stage.reconcile(long3)
        stage.minutes(long3)
        assert held(long3) == {"ETH": 3, "flx:CRCL": 2}
        assert held(other) == {"ETH": 3}
        assert leg(long3, "flx:CRCL").status == leg(long3).status == leg(other).status == "SYNCED"
        before = booked(long3).count()
        Instrument.objects.filter(venue_symbol="flx:CRCL").update(symbol="CRCL/USDH@elsewhere")
        stage.minutes(long3)
        assert booked(long3).count() == before
        assert Verdict.objects.filter(instrument__venue_symbol="flx:CRCL").count() == 1


class TestAnUnreadableRow:
    def test_of_an_unknown_instrument_is_counted_and_withholds_synced(self, stage, long3):
        """N3."""
        stage.do("unknown_coin", coin="#4710")
        stage.wait(60)
        run = stage.reconcile(long3, trigger="demand")
        assert not run.complete
        assert run.withheld == ["#4710"]
        assert run.counts["unknown_symbols"] or run.counts["dropped"]
        [account] = serializers.status(accounts=[long3], now=stage.now())
        assert (leg(long3).status, account["status"]) == ("SYNCED", "PENDING")  # it names another leg
        state_only = stage.minutes(long3)
        assert not state_only.complete
        assert state_only.withheld == run.withheld

    def test_of_a_position_that_nobody_can_name_withholds_its_own_leg(self, stage, long3):
        """N3."""
        stage.venue.info.routes["clearinghouseState"] = renamed(stage, "ETH", "NEVERLISTED")
        proven = leg(long3).as_of
        run = stage.minutes(long3)
        assert run.counts["unknown_symbols"] == 1
        assert not run.complete
        [account] = serializers.status(accounts=[long3], now=stage.now())
        assert account["status"] != "SYNCED"
        assert leg(long3).as_of == proven

    def test_of_an_unknown_event_makes_the_run_incomplete(self, stage, long3):
        """N4."""
        stage.do("unknown_ledger")
        stage.wait(60)
        proven = leg(long3).as_of
        run = stage.reconcile(long3, trigger="demand")
        assert not run.complete
        assert run.counts["dropped"] >= 1
        assert run.withheld == [None]
        assert leg(long3).as_of == proven  # it names no leg: none is proven

    def test_of_funding_never_becomes_a_trade(self, stage, long3):
        """N4."""
        fills = booked(long3, kind="fill").count()
        stage.do("funding")
        stage.minutes(long3)
        assert booked(long3, kind="fill").count() == fills
        assert booked(long3, kind="funding").count() == 1
        assert wallet(long3).status == "SYNCED"


class TestAVenuesReport:
    def test_that_is_stale_once_causes_nothing(self, stage, long3):
        """N5."""
        stage.fail("stale", type="clearinghouseState", times=2)
        stage.minutes(long3)  # this answer will be given again, with the time that it had
        stage.trade("ETH", "sell", 1)
        stage.wait(1)
        poll.facts(account=long3, methods=["fills"], now=stage.now(), trace_id="t")
        assert held(long3) == {"ETH": 2}
        run = stage.minutes(long3)
        [eth] = [line for line in run.legs if line["symbol"] == "ETH"]
        assert eth["venue"]["quantity"] == "3"  # as of before the sale: no difference
        assert not DifferenceRow.objects.exists()
        assert not Verdict.objects.filter(status__in=["DRIFT", "FAILED"]).exists()
        stage.heal()
        stage.minutes(long3)
        assert (held(long3), leg(long3).status) == ({"ETH": 2}, "SYNCED")

    def test_that_lags_once_under_a_new_time_passes(self, stage, long3):
        """N5."""
        told_state = stage.venue.info.routes["clearinghouseState"]
        lagging = Lagging(told_state, USER)
        stage.trade("ETH", "sell", 1)
        stage.wait(1)
        poll.facts(account=long3, methods=["fills"], now=stage.now(), trace_id="t")

        def once(body):
            stage.venue.info.routes["clearinghouseState"] = told_state
            return lagging(body)

        stage.wait(60)
        stage.venue.info.routes["clearinghouseState"] = once
        stage.reconcile(long3)
        seen = DifferenceRow.objects.filter(family="size").get()
        assert (seen.reports, seen.confirmed_at, seen.ended) == (1, None, "passed")
        assert not Case.objects.exists()
        assert (held(long3), leg(long3).status) == ({"ETH": 2}, "SYNCED")

    def test_that_is_sent_again_and_again_counts_once(self, stage, long3):
        """N5."""
        lagging = Lagging(stage.venue.info.routes["clearinghouseState"], USER)
        stage.trade("ETH", "sell", 1)
        stage.wait(1)
        poll.facts(account=long3, methods=["fills"], now=stage.now(), trace_id="t")
        stage.wait(60)
        kept = lagging({"type": "clearinghouseState", "user": USER})
        stage.venue.info.routes["clearinghouseState"] = lambda body: (
            kept if body["user"] == USER and not body.get("dex") else lagging(body)
        )
        stage.reconcile(long3)
        assert DifferenceRow.objects.filter(family="size").get().confirmed_at is None
        assert not Verdict.objects.filter(instrument__isnull=False, status__in=["DRIFT", "FAILED"]).exists()

    def test_is_not_compared_with_a_fill_later_than_it(self, stage, long3):
        """N18: The fill happens after the state was computed, and the run asks for fills: it sees both."""
        told_state = stage.venue.info.routes["clearinghouseState"]

        def then_a_fill(body):
            answer = told_state(body)
            stage.venue.info.routes["clearinghouseState"] = told_state
            stage.venue.exchange.now += 1
            stage.venue.cause({"kind": "trade", "user": USER, "coin": "ETH", "side": "buy", "size": "1"})
            return answer

        stage.wait(60)
        stage.venue.info.routes["clearinghouseState"] = then_a_fill
        run = stage.reconcile(long3, trigger="demand")
        assert held(long3) == {"ETH": 4}
        [eth] = [line for line in run.legs if line["symbol"] == "ETH"]
        assert (eth["venue"]["quantity"], eth["differences"]) == ("3", [])
        assert booked(long3, kind="fill").latest("at").at > run.as_of
        assert leg(long3).status == "SYNCED"
        assert not DifferenceRow.objects.filter(family="size").exists()

    def test_that_lags_behind_the_book_converges_without_an_entry(self, stage, long3):
        """N19."""
        lagging = Lagging(stage.venue.info.routes["clearinghouseState"], USER)
        stage.trade("ETH", "buy", 1)
        stage.wait(1)
        poll.facts(account=long3, methods=["fills"], now=stage.now(), trace_id="t")
        entries = booked(long3).count()
        stage.venue.info.routes["clearinghouseState"] = lagging
        stage.wait(4)
        stage.reconcile(long3)
        [case] = [one for one in cases(long3) if one.family == "size"]
        assert case.diagnosis[0]["cause"] == "venue_lag"
        stage.venue.info.routes["clearinghouseState"] = lagging.told
        stage.minutes(long3)
        case.refresh_from_db()
        assert (leg(long3).status, case.state) == ("SYNCED", "resolved")
        assert booked(long3).count() == entries

    def test_that_never_catches_up_is_a_case_and_no_entry(self, stage, long3):
        """N19."""
        routes = stage.venue.info.routes
        routes["clearinghouseState"] = Lagging(routes["clearinghouseState"], USER)
        stage.trade("ETH", "buy", 1)
        stage.wait(1)
        poll.facts(account=long3, methods=["fills"], now=stage.now(), trace_id="t")
        stage.minutes(long3, 3)
        assert leg(long3).status == "FAILED"
        assert [one.state for one in cases(long3) if one.family == "size"] == ["open"]
        assert held(long3) == {"ETH": 4}
        assert not booked(long3).filter(cause="inferred").exists()

    @pytest.mark.parametrize("lie", ["empty", "truncate", "timeout"])
    def test_that_fails_or_lies_never_flattens_the_book(self, stage, long3, lie):
        """N20."""
        stage.fail(lie, seconds=0.1)
        stage.minutes(long3)
        assert held(long3) == {"ETH": 3}
        assert leg(long3).status == "SYNCED"
        assert not Case.objects.exists()

    def test_that_is_refused_with_429_all_day_ends_in_stale_not_in_failed(self, stage, long3, monkeypatch):
        """N21."""
        # What the venue asks to wait would be waited for in truth.
        monkeypatch.setattr(staging, "IMPATIENT", replace(staging.IMPATIENT, attempts=1))
        stage.fail("status", status=429)
        for _ in range(12):
            stage.wait(7200)
            run = stage.reconcile(long3)
            assert run.as_of is None
        assert "429" in run.problem or "RateLimited" in run.problem
        assert leg(long3).status == "PENDING"
        assert not Case.objects.exists()
        assert not DifferenceRow.objects.exists()
        assert held(long3) == {"ETH": 3}
        stage.heal()
        stage.wait(60)
        stage.reconcile(long3)
        assert leg(long3).status == "SYNCED"
