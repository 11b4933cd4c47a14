"""A position as facts for the board: one flat dict, the same for the first paint, the socket and the pages.

Amounts are strings in fixed notation, times ISO 8601 UTC, unknown is None. How a fact reads on screen is
not decided here (core.templatetags.numbers, static/js/format.js).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol

from django.conf import settings

from core.money import fixed
from core.templatetags import numbers
from portfolio import proofs
from positions import queries, readings, state
from positions.catalogue import contract_of
from positions.marks import STALE_AFTER, Quote, shown
from positions.models import Account, Instrument, InstrumentKind, Position
from positions.risk.bands import risk_band
from positions.risk.measures import liquidation_distance_pct, notional, unrealized_pnl, unrealized_pnl_pct

Row = dict[str, Any]
Price = tuple[Decimal | None, datetime]
"""A mark and its time; None: not known any more, since then."""

VENUE_NAMES = {
    "okx": "OKX",
    "binanceusdm": "Binance",
    "binancecoinm": "Binance COIN-M",
    "gate": "Gate.io",
    "manual": "By hand",
}
_TEXTS = (
    "id", "name", "kind", "symbol", "venue", "account", "side_label", "size_asset", "status_label",
    "proof_label", "fees_title", "funding_title", "at",
)  # fmt: skip
_UNKNOWNS = (
    "side", "risk", "proof", "status", "leverage", "size", "quantity_step", "entry", "mark", "price_tick",
    "notional", "unrealized", "unrealized_pct", "realized", "fees", "funding", "liquidation", "distance_pct",
    "proof_reading", "proof_unproven", "age", "stale",
)  # fmt: skip
BLANK: Row = dict.fromkeys(_TEXTS, "") | dict.fromkeys(_UNKNOWNS)
"""What the row template for the browser is rendered with."""


def board(*, now: datetime) -> list[Row]:
    """Return the rows of all open positions, in the board's order."""
    return sorted(rows(queries.open_positions(), now=now), key=lambda row: str(row["order"]))


def rows(positions: Iterable[Position], *, now: datetime) -> list[Row]:
    """Return facts of positions read by `queries.board()`, with their proof as of now."""
    found = list(positions)
    prices = marks(found)
    verdicts = proofs.of(found, now=now)
    return [
        row(position, price=believed(prices[position.pk], now=now), proof=verdicts[position.pk])
        for position in found
    ]


def marks(positions: Collection[Position]) -> dict[int, Price | None]:
    """Return the last known price of each position, as Postgres has it, whatever its age."""
    coins = _coin_marks(positions)
    return {position.pk: _mark(position, coins) for position in positions}


def environments() -> tuple[str, ...]:
    """Return the environments of all accounts in use."""
    in_use = Account.objects.filter(enabled=True).exclude(venue="manual").order_by()
    return tuple(in_use.values_list("environment", flat=True).distinct())


def account_count() -> int:
    """Return how many accounts at venues are in use."""
    return Account.objects.filter(enabled=True).exclude(venue="manual").count()


def venue_name(venue: str) -> str:
    """Return how people write a venue's name."""
    return VENUE_NAMES.get(venue, venue.title())


def painted(row: Row, *, now: datetime) -> Row:
    """The row as of now, for the first paint: `age` in seconds and whether that is stale."""
    age = None if row["at"] is None else (now - datetime.fromisoformat(row["at"])).total_seconds()
    return row | {"age": age, "stale": age is None or age > stale_after()}


def stale_after() -> int:
    """Seconds after which a mark is grey: the one rule of positions.marks."""
    return min(int(STALE_AFTER.total_seconds()), settings.PRICE_STALENESS_THRESHOLD)


def believed(price: Price | None, *, now: datetime) -> Price | None:
    """What may be shown of a price: itself, or (None, since when) once it is too old to be believed."""
    if price is None or price[0] is None:
        return price
    seen = shown(
        quotes=[Quote(price[0], "mark", price[1])],
        now=now,
        unknown_after=timedelta(seconds=settings.PRICE_STALENESS_THRESHOLD),
    )
    return seen.price, price[1]


