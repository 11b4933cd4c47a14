"""Hyperliquid's rows as entries, positions, balances and instruments. Pure: no network, no ccxt.

Amounts come from the venue's own row: ccxt adds the builder fee twice, assumes USDC, and loses signs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from positions.book.contracts import BaseFee, Contract, ContractKind
from positions.book.entries import Cause, Entry, Kind, Leg, Side
from positions.venues.base import BalanceRow, MarginRow, PositionRow, VenueInstrument, VenueMark
from positions.venues.fields import InvalidField, moment, number, optional, positive_or_none, required, text
from positions.venues.instruments.aliases import underlying

PERP = "perp"
SPOT = "spot"
_SIDES = {"B": Side.BUY, "A": Side.SELL}
_CAUSES = {
    "Spot Dust Conversion": Cause.DUST,
    "Auto-Deleveraging": Cause.ADL,
    "Settlement": Cause.SETTLEMENT,
}
# A flat margin table is its own id: table 40 is 40x at any size (protocol note, section 5).
_FLAT_TABLES = 50


def wallet_of(scope: str) -> str:
    """The wallet that holds a scope's cash: perp for the main dex, perp:<dex> for a builder's, spot."""
    return SPOT if scope == SPOT else f"{PERP}:{scope}" if scope else PERP


def scope_of(wallet: str) -> str:
    """The scope whose cash a wallet holds."""
    return SPOT if wallet == SPOT else wallet.removeprefix(PERP).removeprefix(":")


def fill(row: Mapping[str, Any], instrument: VenueInstrument, *, address: str) -> Entry:
    """Return a fill; its fee includes the builder's, negative = rebate. Raises InvalidField, InvalidEntry."""
    coin = text(row, "coin")
    spot = instrument.contract.kind is ContractKind.SPOT
    fee = optional(row, "fee")
    fee_currency = row.get("feeToken") or instrument.contract.settle
    return Entry(
        kind=Kind.FILL,
        cause=_cause(row, address),
        venue_ref=fill_ref(row),
        time=moment(row.get("time")),
        instrument=coin,
        leg=Leg.NET,
        side=_side(row),
        quantity=required(row, "sz", step=instrument.quantity_step),
        price=positive_or_none(required(row, "px", step=instrument.price_tick)),
        fee=fee,
        fee_currency=fee_currency if fee is not None else None,
        position_before=None if spot else optional(row, "startPosition", step=instrument.quantity_step),
        wallet=wallet_of(instrument.scope),
    )


def fill_ref(row: Mapping[str, Any]) -> str:
    """(coin, oid, tid, time): tid is shared by both sides of a trade, and 0 for dust. Rows of 2023 have no
    tid.
    """
    tid = row.get("tid")
    if tid is None:
        tid = f"{row.get('hash')}/{row.get('startPosition')}"
    return f"hl:fill:{row['coin']}:{row.get('oid')}:{tid}:{row.get('time')}"


def _side(row: Mapping[str, Any]) -> Side:
    side = _SIDES.get(row.get("side", ""))
    if side is None:
        raise InvalidField(f"side is {row.get('side')!r}, neither B nor A")
    return side


def _cause(row: Mapping[str, Any], address: str) -> Cause:
    """Both sides of a liquidation carry the notice; only the liquidated user's fill is one."""
    notice = row.get("liquidation")
    if isinstance(notice, Mapping) and str(notice.get("liquidatedUser", "")).lower() == address:
        return Cause.LIQUIDATION
    return _CAUSES.get(str(row.get("dir")), Cause.TRADE)


def funding(row: Mapping[str, Any], instrument: VenueInstrument) -> Entry:
    """A funding payment; usdc > 0 = received. The hash is zeros: (coin, time) is the key."""
    delta = delta_of(row)
    coin = text(delta, "coin")
    return Entry(
        kind=Kind.FUNDING,
        venue_ref=f"hl:funding:{coin}:{row.get('time')}",
        time=moment(row.get("time")),
        instrument=coin,
        leg=Leg.NET,
        amount=required(delta, "usdc"),
        currency=instrument.contract.settle,
        wallet=wallet_of(instrument.scope),
    )


