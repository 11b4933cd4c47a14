"""N1 to N23: what every reconciliation engine got wrong once, against the simulated venue."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from positions import connections, poll
from positions.book import Cause, Entry, Kind, Leg, Side
from positions.models import Account, Instrument, Position
from positions.models import Entry as Row
from reconciliation import reading, resolve, runs, told
from reconciliation.actions import act
from reconciliation.models import Case, Correction, Difference, Verdict
from reconciliation.plans import plan
from tests.positions.venues.replay import Answer, put_in
from tests.positions.venues.test_generic import bybit, bybit_list, bybit_position
from tests.reconciliation import stage as staging
from tests.reconciliation.scenes import Lagging
from tests.reconciliation.stage import OTHER, USER, D, booked, cases, held, leg, wallet

pytestmark = pytest.mark.django_db


def hide_a_fill(stage, account, side="sell", size=1):
    """Something trades, and the venue does not tell; two runs later the leg has failed, with a case."""
    stage.do("withhold", what="fill", count=1)
    stage.trade("ETH", side, size)
    stage.minutes(account, 2)
    return Case.objects.get(account=account, family="size")


def do(stage, case, action, **options):
    stage.wait(1)
    return act(
        case=case, action=action, who="ada", reason="checked with the venue", now=stage.now(),
        trace_id="test", pause=stage.wait, **options,
    )  # fmt: skip


def by_hand(stage, side, quantity, *, leg=Leg.NET, cause=Cause.TRADE, symbol="ETH", price="3400"):
    return Entry(
        kind=Kind.FILL, cause=cause, venue_ref=f"{cause}:{leg}:{side}", time=stage.now(), instrument=symbol,
        leg=leg, side=Side(side), quantity=D(quantity), price=D(price), fee=D(0), fee_currency="USDC",
        wallet="perp",
    )  # fmt: skip


class AtBybit:
    """Bybit's adapter with the rows that its position list answers."""

    def __init__(self):
        sides = ((1, "Buy", "1000"), (2, "Sell", "1010"))
        self.rows = [
            bybit_position(positionIdx=idx, side=side, avgPrice=price, positionValue=str(2 * int(price)))
            for idx, side, price in sides
        ]
        self.venue = bybit({})
        put_in(self.venue.client, self.answer)

    def answer(self, method, url, body):
        if "wallet-balance" in url:
            return Answer({"retCode": 0, "result": {"list": [{"accountType": "UNIFIED", "coin": []}]}})
        linear = "position" in url and "category=linear" in url and "USDC" not in url
        return bybit_list(*(self.rows if linear else ()))


def hedged_at_bybit(stage, monkeypatch):
    account = Account.objects.create(label="hedge", venue="bybit", environment="live", created_at=stage.now())
    found = AtBybit()
    found.venue.ports = found.venue.client.ports = replace(found.venue.ports, clock=stage.now)
    for module in (poll, reading):
        monkeypatch.setattr(module, "connect", lambda account: found.venue)
    poll.facts(account=account, methods=[], now=stage.now(), trace_id="t")
    poll.report(account=account, now=stage.now())
    return account, found


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


@pytest.fixture
def long3(stage, account):
    """3 ETH long, proven."""
    stage.trade("ETH", "buy", 3)
    stage.minutes(account)
    assert leg(account).status == "SYNCED"
    return account


class TestAnUnchangedVenue:
    def test_n1_books_nothing_after_a_restart(self, stage, long3):
        before = booked(long3).count()
        connections.forget(long3.pk)
        stage.wait(5)
        assert stage.reconcile(long3, trigger="start").complete
        assert booked(long3).count() == before

    def test_n17_is_changed_by_no_second_run(self, stage, long3):
        stage.reconcile(long3, trigger="demand")
        book = list(Position.objects.order_by("pk").values())
        entries = booked(long3).count()
        stage.wait(2)
        run = stage.reconcile(long3, trigger="demand")
        assert list(Position.objects.order_by("pk").values()) == book
        assert booked(long3).count() == entries
        assert run.counts["applied"] == 0


