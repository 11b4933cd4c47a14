"""ccxt's unified rows as positions, balances and instruments (facts: unified_facts.py). Pure.

Quantities: contracts × the market's contractSize, once, here; the row's own contractSize is not trusted
(ccxt derives it). A number counts as the venue's own if it is in its raw
row (`info`); else ccxt computed it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from functools import reduce
from typing import Any

from positions.book.contracts import Contract, ContractKind
from positions.book.entries import Leg
from positions.book.money import add, divide, multiply, negate, rounded
from positions.venues.base import BalanceRow, PositionRow, VenueInstrument
from positions.venues.fields import InvalidField, booked, moment, number, optional, positive_or_none, required
from positions.venues.instruments.aliases import underlying

Row = Mapping[str, Any]
_NOT_ASSETS = frozenset({"info", "timestamp", "datetime", "free", "used", "total", "debt"})
_NUMBERS = {
    "entry_price": "entryPrice",
    "mark_price": "markPrice",
    "liquidation_price": "liquidationPrice",
    "unrealized_pnl": "unrealizedPnl",
    "realized_pnl": "realizedPnl",
    "notional": "notional",
    "leverage": "leverage",
    "initial_margin": "initialMargin",
    "maintenance_margin": "maintenanceMargin",
    "isolated_margin": "collateral",
}
_PRICES = ("entry_price", "mark_price", "liquidation_price", "leverage")


def instrument(market: Row, *, scope: str = "") -> VenueInstrument:
    """An instrument of a unified market. Raises InvalidField when the size of its contract is not known."""
    symbol, base, quote = str(market["symbol"]), str(market["base"]), str(market["quote"])
    is_contract = bool(market.get("contract"))
    size = number(market.get("contractSize"), "contractSize") if is_contract else Decimal(1)
    if size is None or size <= 0:
        raise InvalidField(f"contract size of {symbol} is not known")
    precision, limits = market.get("precision") or {}, market.get("limits") or {}
    name, ratio = underlying(base)
    return VenueInstrument(
        venue_symbol=symbol,
        symbol=symbol,
        contract=_contract(market, base, quote),
        scope=scope,
        expiry=moment(market["expiry"]) if market.get("expiry") else None,
        option=bool(market.get("option")),
        contract_size=size,
        price_tick=positive_or_none(number(precision.get("price"))),
        quantity_step=_scaled(positive_or_none(number(precision.get("amount"))), size),
        max_leverage=number((limits.get("leverage") or {}).get("max")),
        active=market.get("active") is not False,
        underlying=name,
        ratio=ratio,
    )


def _contract(market: Row, base: str, quote: str) -> Contract:
    """Options pay their premium difference in settle currency, whatever they are written on: linear in it."""
    if not market.get("contract"):
        return Contract(kind=ContractKind.SPOT, base=base, quote=quote, settle=quote)
    settle = str(market.get("settle") or quote)
    if market.get("option"):
        return Contract(kind=ContractKind.LINEAR, base=base, quote=settle, settle=settle)
    if market.get("inverse"):
        return Contract(kind=ContractKind.INVERSE, base=base, quote=quote, settle=settle)
    return Contract(kind=ContractKind.LINEAR, base=base, quote=quote, settle=settle)


def _scaled(step: Decimal | None, size: Decimal) -> Decimal | None:
    return None if step is None else multiply(step, size)


def units(row: Row, field: str, market: VenueInstrument, *, size: Decimal) -> Decimal:
    """Return the contracts in a field as units; `size` is that of one contract. Raises InvalidField."""
    step = None if market.quantity_step is None else divide(market.quantity_step, size)
    return booked(multiply(required(row, field, step=step), size))


def reported(info: Any) -> set[Decimal]:
    """Return every number in a raw row, unsigned: these are the venue's own."""
    found: set[Decimal] = set()
    pending = [info]
    while pending:
        item = pending.pop()
        if isinstance(item, Mapping):
            pending.extend(item.values())
        elif isinstance(item, (list, tuple)):
            pending.extend(item)
        elif item is not None and not isinstance(item, bool):
            try:
                value = number(item)
            except InvalidField:
                continue
            if value is not None:
                found.add(value.copy_abs())
    return found


def position(
    row: Row, market: VenueInstrument, *, hedged: bool | None = None, size: Decimal | None = None
) -> PositionRow:
    """Return one leg of a unified position; a zero row has quantity 0, its side may be unknown.

    Raises InvalidField.

    `size` replaces the market's contract size where a venue's rows count in something else.
    """
    contracts = required(row, "contracts")
    size = market.contract_size if size is None else size
    side = row.get("side")
    if contracts and side not in ("long", "short"):
        raise InvalidField(f"side is {side!r}, neither long nor short")
    values = {ours: optional(row, theirs) for ours, theirs in _NUMBERS.items()}
    own = reported(row.get("info"))
    derived = {ours for ours, value in values.items() if value is not None and value.copy_abs() not in own}
    for price in _PRICES:
        values[price] = positive_or_none(values[price])
    margin_mode = row.get("marginMode")
    if margin_mode != "isolated":
        values["isolated_margin"] = None
    if values["notional"] is not None:
        values["notional"] = values["notional"].copy_abs()
    held = units(row, "contracts", market, size=size).copy_abs()
    quantity = negate(held) if side == "short" else held
    _check_quantity_source(contracts, size, market, values, own)
    if "notional" not in derived:
        agree(quantity, market, values["notional"], values["mark_price"] or values["entry_price"])
    is_hedged = row.get("hedged") if hedged is None else hedged
    return PositionRow(
        venue_symbol=market.venue_symbol,
        leg=Leg(side) if is_hedged and side else Leg.NET,
        quantity=quantity,
        currency=market.contract.settle,
        scope=market.scope,
        margin_mode=str(margin_mode) if margin_mode else None,
        time=moment(row["timestamp"]) if row.get("timestamp") else None,
        derived=frozenset(name for name in derived if values[name] is not None),
        **values,  # type: ignore[arg-type]  # every name of _NUMBERS is an amount
    )


