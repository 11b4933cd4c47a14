"""How money is spread over venues, in worked examples, and on a book with accounts at two of them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal as D

import pytest

from positions import ingest
from positions.book import Cause, Entry, Kind
from positions.models import Account, Mark
from reconciliation.allocation import equity, targets
from reconciliation.models import AllocationBreach, AllocationTarget
from reconciliation.rules.allocation import AccountEquity, AssetHolding, BadTarget, Target, allocate, combined
from tests.portfolio.market import BTC, Market

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
HL, CB = (
    AccountEquity(1, "main", "hyperliquid", D(90_000)),
    AccountEquity(2, "treasury", "coinbase", D(10_000)),
)
EIGHTY_TWENTY = [Target("hyperliquid", None, D("0.80")), Target("coinbase", None, D("0.20"))]


def shown(spread):
    return {one.label: (one.share, one.drift, one.breached) for one in spread.slices}


class TestMoneyMeantToLie80To20:
    def test_but_lying_90_to_10_is_10_points_off_at_both_venues(self):
        spread = allocate(holdings=[HL, CB], targets=EIGHTY_TWENTY)
        assert spread.total == 100_000
        assert shown(spread) == {
            "hyperliquid": (D("0.9"), D("0.1"), True),
            "coinbase": (D("0.1"), D("-0.1"), True),
        }

    def test_says_how_much_would_have_to_move(self):
        spread = allocate(holdings=[HL, CB], targets=EIGHTY_TWENTY)
        assert [one.to_move for one in spread.slices] == [-10_000, 10_000]

    def test_and_5_points_off_is_still_within_the_tolerance(self):
        spread = allocate(
            holdings=[
                AccountEquity(1, "main", "hyperliquid", D(85)),
                AccountEquity(2, "t", "coinbase", D(15)),
            ],
            targets=EIGHTY_TWENTY,
        )
        assert [one.breached for one in spread.slices] == [False, False]

    def test_of_a_stated_portfolio_value_is_a_share_of_that(self):
        spread = allocate(holdings=[HL, CB], targets=EIGHTY_TWENTY, portfolio_value=D(200_000))
        assert [one.share for one in spread.slices] == [D("0.45"), D("0.05")]
        assert [one.target_value for one in spread.slices] == [160_000, 40_000]


class TestAnUnknownEquity:
    LOST = AccountEquity(2, "treasury", "coinbase", None, "no price of XYZ")

    def test_leaves_every_share_unknown_and_is_named(self):
        spread = allocate(holdings=[HL, self.LOST], targets=EIGHTY_TWENTY)
        assert spread.total is None
        assert spread.unknown == (("treasury", "no price of XYZ"),)
        assert shown(spread) == {"hyperliquid": (None, None, None), "coinbase": (None, None, None)}
        assert [one.unknown for one in spread.slices] == [(), ("treasury",)]

    def test_leaves_the_others_known_when_the_portfolios_value_is_stated(self):
        spread = allocate(holdings=[HL, self.LOST], targets=EIGHTY_TWENTY, portfolio_value=D(100_000))
        assert [one.share for one in spread.slices] == [D("0.9"), None]


class TestTargets:
    def test_of_an_account_take_it_out_of_its_venue(self):
        hedge = AccountEquity(3, "hedge", "hyperliquid", D(50_000))
        spread = allocate(
            holdings=[HL, CB, hedge],
            targets=[Target("hyperliquid", 3, D("0.30")), Target("hyperliquid", None, D("0.60"))],
        )
        assert [(one.label, one.value, one.target) for one in spread.slices] == [
            ("hedge", 50_000, D("0.30")),
            ("hyperliquid", 90_000, D("0.60")),
            ("coinbase", 10_000, None),
        ]
        assert spread.untargeted == D("0.10")

    def test_that_nobody_set_leave_nothing_to_be_off(self):
        [one, _] = allocate(holdings=[HL, CB], targets=[]).slices
        assert (one.drift, one.breached) == (None, None)

    @pytest.mark.parametrize(
        "wrong",
        [
            [Target("a", None, D("0.8")), Target("b", None, D("0.3"))],
            [Target("a", None, D("1.1"))],
            [Target("a", None, D("0.1")), Target("a", None, D("0.2"))],
        ],
        ids=["more than all", "a share above 1", "twice"],
    )
    def test_that_cannot_be_meant_are_refused(self, wrong):
        with pytest.raises(BadTarget):
            allocate(holdings=[HL], targets=wrong)


class TestAnAssetOverAllVenues:
    def test_adds_coins_and_contracts_to_what_one_is_really_exposed_to(self):
        [btc] = combined(
            [
                AssetHolding("BTC", "treasury", "coinbase", False, D("0.35"), D(34_000)),
                AssetHolding("BTC", "main", "hyperliquid", True, D("-0.30"), D(-29_100)),
            ]
        )
        assert (btc.spot, btc.derivatives, btc.net, btc.value) == (D("0.35"), D("-0.30"), D("0.05"), 4_900)

    def test_of_which_one_part_is_unknown_is_unknown_and_comes_first(self):
        found = combined(
            [
                AssetHolding("BTC", "a", "x", False, D(1), D(100_000)),
                AssetHolding("XYZ", "a", "x", False, D(5), None),
            ]
        )
        assert [(one.asset, one.value) for one in found] == [("XYZ", None), ("BTC", 100_000)]


@pytest.fixture
def market(db):
    """10 000 USDC and 0.5 BTC of futures at 60 000 on one venue, marked 61 000; 2 500 USDC on the other."""
    found = Market(now=NOW)
    deposit(found.account, "USDC", 10_000)
    found.fill("buy", "0.5", "60000", now=NOW, fee=D(0))
    found.mark(BTC, "61000", now=NOW)
    other = Account.objects.create(
        label="treasury", venue="coinbase", environment="simulated", created_at=NOW
    )
    deposit(other, "USDC", 2_500)
    return found


def deposit(account, asset, amount):
    entry = Entry(
        kind=Kind.TRANSFER, cause=Cause.DEPOSIT, venue_ref=f"in:{asset}:{amount}", time=NOW, leg=None,
        amount=D(amount), currency=asset, wallet="perp",
    )  # fmt: skip
    ingest.record(account=account, entries=[entry], source="test", trace_id="t", now=NOW, on_error="reject")


class TestTheBooksEquity:
    def test_is_cash_and_open_profit_at_the_mark(self, market):
        found = {one.label: one.equity for one in equity.equities(accounts=everyone(), now=NOW)}
        assert found == {"main": 10_500, "treasury": 2_500}

    def test_is_unknown_once_the_mark_is_too_old_to_be_believed(self, market):
        later = NOW + timedelta(hours=1)
        [main, _] = equity.equities(accounts=everyone(), now=later)
        assert main.equity is None
        assert main.why == f"no price of {BTC}"

    def test_of_a_coin_without_a_price_is_unknown_not_less(self, market):
        deposit(market.account, "BTC", 5)
        Mark.objects.all().delete()
        [main, _] = equity.equities(accounts=everyone(), now=NOW)
        assert (main.equity, main.why) == (None, f"no price of BTC; no price of {BTC}")

    def test_of_an_account_never_read_is_unknown_not_0(self, market):
        new = Account.objects.create(label="new", venue="okx", environment="simulated", created_at=NOW)
        [found] = equity.equities(accounts=[new], now=NOW)
        assert (found.equity, found.why) == (None, "its balances were never read")

    def test_shows_cash_and_exposure_by_asset(self, market):
        found = {one.asset: one for one in combined(equity.lines(accounts=everyone(), now=NOW))}
        assert (found["BTC"].net, found["BTC"].value) == (D("0.5"), 30_500)
        assert found["USDC"].spot == 12_500


def everyone():
    return list(Account.objects.order_by("label"))


class TestABreach:
    @pytest.fixture
    def meant(self, market, settings):
        settings.ALLOCATION_DEFAULTS = {"hyperliquid": D("0.60"), "coinbase": D("0.40")}
        return market

    def test_is_recorded_once_and_ends_when_the_money_is_back(self, meant):
        assert {one.venue for one in targets.record_breaches(now=NOW)} == {"hyperliquid", "coinbase"}
        assert targets.record_breaches(now=NOW) == []
        deposit(Account.objects.get(label="treasury"), "USDC", 4_500)
        targets.record_breaches(now=NOW + timedelta(minutes=1))
        rows = AllocationBreach.objects.all()
        assert {row.ended_at for row in rows} == {NOW + timedelta(minutes=1)}
        hl = rows.get(venue="hyperliquid")
        assert hl.worst_drift == D("0.207692")

    def test_neither_begins_nor_ends_by_what_is_not_known(self, meant):
        targets.record_breaches(now=NOW)
        assert targets.record_breaches(now=NOW + timedelta(hours=1)) == []
        assert AllocationBreach.objects.filter(ended_at=None).count() == 2

    def test_ends_when_nothing_is_meant_any_more(self, meant, settings):
        targets.record_breaches(now=NOW)
        settings.ALLOCATION_DEFAULTS = {}
        targets.record_breaches(now=NOW)
        assert not AllocationBreach.objects.filter(ended_at=None).exists()

    def test_is_looked_for_by_the_beat(self, meant, settings, monkeypatch):
        from config.celery import app

        entry = app.conf.beat_schedule["allocation"]
        monkeypatch.setattr("reconciliation.tasks.timezone.now", lambda: NOW)
        app.loader.import_default_modules()
        app.tasks[entry["task"]]()
        assert AllocationBreach.objects.count() == 2


class TestATargetOfOnesOwn:
    def test_replaces_the_defaults(self, market, settings):
        settings.ALLOCATION_DEFAULTS = {"hyperliquid": D("0.60"), "coinbase": D("0.40")}
        targets.set_target(environment="simulated", venue="coinbase", share=D("0.25"), who="ada", now=NOW)
        assert [one.share for one in targets.of(environment="simulated")] == [D("0.25")]

    def test_is_set_again_not_twice_and_never_beyond_all(self, market):
        for share in ("0.25", "0.75"):
            targets.set_target(environment="simulated", venue="coinbase", share=D(share), who="ada", now=NOW)
        assert AllocationTarget.objects.get().share == D("0.75")
        with pytest.raises(BadTarget):
            targets.set_target(
                environment="simulated", account=market.account, share=D("0.30"), who="ada", now=NOW
            )
