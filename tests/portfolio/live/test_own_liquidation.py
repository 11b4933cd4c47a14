"""Our own liquidation price, from what Hyperliquid reports: recorded answers, and the simulator's."""

import json
from datetime import UTC, datetime
from decimal import Decimal as D
from pathlib import Path

import pytest

from portfolio.live.own_liquidation import NO_LIQUIDATION, own_liquidation
from positions import ingest, observe, queries
from positions.book import Cause, Contract, ContractKind, Entry, Kind, Leg, Side
from positions.models import Account, Position, VenueState
from positions.sync import poll
from positions.venues.base import VenueInstrument
from positions.venues.hyperliquid.state import build_report
from positions.venues.instruments.catalog import Catalog
from tests.reconciliation.stage import USER, staged

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
DATA = Path(__file__).resolve().parents[2] / "data" / "venues" / "hyperliquid.json"
RECORDED = {
    case["id"]: case["httpResponse"]
    for case in json.loads(DATA.read_text())["cases"]
    if case["id"] in {f"hyperliquid.fetchPositions.{n}" for n in (2, 3, 4, 6)}
}


def held(account):
    """The open derivatives of an account, by symbol."""
    rows = queries.open_positions().filter(account=account).exclude(instrument__kind="asset")
    return {row.instrument.venue_symbol: row for row in rows}


def recorded(state, *, mode="disabled"):
    """An account whose book has what a recorded answer states."""
    account = Account.objects.create(label="recorded", venue="hyperliquid", address=USER, created_at=NOW)
    legs = [row["position"] for row in state["assetPositions"]]
    listed = [
        VenueInstrument(
            venue_symbol=leg["coin"],
            symbol=f"{leg['coin']}/USDC:USDC",
            contract=Contract(kind=ContractKind.LINEAR, base=leg["coin"], quote="USDC", settle="USDC"),
            margin_tiers=((D(0), D(leg["maxLeverage"])),),
        )
        for leg in legs
    ]
    observe.instruments(world=account.world, described=map(poll._described, listed), now=NOW)
    entries = [
        Entry(
            kind=Kind.FILL, venue_ref=leg["coin"], time=NOW, instrument=leg["coin"], cause=Cause.TRADE,
            leg=Leg.NET, side=Side.BUY if D(leg["szi"]) > 0 else Side.SELL, quantity=abs(D(leg["szi"])),
            price=D(leg["entryPx"]),
        )
        for leg in legs
    ]  # fmt: skip
    ingest.record(account=account, entries=entries, source="test", trace_id="test", now=NOW)
    report = build_report({"": state}, Catalog(listed), sent_at=NOW, received_at=NOW, mode=mode)
    poll.state(account=account, venue=None, report=report, now=NOW)
    return held(account), {leg["coin"]: leg["liquidationPx"] for leg in legs}


class TestOurLiquidationPrice:
    @pytest.mark.parametrize("name", sorted(RECORDED))
    def test_is_the_one_that_hyperliquid_recorded(self, name):
        positions, stated = recorded(RECORDED[name])
        for coin, price in stated.items():
            own = own_liquidation(positions[coin])
            if price is None:
                assert (own.price, own.reason) == (None, NO_LIQUIDATION)
            else:
                assert abs(own.price / D(price) - 1) < D("1e-9")
                assert own.difference == own.price - D(price)
                assert own.reason == ""

    def test_is_unknown_where_coins_are_pledged_too(self):
        positions, _ = recorded(RECORDED["hyperliquid.fetchPositions.3"], mode="unifiedAccount")
        own = own_liquidation(positions["SOL"])
        assert (own.price, own.reason) == (None, "the account pledges its coins too")

    @pytest.mark.parametrize(
        ("missing", "reason"),
        [
            ({"leverage": None}, "the leverage of ETH is not known yet"),
            ({"details": {}}, "the mark of ETH is not known yet"),
            (
                {"as_of": datetime(2026, 1, 15, 11, tzinfo=UTC)},
                "the venue's figures are of different moments",
            ),
        ],
    )
    def test_is_unknown_where_anything_of_another_leg_is(self, missing, reason):
        positions, _ = recorded(RECORDED["hyperliquid.fetchPositions.3"])
        VenueState.objects.filter(instrument__venue_symbol="ETH").update(**missing)
        assert own_liquidation(positions["SOL"]).reason == reason

    def test_is_unknown_while_the_book_has_another_size(self):
        positions, _ = recorded(RECORDED["hyperliquid.fetchPositions.3"])
        Position.objects.filter(pk=positions["SOL"].pk).update(quantity=D("-0.6"))
        own = own_liquidation(queries.board().get(pk=positions["SOL"].pk))
        assert own.reason == "the venue's last report has another size than the book"


class TestInTheSimulator:
    def test_is_the_venues_for_isolated_and_cross_positions_in_higher_tiers(self):
        with staged() as stage:
            stage.do("deposit", amount=40_000_000)
            stage.venue.exchange.known(USER).settings["SOL"] = (False, 5)
            for coin, side, size in (("BTC", "buy", 900), ("ETH", "sell", 2000), ("SOL", "buy", 400)):
                stage.trade(coin, side, size)
            account = stage.account()
            stage.minutes(account)
            positions = held(account)
            assert set(positions) == {"BTC", "ETH", "SOL"}
            modes = dict(VenueState.objects.exclude(instrument=None).values_list("instrument", "margin_mode"))
            assert modes[positions["SOL"].instrument_id] == "isolated"
            for coin, position in positions.items():
                own = own_liquidation(position)
                stated = VenueState.objects.get(account=account, instrument=position.instrument)
                if stated.liquidation_price is None:
                    assert own.reason == NO_LIQUIDATION, coin
                else:
                    assert abs(own.price / stated.liquidation_price - 1) < D("1e-5"), (coin, own)