def delta_of(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The body of a funding or ledger row (streams send it flat)."""
    delta = row.get("delta", row)
    if not isinstance(delta, Mapping):
        raise InvalidField(f"delta is {type(delta).__name__}, not an object")
    return delta


def position(row: Mapping[str, Any], instrument: VenueInstrument) -> PositionRow:
    """One leg. mark = positionValue / |szi|; cumFunding is positive when paid, ours when received.

    A liquidationPx of null says that the account's equity bears any price; without the field nothing is said.
    """
    leg = row.get("position")
    if not isinstance(leg, Mapping):
        raise InvalidField("position is missing")
    size = required(leg, "szi", step=instrument.quantity_step)
    value = optional(leg, "positionValue")
    leverage = leg.get("leverage") if isinstance(leg.get("leverage"), Mapping) else {}
    isolated = leverage.get("type") == "isolated"  # type: ignore[union-attr]
    funding_row = leg.get("cumFunding")
    paid = optional(funding_row, "sinceOpen") if isinstance(funding_row, Mapping) else None
    return PositionRow(
        venue_symbol=instrument.venue_symbol,
        leg=Leg.NET,
        no_liquidation="liquidationPx" in leg and leg["liquidationPx"] is None,
        quantity=size,
        currency=instrument.contract.settle,
        scope=instrument.scope,
        entry_price=positive_or_none(optional(leg, "entryPx")),
        mark_price=abs(value / size) if value is not None and size else None,
        liquidation_price=positive_or_none(optional(leg, "liquidationPx")),
        unrealized_pnl=optional(leg, "unrealizedPnl"),
        notional=value,
        leverage=optional(leverage, "value") if leverage else None,
        margin_mode=str(leverage["type"]) if leverage and leverage.get("type") else None,
        initial_margin=optional(leg, "marginUsed") if not isolated else None,
        isolated_margin=optional(leg, "marginUsed") if isolated else None,
        funding=-paid if paid is not None else None,
        derived=frozenset({"mark_price"}),
    )


def perp_wallet(
    state: Mapping[str, Any], *, scope: str, asset: str, positions: Iterable[PositionRow]
) -> tuple[BalanceRow, MarginRow]:
    """A dex's cash and margin. Wallet balance = account value - Σ unrealized P&L (isolated margin
    included).
    """
    summary, cross = _summary(state, "marginSummary"), _summary(state, "crossMarginSummary")
    equity = required(summary, "accountValue")
    profits = [row.unrealized_pnl for row in positions]
    profit = (
        sum((value for value in profits if value is not None), Decimal(0)) if None not in profits else None
    )
    wallet = wallet_of(scope)
    balance = BalanceRow(
        wallet=wallet,
        asset=asset,
        total=equity - profit if profit is not None else None,
        free=optional(state, "withdrawable"),
        used=optional(summary, "totalMarginUsed"),
    )
    margin = MarginRow(
        wallet=wallet,
        currency=asset,
        equity=equity,
        margin_balance=optional(cross, "accountValue"),
        initial_margin=optional(summary, "totalMarginUsed"),
        maintenance_margin=optional(state, "crossMaintenanceMarginUsed"),
        withdrawable=optional(state, "withdrawable"),
        unrealized_pnl=profit,
    )
    return balance, margin


def _summary(state: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    summary = state.get(name)
    if not isinstance(summary, Mapping):
        raise InvalidField(f"{name} is missing")
    return summary


def spot_balance(row: Mapping[str, Any]) -> BalanceRow:
    """What the spot wallet holds of a token, by the venue's token name (UBTC stays UBTC)."""
    total, hold = required(row, "total"), optional(row, "hold")
    return BalanceRow(
        wallet=SPOT,
        asset=text(row, "coin"),
        total=total,
        used=hold,
        free=total - hold if hold is not None else None,
    )


