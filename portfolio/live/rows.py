"""A position as facts for the board: one flat dict, the same for the first paint, the socket and the pages.

Amounts are strings in fixed notation, times ISO 8601 UTC, unknown is None. How a fact reads on screen is
not decided here (core.templatetags.numbers, static/js/format.js).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta

from django.conf import settings

from portfolio.live import board_position
from portfolio.live.board_position import (
    BoardPosition,
    Quoted,
    facts_of,
    market_of,
    owner_of,
    quoted,
    row_of,
    said_of,
    value,
)
from portfolio.live.board_position import Price as Price
from portfolio.live.board_position import Row as Row
from positions import queries
from positions.book.world import World
from positions.ledger import serialise
from positions.models import InstrumentKind, Position
from positions.queries import accounts_in_use
from positions.risk.mark_price import STALE_AFTER, Quote, shown
from reconciliation import queries as proven

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
    verdicts = proven.statuses(positions=found, now=now)
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
    in_use = accounts_in_use().order_by()
    return tuple(in_use.values_list("environment", flat=True).distinct())


def account_count() -> int:
    """Return how many accounts at venues are in use."""
    return accounts_in_use().count()


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


def row(position: Position, *, price: Price | None, proof: str) -> Row:
    """Return facts of one position read by `queries.board()`, at this price and with this proof."""
    facts, mark = _valued(position, price, proof)
    return row_of(facts, price=mark)


def summed(positions: Collection[Position], *, now: datetime) -> list[Row]:
    """Return what totals need of positions read by `queries.board()`, with their proof as of now."""
    prices = marks(positions)
    verdicts = proven.statuses(positions=list(positions), now=now)
    rows = []
    for position in positions:
        price = believed(prices[position.pk], now=now)
        facts, mark = _valued(position, price, verdicts[position.pk])
        rows.append(board_position.summed(facts, price=mark))
    return rows


def _valued(position: Position, price: Price | None, proof: str) -> tuple[BoardPosition, Quoted]:
    market = market_of(position.instrument)
    facts = facts_of(
        position,
        fold=serialise.loads(position.state, contract=market.contract),
        owner=owner_of(position.account),
        market=market,
        said=said_of(getattr(position, "venue_state", None)),
    )
    facts.proof = proof
    mark = quoted(price)
    value(facts, price=mark)
    return facts, mark


def _mark(position: Position, coins: Mapping[int, Price]) -> Price | None:
    mark = getattr(position.instrument, "mark", None)
    return (mark.price, mark.at) if mark else coins.get(position.instrument_id)


def _coin_marks(positions: Iterable[Position]) -> dict[int, Price]:
    """Prices of held coins that have no mark of their own, {instrument id: (USD price, time)}."""
    worlds: dict[World, dict[str, int]] = defaultdict(dict)
    for position in positions:
        asset = position.instrument
        if asset.kind == InstrumentKind.ASSET and not hasattr(asset, "mark"):
            worlds[asset.world][asset.base] = asset.pk
    found: dict[int, Price] = {}
    for world, assets in worlds.items():
        prices = queries.coin_prices(world=world, coins=assets)
        found |= {assets[coin]: (price.price, price.at) for coin, price in prices.items()}
    return found