class Fold(Protocol):
    """What a row shows of the book's fold; sums in settle currency, maps by currency."""

    @property
    def realized_pnl(self) -> Decimal: ...
    @property
    def adjustment_pnl(self) -> Decimal: ...
    @property
    def fees(self) -> Mapping[str, Decimal]: ...
    @property
    def funding(self) -> Mapping[str, Decimal]: ...
    @property
    def fees_value(self) -> Decimal: ...
    @property
    def funding_value(self) -> Decimal: ...
    @property
    def interest_value(self) -> Decimal: ...
    @property
    def unknown_pnl(self) -> int: ...
    @property
    def unknown_fees(self) -> int: ...
    @property
    def incomplete(self) -> int: ...


def row(position: Position, *, price: Price | None, proof: str, fold: Fold | None = None) -> Row:
    """Return facts of one position read by `queries.board()`, at this price and with this proof.

    `fold` is what its `state` says, where the caller has it already; a price of None is not known (any more).
    """
    instrument = position.instrument
    contract = contract_of(instrument)
    said = _said(position)
    side = _side(position)
    reading = readings.of_leg(account=position.account, instrument=instrument)
    return {
        "id": position.pk,
        "version": position.version,
        "order": f"{instrument.underlying}|{instrument.symbol}|{position.account.label}|{position.pk:012}",
        "open": position.is_open,
        **_names(position, instrument),
        "side": side,
        "side_label": side.title(),
        "leverage": _text(_decimal(said.get("leverage"))),
        "size": fixed(position.quantity),
        "entry": _text(position.entry_price),
        **_results(fold or state.loads(position.state, contract=contract)),
        **priced(position, price=price),
        "liquidation": _text(_decimal(said.get("liquidation_price"))),
        "status": position.status,
        "status_label": position.get_status_display(),
        "proof": proof,
        "proof_label": proofs.label(proof, reading=reading),
        "proof_reading": reading.grade.value,
        "proof_unproven": list(reading.unproven),
    }


def priced(position: Position, *, price: Price | None) -> Row:
    """Return what of a row follows from the price."""
    contract = contract_of(position.instrument)
    mark, at = price or (None, None)
    unrealized = unrealized_pnl(
        contract=contract, size=position.quantity, mark=mark, open_cost=position.open_cost
    )
    liquidation = _decimal(_said(position).get("liquidation_price"))
    distance = liquidation_distance_pct(size=position.quantity, mark=mark, liquidation_price=liquidation)
    return {
        "mark": _text(mark),
        "at": None if at is None else at.isoformat(),
        "notional": _text(notional(contract=contract, size=position.quantity, price=mark)),
        "unrealized": _text(unrealized),
        "unrealized_pct": _text(
            unrealized_pnl_pct(unrealized_pnl=unrealized, entry_notional=position.open_cost)
        ),
        "net": _net(position, unrealized),
        "distance_pct": _text(distance),
        "risk": _risk(position.instrument, distance),
    }


def _said(position: Position) -> Mapping[str, Any]:
    """What the venue says of the leg; nothing while it still speaks of the other side of a flip."""
    said: Mapping[str, Any] = getattr(position, "venue_state", None) or {}
    held = _decimal(said.get("quantity"))
    return said if held is None or held * position.quantity > 0 else {}


def _names(position: Position, instrument: Instrument) -> Row:
    contract = contract_of(instrument)
    return {
        "name": _name(instrument),
        "kind": _kind(instrument),
        "symbol": instrument.symbol,
        "venue": venue_name(position.account.venue),
        "account": position.account.label,
        "account_id": position.account_id,
        "environment": position.account.environment,
        "environment_label": position.account.get_environment_display(),
        "leg": position.leg,
        "size_asset": instrument.quote if instrument.kind == InstrumentKind.INVERSE else instrument.base,
        "quantity_step": _text(instrument.quantity_step),
        "price_tick": _text(instrument.price_tick),
        "currency": contract.settle,
        "in_par": contract.settle in settings.PAR_CURRENCIES,
    }