def perp_instruments(meta: Mapping[str, Any], *, dex: str, collateral: str) -> list[VenueInstrument]:
    """The perpetuals of one dex. Prices have at most 6 - szDecimals decimals (and 5 significant digits)."""
    tables = {entry[0]: entry[1] for entry in meta.get("marginTables", []) if len(entry) == 2}
    return _listed(meta["universe"], lambda row: _perp(row, dex, collateral, tables))


def _listed(
    universe: Sequence[Any], read: Callable[[Mapping[str, Any]], VenueInstrument]
) -> list[VenueInstrument]:
    """Return what can be read: one bad row is not listed, and the rows that name it are unknown. Raises what
    the last row raised where none can be read.
    """
    found, unread = [], None
    for row in universe:
        try:
            found.append(read(row))
        except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
            unread = error
    if unread is not None and not found:
        raise unread
    return found


def _perp(row: Mapping[str, Any], dex: str, collateral: str, tables: Mapping[Any, Any]) -> VenueInstrument:
    name = text(row, "name")
    decimals = int(required(row, "szDecimals"))
    base, ratio = underlying(name)
    return VenueInstrument(
        venue_symbol=name,
        symbol=f"{name.upper().replace(':', '-') if dex else name}/{collateral}:{collateral}",
        contract=Contract(kind=ContractKind.LINEAR, base=name, quote=collateral, settle=collateral),
        scope=dex,
        price_tick=Decimal(1).scaleb(-max(0, 6 - decimals)),
        quantity_step=Decimal(1).scaleb(-decimals),
        max_leverage=optional(row, "maxLeverage"),
        margin_tiers=_tiers(row, tables),
        active=not row.get("isDelisted", False),
        underlying=base,
        ratio=ratio,
    )


def _tiers(row: Mapping[str, Any], tables: Mapping[Any, Any]) -> tuple[tuple[Decimal, Decimal], ...]:
    """(notional from which it applies, maximum leverage) per tier, ascending."""
    table = row.get("marginTableId")
    if table is not None and int(table) >= _FLAT_TABLES and table in tables:
        rows = tables[table].get("marginTiers", [])
        return tuple((required(tier, "lowerBound"), required(tier, "maxLeverage")) for tier in rows)
    leverage = optional(row, "maxLeverage")
    return ((Decimal(0), leverage),) if leverage is not None else ()


def spot_instruments(meta: Mapping[str, Any]) -> list[VenueInstrument]:
    """Spot pairs under the names that fills use (PURR/USDC, @107). Prices have at most 8 - szDecimals
    decimals.
    """
    tokens = {row["index"]: row for row in meta["tokens"] if isinstance(row, Mapping) and "index" in row}
    return _listed(meta["universe"], lambda row: _pair(row, tokens))


def _pair(row: Mapping[str, Any], tokens: Mapping[int, Mapping[str, Any]]) -> VenueInstrument:
    base_token, quote_token = (tokens[index] for index in row["tokens"])
    base, quote = text(base_token, "name"), text(quote_token, "name")
    decimals = int(required(base_token, "szDecimals"))
    name, ratio = underlying(base)
    return VenueInstrument(
        venue_symbol=text(row, "name"),
        symbol=f"{base}/{quote}",
        contract=Contract(
            kind=ContractKind.SPOT, base=base, quote=quote, settle=quote, base_fee=BaseFee.CAPITALISED
        ),
        scope=SPOT,
        price_tick=Decimal(1).scaleb(-max(0, 8 - decimals)),
        quantity_step=Decimal(1).scaleb(-decimals),
        underlying=name,
        ratio=ratio,
    )


def mids(answer: Mapping[str, Any], *, symbols: Collection[str] | None, time: datetime) -> list[VenueMark]:
    """Marks of an allMids answer; a price that cannot be read is no mark."""
    wanted = set(symbols) if symbols is not None else None
    found = []
    for coin, price in answer.items():
        if wanted is not None and coin not in wanted:
            continue
        try:
            value = positive_or_none(number(price))
        except InvalidField:
            continue
        if value is not None:
            found.append(VenueMark(venue_symbol=coin, price=value, source="mid", time=time))
    return found