class TestLegs:
    def test_n2_of_a_hedge_with_equal_sizes_stay_two(self, stage, monkeypatch):
        """Hyperliquid has no hedge mode: Bybit's answers, read by its adapter through unmodified ccxt."""
        account, venue = hedged_at_bybit(stage, monkeypatch)
        stage.book(
            account,
            by_hand(stage, "buy", 2, leg=Leg.LONG, symbol="ETH/USDT:USDT", price=1000),
            by_hand(stage, "sell", 2, leg=Leg.SHORT, symbol="ETH/USDT:USDT", price=1010),
        )
        stage.wait(5)
        run = runs.reconcile(account=account, now=stage.now(), trace_id="t", pause=stage.wait)
        symbol = "ETH/USDT:USDT"
        for name in ("long", "short"):
            assert leg(account, symbol, name).status == "SYNCED", (run.problem, run.withheld, str(run.legs))
        rows = Position.objects.filter(account=account, status="OPEN")
        assert sorted((row.leg, row.quantity) for row in rows) == [("long", 2), ("short", -2)]
        venue.rows.pop()  # the short side is gone at the venue
        stage.wait(60)
        runs.reconcile(account=account, now=stage.now(), trace_id="t", pause=stage.wait)
        assert leg(account, symbol, "long").status == "SYNCED"
        assert leg(account, symbol, "short").status == "DRIFT"

    def test_n15_of_two_accounts_never_mix(self, stage, account):
        stage.do("deposit", user=OTHER, amount=5_000)
        other = stage.account(OTHER, "other")
        stage.reconcile(other, trigger="start")
        stage.trade("ETH", "buy", 3)
        stage.trade("ETH", "sell", 1, user=OTHER)
        stage.minutes(account)
        stage.reconcile(other)
        assert (held(account), held(other)) == ({"ETH": 3}, {"ETH": -1})
        assert leg(account).status == leg(other).status == "SYNCED"

    def test_n12_belong_to_the_account_whatever_the_symbol_says(self, stage, long3):
        """A builder's dex names its markets like a venue of its own."""
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


class TestWhatNobodyCanRead:
    def test_n3_an_unknown_instrument_is_counted_and_withholds_synced(self, stage, long3):
        stage.do("unknown_coin", coin="#4710")
        stage.wait(60)
        run = stage.reconcile(long3, trigger="demand")
        assert not run.complete
        assert run.withheld == ["#4710"]
        assert run.counts["unknown_symbols"] or run.counts["dropped"]
        [account] = told.status(accounts=[long3], now=stage.now())
        assert (leg(long3).status, account["status"]) == ("SYNCED", "PENDING")  # it names another leg
        state_only = stage.minutes(long3)
        assert not state_only.complete
        assert state_only.withheld == run.withheld

    def test_n3_a_position_that_nobody_can_name_withholds_its_own_leg(self, stage, long3):
        stage.venue.info.routes["clearinghouseState"] = renamed(stage, "ETH", "NEVERLISTED")
        proven = leg(long3).as_of
        run = stage.minutes(long3)
        assert run.counts["unknown_symbols"] == 1
        assert not run.complete
        [account] = told.status(accounts=[long3], now=stage.now())
        assert account["status"] != "SYNCED"
        assert leg(long3).as_of == proven

    def test_n4_an_unknown_event_makes_the_run_incomplete(self, stage, long3):
        stage.do("unknown_ledger")
        stage.wait(60)
        proven = leg(long3).as_of
        run = stage.reconcile(long3, trigger="demand")
        assert not run.complete
        assert run.counts["dropped"] >= 1
        assert run.withheld == [None]
        assert leg(long3).as_of == proven  # it names no leg: none is proven

    def test_n4_funding_never_becomes_a_trade(self, stage, long3):
        fills = booked(long3, kind="fill").count()
        stage.do("funding")
        stage.minutes(long3)
        assert booked(long3, kind="fill").count() == fills
        assert booked(long3, kind="funding").count() == 1
        assert wallet(long3).status == "SYNCED"


class TestTheVenuesWord:
    def test_n5_one_stale_report_causes_nothing(self, stage, long3):
        stage.fail("stale", type="clearinghouseState", times=2)
        stage.minutes(long3)  # this answer will be given again
        stage.trade("ETH", "sell", 1)
        poll.facts(account=long3, methods=poll.CASH, now=stage.now(), trace_id="t")
        stage.minutes(long3)
        assert not Case.objects.exists()
        assert not Verdict.objects.filter(status__in=["DRIFT", "FAILED"]).exists()
        stage.heal()
        stage.minutes(long3)
        assert (held(long3), leg(long3).status) == ({"ETH": 2}, "SYNCED")

    def test_n18_is_not_held_against_a_fill_later_than_it(self, stage, long3):
        """The fill happens after the state was computed, and the run asks for fills: it sees both."""
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
        assert not Difference.objects.filter(family="size").exists()

    def test_n19_that_lags_behind_the_book_converges_without_an_entry(self, stage, long3):
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

    def test_n19_that_never_catches_up_is_a_case_and_no_entry(self, stage, long3):
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
    def test_n20_dead_or_lying_never_flattens_the_book(self, stage, long3, lie):
        stage.fail(lie, seconds=0.1)
        stage.minutes(long3)
        assert held(long3) == {"ETH": 3}
        assert leg(long3).status == "SYNCED"
        assert not Case.objects.exists()

    def test_n21_withheld_by_429_all_day_ends_in_stale_not_in_failed(self, stage, long3, monkeypatch):
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
        assert not Difference.objects.exists()
        assert held(long3) == {"ETH": 3}
        stage.heal()
        stage.wait(60)
        stage.reconcile(long3)
        assert leg(long3).status == "SYNCED"