def _net(position: Position, unrealized: Decimal | None) -> str | None:
    """Net P&L with the unrealized part; unknown when that is."""
    if not position.is_open:
        return fixed(position.net_pnl)
    return None if unrealized is None else fixed(position.net_pnl + unrealized)


def _results(episode: Fold) -> Row:
    """Realized, fees and funding in settle currency. A sum of which nothing is known is None, not 0."""
    return {
        "realized": _sum(episode.realized_pnl, unknown=episode.unknown_pnl),
        "fees": _sum(episode.fees_value, unknown=episode.unknown_fees),
        "funding": _sum(episode.funding_value, unknown=0),
        "interest": fixed(episode.interest_value),
        "adjustments": fixed(episode.adjustment_pnl),
        "fees_title": _by_currency(episode.fees, unknown=episode.unknown_fees),
        "funding_title": _by_currency(episode.funding, unknown=0),
        "incomplete": episode.incomplete,
    }


def _sum(value: Decimal, *, unknown: int) -> str | None:
    return None if unknown and not value else fixed(value)


def _by_currency(amounts: Mapping[str, Decimal], *, unknown: int) -> str:
    parts = [
        f"{numbers.quantity(amount)} {currency}" for currency, amount in sorted(amounts.items()) if amount
    ]
    return " + ".join([*parts, f"{unknown} unknown"] if unknown else parts)


def _side(position: Position) -> str:
    """Long, short or flat; of an ended episode, what it was."""
    if position.quantity:
        return "long" if position.quantity > 0 else "short"
    return position.leg if position.leg in ("long", "short") else "flat"


def _risk(instrument: Instrument, distance: Decimal | None) -> str:
    """A band of risk, "none" where no price liquidates, "unknown" where we cannot tell."""
    if instrument.kind in (InstrumentKind.SPOT, InstrumentKind.ASSET):
        return "none"
    return risk_band(distance_pct=distance) or "unknown"


def _name(instrument: Instrument) -> str:
    if instrument.kind == InstrumentKind.ASSET:
        return instrument.base
    if instrument.kind == InstrumentKind.SPOT:
        return f"{instrument.base}/{instrument.quote}"
    ends = f"{instrument.expires_at:%d%b%y}".upper() if instrument.expires_at else "PERP"
    return f"{instrument.base}-{ends}"


def _kind(instrument: Instrument) -> str:
    if instrument.kind in (InstrumentKind.SPOT, InstrumentKind.ASSET):
        return "spot"
    return "inverse" if instrument.kind == InstrumentKind.INVERSE else instrument.quote


def _mark(position: Position, coins: Mapping[int, Price]) -> Price | None:
    mark = getattr(position.instrument, "mark", None)
    return (mark.price, mark.at) if mark else coins.get(position.instrument_id)


def _coin_marks(positions: Iterable[Position]) -> dict[int, Price]:
    """Prices of held coins that have no mark of their own, {instrument id: (USD price, time)}."""
    worlds: dict[tuple[str, str, str], dict[str, int]] = defaultdict(dict)
    for position in positions:
        asset = position.instrument
        if asset.kind == InstrumentKind.ASSET and not hasattr(asset, "mark"):
            worlds[asset.environment, asset.venue, asset.base_url][asset.base] = asset.pk
    found: dict[int, Price] = {}
    for (environment, venue, base_url), assets in worlds.items():
        prices = queries.coin_prices(environment=environment, venue=venue, base_url=base_url, coins=assets)
        found |= {assets[coin]: (price.price, price.at) for coin, price in prices.items()}
    return found


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _text(value: Decimal | None) -> str | None:
    return None if value is None else fixed(value)
