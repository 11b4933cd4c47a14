"""Venues that ccxt reads wrongly: put right where the row says enough, else refused, and never proof."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from positions.book.entries import Cause, Entry, Leg, Side
from positions.venues.base import Evidence, Report
from positions.venues.generic.adapter import Generic
from positions.venues.generic.markets import Markets
from positions.venues.registry import CORRECTED, capabilities, open_venue
from positions.venues.transport.conversation import Conversation
from positions.venues.transport.instrumentation import instrumented_class
from tests.positions.venues.replay import Answer, config_for, give_keys, market, opened, put_in, unhurried


def venue_of(exchange: str, *markets: Any) -> Any:
    venue = opened(CORRECTED[exchange], exchange, list(markets), {})
    give_keys(venue.client.exchange, {})
    return venue


def fill(exchange: str, listed: Any, raw: dict[str, Any]) -> Entry:
    """What the venue's own reading makes of a raw trade, parsed by ccxt."""
    venue = venue_of(exchange, listed)
    row = venue.client.exchange.parse_trade(raw)
    entry: Entry = venue.fills_of(row, venue_markets(venue, row["symbol"]))[0]
    return entry


def venue_markets(venue: Any, symbol: str) -> Any:
    return Markets(venue.client.exchange).get(symbol)


BITGET_SWAP = ["BTCUSDT", "BTC/USDT:USDT", 1]
BITGET = {
    "tradeId": "1", "symbol": "BTCUSDT", "orderId": "2", "price": "37271.4", "baseVolume": "0.001",
    "feeDetail": [{"deduction": "no", "feeCoin": "USDT", "totalFee": "-0.02236284"}], "side": "buy",
    "tradeSide": "close", "posMode": "hedge_mode", "tradeScope": "taker", "cTime": "1700720700342",
}  # fmt: skip


class TestAFillOfBitget:
    @pytest.mark.parametrize(
        ("side", "action", "expected"),
        [
            ("buy", "open", (Leg.LONG, Side.BUY)),
            ("buy", "close", (Leg.LONG, Side.SELL)),
            ("sell", "open", (Leg.SHORT, Side.SELL)),
            ("sell", "close", (Leg.SHORT, Side.BUY)),
        ],
    )
    def test_in_hedge_mode_changes_its_own_leg(self, side: str, action: str, expected: Any) -> None:
        entry = fill("bitget", BITGET_SWAP, {**BITGET, "side": side, "tradeSide": action})
        assert (entry.leg, entry.side) == expected
        assert (entry.fee, entry.fee_currency) == (Decimal("0.02236284"), "USDT")

    def test_in_one_way_mode_is_what_its_side_says(self) -> None:
        row = {**BITGET, "posMode": "one_way_mode", "tradeSide": "sell_single", "side": "sell"}
        entry = fill("bitget", BITGET_SWAP, row)
        assert (entry.leg, entry.side) == (Leg.NET, Side.SELL)

    def test_that_was_forced_says_so(self) -> None:
        entry = fill("bitget", BITGET_SWAP, {**BITGET, "tradeSide": "burst_close_long"})
        assert (entry.cause, entry.leg, entry.side) == (Cause.LIQUIDATION, Leg.LONG, Side.SELL)

    def test_whose_side_contradicts_its_leg_is_unreadable(self) -> None:
        with pytest.raises(ValueError, match="contradicts"):
            fill("bitget", BITGET_SWAP, {**BITGET, "tradeSide": "burst_close_short"})

    def test_of_the_unified_account_is_unreadable(self) -> None:
        with pytest.raises(ValueError, match="which leg"):
            fill("bitget", BITGET_SWAP, {**BITGET, "category": "USDT-FUTURES"})

    def test_whose_fee_was_paid_in_another_coin_has_an_unknown_fee(self) -> None:
        fee = {"deduction": "yes", "feeCoin": "BGB", "totalFee": "-0.02", "totalDeductionFee": "-0.01"}
        assert fill("bitget", BITGET_SWAP, {**BITGET, "feeDetail": [fee]}).fee is None


HTX_SWAP = ["BTC-USDT", "BTC/USDT:USDT", 0.001]
HTX = {
    "id": "1", "contract_code": "BTC-USDT", "order_id": "2", "trade_id": "3", "side": "sell",
    "position_side": "long", "role": "TAKER", "trade_price": "62688.2", "trade_volume": "2",
    "created_time": "1780967931197", "fee_currency": "USDT", "trade_fee": "0.07522584",
}  # fmt: skip


class TestAFillOfHtx:
    def test_of_a_taker_pays_its_fee(self) -> None:
        entry = fill("htx", HTX_SWAP, HTX)
        assert (entry.fee, entry.fee_currency) == (Decimal("0.07522584"), "USDT")
        assert (entry.leg, entry.side, entry.quantity) == (Leg.LONG, Side.SELL, Decimal("0.002"))

    def test_of_an_older_list_does_not_say_its_leg(self) -> None:
        row = {key: value for key, value in HTX.items() if key != "position_side"}
        with pytest.raises(ValueError, match="two legs"):
            fill("htx", HTX_SWAP, {**row, "offset": "close"})


def test_funding_of_woo_is_paid_in_what_the_contract_settles_in() -> None:
    venue = venue_of("woo", ["PERP_BTC_USDT", "BTC/USDT:USDT", 1])
    raw = {"id": 1, "symbol": "PERP_BTC_USDT", "fundingFee": "9.56", "paymentType": "Pay"}
    row = venue.client.exchange.parse_income({**raw, "updatedTime": 1696060873286})
    entry = venue.funding_of(row, venue_markets(venue, "BTC/USDT:USDT"))
    assert (entry.amount, entry.currency) == (Decimal("-9.56"), "USDT")