class TestARepair:
    def test_n6_that_failed_is_not_called_success(self, stage, long3):
        case = hide_a_fill(stage, long3)
        stage.do("withhold", what="fill", count=1)
        planned = plan(case=case, action="adopt_venue")
        stage.trade("ETH", "sell", "0.5")
        done = do(stage, case, "adopt_venue", token=planned.token)
        assert done.outcome == "differs"
        assert leg(long3).status != "SYNCED"
        assert not case.is_settled

    def test_n7_of_a_spot_balance_ends_in_failed_and_one_case(self, stage, account):
        stage.do("withhold", what="ledger", count=1)
        stage.do("deposit", token="HYPE", amount=5)
        stage.minutes(account, 6)
        assert wallet(account, "spot", "HYPE").status == "FAILED"
        assert len(cases(account)) == 1
        assert not Correction.objects.exists()
        assert not booked(account, cause="inferred").exists()

    def test_n8_of_what_is_older_than_the_history_is_an_opening_lot(self, stage):
        stage.trade("ETH", "buy", 3)
        stage.wait(1)
        stage.trade("ETH", "buy", 1)
        stage.fail("history_cut", rows=1)
        account = stage.account()
        stage.wait(1)
        stage.reconcile(account, trigger="start")
        [case] = [one for one in cases(account) if one.family == "size"]
        assert (case.diagnosis[0]["cause"], case.state) == ("wrong_opening", "resolved")
        [lot] = booked(account, cause="opening", kind="fill")
        assert lot.quantity == 3
        assert held(account) == {"ETH": 4}
        assert (leg(account).status, leg(account).suspected) == ("SYNCED", [])

    def test_n8_of_a_lot_that_shows_later_is_a_case(self, stage, account):
        stage.trade("ETH", "buy", 3)
        stage.wait(700)
        stage.trade("ETH", "buy", 1)
        stage.fail("history_cut", rows=1)
        stage.minutes(account, 2)
        [case] = [one for one in cases(account) if one.family == "size"]
        assert not Correction.objects.exists()
        assert case.diagnosis[0]["cause"] == "fill_missed"  # the account was proven flat there before
        done = do(stage, case, "set_opening_lot")
        assert done.outcome == "agrees"
        assert held(account) == {"ETH": 4}
        assert leg(account).status == "SYNCED"

    def test_n9_has_the_same_references_after_a_restart(self, stage, long3):
        case = hide_a_fill(stage, long3)
        first = plan(case=case, action="adopt_venue")
        connections.forget(long3.pk)
        again = plan(case=Case.objects.get(pk=case.pk), action="adopt_venue")
        assert [one.venue_ref for one in first.entries] == [one.venue_ref for one in again.entries]
        assert first.token == again.token

    def test_n9_has_the_same_references_in_another_process(self, stage, long3):
        first = plan(case=hide_a_fill(stage, long3), action="adopt_venue")
        last = booked(long3, kind="fill", cause="trade").latest("at").venue_ref
        given = f"account={long3.pk}, instrument='ETH', leg='net', last_ref={last!r}"
        code = (
            "from decimal import Decimal as D; from reconciliation.inference import reference;"
            f"print(reference({given}, book=D('3.000'), target=D(2), undone=0))"
        )
        for seed in ("1", "2"):
            told_ref = subprocess.run(
                [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, text=True,
                capture_output=True, check=True, timeout=60,
            ).stdout.strip()  # fmt: skip
            assert [one.venue_ref for one in first.entries] == [told_ref]

    def test_n10_is_replaced_by_the_real_fill_and_counted_once(self, stage, long3):
        case = hide_a_fill(stage, long3)
        assert do(stage, case, "adopt_venue").outcome == "agrees"
        assert held(long3) == {"ETH": 2}
        assert wallet(long3).status != "SYNCED"  # its fee is unknown
        stage.wait(700)  # the feeds have long passed it
        stage.reconcile(long3)
        stage.do("release")
        stage.wait(601)
        run = stage.reconcile(long3)
        assert held(long3) == {"ETH": 2}
        assert booked(long3, kind="fill", cause="trade").count() == 2
        assert leg(long3).status == "SYNCED"
        assert wallet(long3).status == "SYNCED", run.problem
        [position] = Position.objects.filter(account=long3)
        assert (position.unknown_count, position.quantity) == (0, 2)

    def test_n11_of_a_close_never_flips(self, stage, long3):
        case = hide_a_fill(stage, long3, size=3)
        assert do(stage, case, "adopt_venue").outcome == "agrees"
        assert held(long3) == {}
        assert [row.status for row in Position.objects.filter(account=long3)] == ["CLOSED"]

    def test_n13_of_a_reconnect_gap_is_a_backfill(self, stage, long3):
        stage.trade("ETH", "buy", 2)
        stage.trade("BTC", "sell", "0.1")
        stage.wait(30)
        run = stage.reconcile(long3, trigger="reconnect")
        assert held(long3) == {"ETH": 5, "BTC": D("-0.1")}
        assert run.windows["fills"]["complete"]
        assert not Difference.objects.filter(confirmed_at__isnull=False).exists()

    def test_n16_asks_for_fills_before_it_infers_any(self, stage, long3):
        resolve.set_policy(account=None, family="size", mode="adopt")
        stage.trade("ETH", "buy", 2)
        stage.minutes(long3, 2)
        assert held(long3) == {"ETH": 5}
        assert not booked(long3, cause="inferred").exists()
        before = len(stage.asked())
        hide_a_fill(stage, long3)
        assert booked(long3, cause="inferred").count() == 1
        assert stage.asked()[before:].count("userFillsByTime") >= 2

    def test_n22_taken_back_restores_the_book_exactly(self, stage, long3):
        case = hide_a_fill(stage, long3)
        before = Position.objects.get(account=long3, status__in=["OPEN", "REDUCED"])
        done = do(stage, case, "adopt_venue")
        assert held(long3) == {"ETH": 2}
        stage.wait(1)
        resolve.undo(correction=done, who="ada", reason="wrong", now=stage.now(), trace_id="t")
        after = Position.objects.get(pk=before.pk)
        for name in (
            "quantity",
            "open_cost",
            "realized_pnl",
            "adjustment_pnl",
            "fees",
            "status",
            "unknown_count",
        ):
            assert getattr(after, name) == getattr(before, name), name
        again = plan(case=hide_nothing(stage, long3), action="adopt_venue")
        assert set(done.entries).isdisjoint(one.venue_ref for one in again.entries)


def hide_nothing(stage, account):
    """The case that the same difference has after its correction was taken back."""
    stage.minutes(account, 2)
    return Case.objects.get(account=account, family="size", closed_at__isnull=True)


class TestPolicy:
    def test_n23_adopts_once_below_the_materiality_and_only_alerts_above(self, stage, long3):
        resolve.set_policy(account=long3, family="size", mode="adopt", materiality_usd=D(5_000))
        poll.marks(account=long3, now=stage.now())
        hide_a_fill(stage, long3)
        assert Correction.objects.filter(automatic=True).count() == 1
        assert leg(long3).status == "SYNCED"
        stage.minutes(long3, 2)
        assert Correction.objects.count() == 1
        stage.do("withhold", what="fill", count=1)
        stage.trade("ETH", "buy", 2)
        stage.minutes(long3, 2)
        assert Correction.objects.count() == 1
        assert leg(long3).status == "FAILED"

    def test_n23_adjusts_cash_below_the_materiality(self, stage, long3):
        resolve.set_policy(account=None, family="cash", mode="adjust", materiality_usd=D(1))
        stage.do("withhold", what="funding", count=1)
        stage.do("funding")
        stage.minutes(long3, 2)
        assert booked(long3, kind="adjustment").count() == 1
        assert wallet(long3).status == "SYNCED"

    def test_n23_halts_when_more_than_the_limit_an_hour_are_wanted(self, stage, long3, settings):
        settings.RECONCILIATION_AUTOMATIC_PER_HOUR = 2
        policy = resolve.set_policy(account=long3, family="size", mode="adopt")
        for _ in range(3):
            stage.do("withhold", what="fill", count=1)
            stage.trade("ETH", "buy", "0.2")
            stage.minutes(long3, 2)
        policy.refresh_from_db()
        assert policy.halted_at is not None
        assert Correction.objects.filter(automatic=True).count() == 2
        assert leg(long3).status == "FAILED"

    def test_of_nobody_is_to_alert_only(self, stage, long3):
        hide_a_fill(stage, long3)
        assert not Correction.objects.exists()
        assert not Row.objects.filter(cause="inferred").exists()
