"""A position as a row: one flat dict, the same for the board's first paint, the socket and the pages.

Amounts are strings in fixed notation, times ISO 8601 UTC, unknown is None. How a fact reads on screen is
not decided here (core.templatetags.numbers, static/js/format.js).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta

from django.conf import settings

from core.templatetags import numbers
from core.values.money import fixed
from portfolio import rollup
from portfolio.live import board_position
from portfolio.live.board_position import BoardPosition, BoardPrice, LegVerdict, PriceAt
from portfolio.live.board_position import Row as Row
from positions import queries
from positions.book.world import World
from positions.ledger import serialise
from positions.models import Account, Instrument, InstrumentKind, Position
from positions.queries import accounts_in_use
from positions.risk.mark_price import STALE_AFTER, Quote, shown
from positions.sync import feed_words
from reconciliation import queries as proven
from reconciliation.queries import NEVER_COMPARED, Proof

Conversions = Mapping[int, Mapping[str, tuple[str, str]]]
"""By account id and currency: what one unit is worth in USD, and the time of that price, as text."""


def board(*, now: datetime) -> list[Row]:
    """Return the rows of all open positions, in the board's order."""
    return sorted(rows(queries.open_positions(), now=now), key=lambda row: str(row["order"]))


def rows(positions: Iterable[Position], *, now: datetime) -> list[Row]:
    """Return the rows of positions read by `queries.board()`, with their proof as of now."""
    read = list(positions)
    prices = marks(read)
    proofs = proven.proofs(positions=read, now=now)
    words = _feeds(read, now)
    return [
        row(
            position,
            price=believed(prices[position.pk], now=now),
            proof=proofs[position.pk],
            feed=words[position.account_id],
        )
        for position in read
    ]


def marks(positions: Collection[Position]) -> dict[int, PriceAt | None]:
    """Return the last known price of each position, as Postgres has it, whatever its age."""
    coins = coin_marks(position.instrument for position in positions)
    return {position.pk: _mark(position, coins) for position in positions}


def environments() -> tuple[str, ...]:
    """Return the environments of all accounts in use."""
    in_use = accounts_in_use().order_by()
    return tuple(in_use.values_list("environment", flat=True).distinct())


def account_count() -> int:
    """Return how many accounts at venues are in use."""
    return accounts_in_use().count()


def painted(row: Row, *, now: datetime) -> Row:
    """Return the row as of now, for the first paint.

    It has the `age` of its price in seconds, whether that is `stale`, whether its proof is `aged`, and the
    proof in words, with its age then.
    """
    age = _age(row["mark_at"], now)
    aged = rollup.is_aged(proof=row["proof"], feed=row["feed"])
    proof_text = f"Synced {numbers.age(_age(row['proof_at'], now))} ago" if aged else row["proof_label"]
    stale = age is None or age > stale_after()
    return row | {"age": age, "stale": stale, "aged": aged, "proof_text": proof_text}


def _age(at: str | None, now: datetime) -> float | None:
    return None if at is None else (now - datetime.fromisoformat(at)).total_seconds()


def stale_after() -> int:
    """Return the seconds after which a mark is grey, as `positions.risk.mark_price` rules."""
    return min(int(STALE_AFTER.total_seconds()), settings.PRICE_STALENESS_THRESHOLD)


def believed(price: PriceAt | None, *, now: datetime) -> PriceAt | None:
    """Return the price while it may be shown, and (None, its time) once it is too old to be believed."""
    if price is None or price[0] is None:
        return price
    seen = shown(
        quotes=[Quote(price[0], "mark", price[1])],
        now=now,
        unknown_after=timedelta(seconds=settings.PRICE_STALENESS_THRESHOLD),
    )
    return seen.price, price[1]


def row(
    position: Position, *, price: PriceAt | None, proof: Proof = NEVER_COMPARED, feed: str | None = None
) -> Row:
    """Return the row of one position read by `queries.board()`, at this price and with this proof.

    Without `feed` it is one of the past.
    """
    valued, mark = _valued(position, price, proof, feed)
    return board_position.row_of(valued, price=mark)


def conversions(settled: Iterable[tuple[Account, str]]) -> Conversions:
    """Return what settle currencies that are not par are worth in USD, by account id and currency."""
    worlds: dict[World, tuple[set[int], set[str]]] = {}
    for account, settle in settled:
        if settle not in settings.PAR_CURRENCIES:
            accounts, coins = worlds.setdefault(account.world, (set(), set()))
            accounts.add(account.pk)
            coins.add(settle)
    found: dict[int, Mapping[str, tuple[str, str]]] = {}
    for world, (accounts, coins) in worlds.items():
        prices = queries.coin_prices(world=world, coins=coins)
        written = {coin: (fixed(one.price), one.at.isoformat()) for coin, one in prices.items()}
        found |= dict.fromkeys(accounts, written)
    return found


def converted(row: Row, rates: Conversions) -> Row:
    """Return the row with what its currency is worth in USD, if that is no par currency."""
    if row["in_par"]:
        return row
    rate = rates.get(row["account_id"], {}).get(row["currency"])
    return row | {"conversion": None if rate is None else rate[0]}


def _feeds(positions: Iterable[Position], now: datetime) -> dict[int, str]:
    return feed_words.of({one.account_id: one.account.is_manual for one in positions}, now=now)


def _valued(
    position: Position, price: PriceAt | None, proof: Proof, feed: str | None
) -> tuple[BoardPosition, BoardPrice]:
    market = board_position.board_market(position.instrument)
    valued = board_position.board_position(
        position,
        fold=serialise.loads(position.state, contract=market.contract),
        account=board_position.board_account(position.account),
        market=market,
        terms=board_position.venue_terms(getattr(position, "venue_state", None)),
    )
    valued.verdict = LegVerdict(0, proof.status, proof.as_of)
    valued.proof, valued.feed = proof.status, feed
    mark = board_position.board_price(price)
    board_position.value(valued, price=mark)
    return valued, mark


def _mark(position: Position, coins: Mapping[int, PriceAt]) -> PriceAt | None:
    mark = getattr(position.instrument, "mark", None)
    return (mark.price, mark.at) if mark else coins.get(position.instrument_id)


def coin_marks(instruments: Iterable[Instrument]) -> dict[int, PriceAt]:
    """Return the prices of held coins that have no mark of their own: {instrument id: (USD price, time)}."""
    worlds: dict[World, dict[str, int]] = defaultdict(dict)
    for asset in instruments:
        if asset.kind == InstrumentKind.ASSET and not hasattr(asset, "mark"):
            worlds[asset.world][asset.base] = asset.pk
    prices: dict[int, PriceAt] = {}
    for world, assets in worlds.items():
        by_coin = queries.coin_prices(world=world, coins=assets)
        prices |= {assets[coin]: (price.price, price.at) for coin, price in by_coin.items()}
    return prices