class TestATradeOfPhemex:
    def test_whose_integers_were_not_scaled_is_unreadable(self) -> None:
        venue = venue_of("phemex", ["BTCUSD", "BTC/USD:BTC", 1])
        unscaled = {"price": "95000000", "amount": "10", "info": {"execPriceEp": 95000000, "execQty": 10}}
        with pytest.raises(ValueError, match="scale is not known"):
            venue.fills_of(unscaled, venue_markets(venue, "BTC/USD:BTC"))

    def test_in_real_numbers_is_read(self) -> None:
        raw = {
            "execID": "1", "orderID": "2", "symbol": "BTCUSDT", "side": "Buy", "execPriceRp": "60000.5",
            "execQtyRq": "0.01", "execFeeRv": "0.3", "currency": "USDT",
            "transactTimeNs": "1700000000000000000",
        }  # fmt: skip
        entry = fill("phemex", ["BTCUSDT", "BTC/USDT:USDT", 1], raw)
        assert (entry.price, entry.quantity, entry.fee) == (
            Decimal("60000.5"),
            Decimal("0.01"),
            Decimal("0.3"),
        )


class TestAMarginPositionOfKraken:
    @pytest.mark.parametrize(("closed", "held"), [("0", "0.02"), ("0.015", "0.005"), ("0.02", "0")])
    def test_holds_what_is_not_closed(self, closed: str, held: str) -> None:
        venue = venue_of("kraken", ["XXBTZUSD", "BTC/USD", None])
        raw = {"pair": "XXBTZUSD", "type": "buy", "vol": "0.02", "vol_closed": closed}
        assert venue.margin_size({"info": raw}) == Decimal(held)


@pytest.mark.parametrize("exchange", ["lighter", "krakenfutures", "whitebit", "phemex"])
class TestBalancesReadInPart:
    async def test_prove_nothing(self, exchange: str) -> None:
        venue = venue_of(exchange)
        found = {"ETH": {"total": "2", "free": "2", "used": "0"}, "info": {}}
        report = await read(venue, found)
        assert not report.balances_complete
        assert [row.total for row in report.balances] == [None]
        assert not report.complete
        assert not report.observed("ETH/USDT", scope="spot")
        assert any("wrongly or in part" in problem for problem in report.problems)


async def read(venue: Any, found: Any) -> Report:
    async def answered(*_: Any) -> Any:
        return found, Conversation()

    venue.ask = answered
    report: Report = await venue.answered(venue.balance_calls)
    return report


@pytest.mark.parametrize("exchange", ["aster", "grvt", "hyperliquid", "pacifica"])
async def test_ccxt_signs_no_approval_of_its_builder(exchange: str) -> None:
    client = instrumented_class(exchange)({})
    try:
        assert await client.initialize_client({"anything": 1})
        assert await client.initialize_client()
    finally:
        await client.close()


class TestAPositionOfAster:
    async def test_without_an_entry_price_is_a_position(self) -> None:
        venue = venue_of("aster", ["BTCUSDT", "BTC/USDT:USDT", 1])
        row = {"symbol": "BTCUSDT", "positionAmt": "0.01", "entryPrice": "0.0", "markPrice": "61000"}
        row |= {"notional": "610", "positionSide": "BOTH", "updateTime": "1625474304765"}
        put_in(venue.client, lambda *_: Answer([row]))
        venue.client.exchange.privateKey = "0x" + "11" * 32
        report = await venue.answered(venue.position_calls)
        assert [(one.quantity, one.entry_price) for one in report.positions] == [(Decimal("0.01"), None)]


class TestAnyUnprovenVenue:
    """What the corrected venues have taught about all that nobody looked at."""

    @pytest.fixture
    def venue(self) -> Any:
        return opened(Generic, "gate", [market(["BTC_USDT", "BTC/USDT:USDT", 1])], {})

    def row(self, **more: Any) -> dict[str, Any]:
        row = {"id": "1", "symbol": "BTC/USDT:USDT", "side": "buy", "amount": "1", "price": "100"}
        return {**row, "timestamp": 1700000000000, "info": {}, **more}

    def test_does_not_believe_that_a_taker_was_paid(self, venue: Any) -> None:
        fee = {"cost": "-0.5", "currency": "USDT"}
        listed = venue_markets(venue, "BTC/USDT:USDT")
        assert venue.fills_of(self.row(takerOrMaker="taker", fee=fee), listed)[0].fee is None
        assert venue.fills_of(self.row(takerOrMaker="maker", fee=fee), listed)[0].fee == Decimal("-0.5")

    @pytest.mark.parametrize("field", ["positionSide", "posSide", "position_side"])
    def test_does_not_book_a_leg_of_hedge_mode_on_net(self, venue: Any, field: str) -> None:
        with pytest.raises(ValueError, match="hedge mode is not proven"):
            venue.fills_of(self.row(info={field: "LONG"}), venue_markets(venue, "BTC/USDT:USDT"))

    def test_does_not_book_funding_in_another_currency(self, venue: Any) -> None:
        row = {"symbol": "BTC/USDT:USDT", "code": "USD", "amount": "1", "timestamp": 1700000000000}
        with pytest.raises(ValueError, match="settles in USDT"):
            venue.funding_of(row, venue_markets(venue, "BTC/USDT:USDT"))


@pytest.mark.parametrize("exchange", sorted(CORRECTED))
def test_a_corrected_venue_is_opened_as_such_and_stays_unproven(exchange: str) -> None:
    venue = open_venue(config_for(exchange), unhurried())
    assert type(venue) is CORRECTED[exchange]
    assert {one.evidence for one in capabilities(exchange).values()} == {Evidence.UNPROVEN}