def _check_quantity_source(
    contracts: Decimal,
    size: Decimal,
    market: VenueInstrument,
    values: Mapping[str, Decimal | None],
    own: set[Decimal],
) -> None:
    """Raise InvalidField for a size that ccxt computed from the notional, or a zero beside a notional."""
    notional, held = values["notional"], multiply(contracts, size).copy_abs()
    if not notional or notional not in own:
        return
    if not contracts:
        raise InvalidField(f"size 0 with a notional of {notional:f}")
    if contracts.copy_abs() in own or held in own:
        return
    inverse = market.contract.kind is ContractKind.INVERSE
    for price in (values["mark_price"], values["entry_price"]):
        if price is None:
            continue
        value = held / price if inverse else held * price
        if abs(value / notional - 1) < Decimal("1e-9"):
            raise InvalidField(f"the venue did not say the size: {contracts:f} was made of the notional")


def agree(units: Decimal, market: VenueInstrument, notional: Decimal | None, price: Decimal | None) -> None:
    """Check units against the notional that the venue itself reports. Raises InvalidField when they are far
    apart.

    Catches a contract size that is not what the row counts in: off by 10, never by a few percent.
    """
    if not units or not notional or not price or market.option:
        return
    inverse = market.contract.kind is ContractKind.INVERSE
    values = (abs(units) / price, abs(units)) if inverse else (abs(units) * price,)
    if not any(Decimal("0.5") < value / notional < 2 for value in values):
        raise InvalidField(
            f"{abs(units):f} units at {price:f} do not make the reported notional {notional:f}"
        )


def legs(rows: Iterable[PositionRow]) -> list[PositionRow]:
    """One row per (symbol, leg): two net rows of opposite sides are hedge legs; margin modes are summed."""
    by_symbol: dict[str, list[PositionRow]] = {}
    for row in rows:
        by_symbol.setdefault(row.venue_symbol, []).append(row)
    result = []
    for group in by_symbol.values():
        if len({row.quantity > 0 for row in group}) == 2:
            group = [
                replace(row, leg=Leg.LONG if row.quantity > 0 else Leg.SHORT) if row.leg is Leg.NET else row
                for row in group
            ]
        for leg in dict.fromkeys(row.leg for row in group):
            result.append(_summed([row for row in group if row.leg is leg]))
    return result


def _summed(rows: list[PositionRow]) -> PositionRow:
    """Positions that differ in margin mode only are one leg of the book."""
    first = rows[0]
    if len(rows) == 1:
        return first
    quantity = reduce(add, (row.quantity for row in rows))
    known = [multiply(row.entry_price, row.quantity) for row in rows if row.entry_price is not None]
    complete = len(known) == len(rows) and quantity
    average = rounded(divide(reduce(add, known), quantity)) if complete else None
    return PositionRow(
        venue_symbol=first.venue_symbol,
        leg=first.leg,
        quantity=quantity,
        currency=first.currency,
        scope=first.scope,
        entry_price=average,
        mark_price=first.mark_price,
        unrealized_pnl=_total(row.unrealized_pnl for row in rows),
        notional=_total(row.notional for row in rows),
        margin_mode="mixed",
        derived=frozenset({"entry_price", "unrealized_pnl", "notional"}),
    )


def _total(values: Iterable[Decimal | None]) -> Decimal | None:
    total = Decimal(0)
    for value in values:
        if value is None:
            return None
        total = add(total, value)
    return total


def balance_assets(answer: Row) -> list[str]:
    """The assets that a unified balance says anything about (ccxt invents rows of nothing but None)."""
    return [
        asset
        for asset, row in answer.items()
        if asset not in _NOT_ASSETS
        and isinstance(row, Mapping)
        and any(row.get(name) is not None for name in ("total", "free", "used", "debt"))
    ]


def balance(asset: str, row: Row, *, wallet: str) -> BalanceRow:
    """One asset of a unified balance. A total that the venue did not give is unknown. Raises InvalidField."""
    total, free, used = optional(row, "total"), optional(row, "free"), optional(row, "used")
    if total is None and free is not None and used is not None:
        total = add(free, used)
    return BalanceRow(
        wallet=wallet, asset=asset, total=total, free=free, used=used, debt=optional(row, "debt")
    )
