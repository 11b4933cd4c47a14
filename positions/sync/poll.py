"""Asking venues on a schedule, where nothing streams: facts to `ingest`, what they show to `observe`.

Each function does one round for one account. The network comes first, then one booking; a round that fails
raises, changes nothing and is tried again by the next one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import redis
import structlog

from core.values.money import fixed
from positions import ingest, live, observe
from positions.ledger.instruments import COIN_PREFIX, par_currencies
from positions.models import Account, VenueState
from positions.sync import feed_queries as queries
from positions.sync import opening_balances
from positions.sync.connections import connect, run
from positions.venues.base import EntryBatch, Evidence, Method, PositionRow, Report, Venue, VenueMark
from positions.venues.reports import VenueInstrument

# Everything a venue still keeps: the first round of an account reads its whole history.
BEGINNING = datetime(2009, 1, 3, tzinfo=UTC)
# What moves cash besides fills. Asked apart: fills are what people wait for.
CASH = [Method.FUNDING, Method.TRANSFERS]
# A fact may become visible a little after its time: each round looks again at what the last one saw.
OVERLAP = timedelta(seconds=10)
# A fact whose coin the venue does not list (yet) keeps the cursor before it, that long at most.
WAITS_FOR_LISTING = timedelta(minutes=15)
# Facts of one transaction: a long history does not lock the account for minutes, and its progress shows.
BATCH = 500

log = structlog.get_logger("poll")


@dataclass(frozen=True, slots=True)
class PollResult:
    """The result of one round: entries booked, entries known already, and whether the window was covered.

    `waits`: facts wait for their coin to be listed; the next round finds them again.
    """

    booked: int
    known: int
    complete: bool
    waits: bool = False


Progress = Callable[[Method, int, int], None]
"""Called after each batch with the feed, the entries read so far and their number."""


def facts(
    *,
    account: Account,
    methods: Iterable[Method],
    now: datetime,
    trace_id: str,
    progress: Progress | None = None,
) -> PollResult:
    """Book what happened since each method's cursor; the cursor moves in the last batch's transaction.

    A method that the venue does not have (funding on a spot exchange) brings nothing.
    Raises VenueError when the venue cannot be read, and whatever `ingest.record` raises.
    """
    venue = connect(account=account)
    if not queries.is_opened(account=account.pk):
        _open(account=account, venue=venue, now=now, trace_id=trace_id)
    offered = [one for one in methods if venue.capabilities[one].evidence is not Evidence.UNSUPPORTED]
    rounds = [_facts_of(account, venue, method, now, trace_id, progress) for method in offered]
    return PollResult(
        booked=sum(one.booked for one in rounds),
        known=sum(one.known for one in rounds),
        complete=all(one.complete for one in rounds),
        waits=any(one.waits for one in rounds),
    )


def _facts_of(
    account: Account,
    venue: Venue,
    method: Method,
    now: datetime,
    trace_id: str,
    progress: Progress | None,
) -> PollResult:
    asked = ask(account=account, venue=venue, method=method, now=now)
    results = keep(
        account=account, asked=asked, source=f"poll {method}", trace_id=trace_id, now=now, progress=progress
    )
    found = Counter(result.outcome for result in results)
    return PollResult(
        found[ingest.EntryOutcome.BOOKED],
        found[ingest.EntryOutcome.DUPLICATE],
        asked.batch.complete,
        asked.waits,
    )


@dataclass(frozen=True, slots=True)
class MethodAnswer:
    """A venue's answer for one method, and the time up to which there is no gap once it is booked.

    `waits`: facts of a coin that is not listed yet are behind that time, to be asked for again.
    """

    method: Method
    batch: EntryBatch
    through: datetime | None
    waits: bool = False


def ask(
    *, account: Account, venue: Venue, method: Method, now: datetime, since: datetime | None = None
) -> MethodAnswer:
    """Read what happened since a method's cursor, or since an earlier time. Raises VenueError.

    A cursor moves only where what was covered begins at or before what it was at, and never back. What the
    venue keeps no more cannot be asked for again: the cursor goes on from where its history begins, and the
    batch is complete, unless the cursor was before that: then facts are lost, and it is not.
    """
    through = queries.read_through(account=account.pk, feed=method)
    begin = BEGINNING if through is None else through - OVERLAP
    begin = begin if since is None else min(begin, since)
    batch = run(venue.entries(since=begin, methods=[method]))
    unlisted = _learn_of(account, venue, batch, now=now)
    kept = batch.kept_since or begin
    lost = through is not None and kept > through
    batch = replace(batch, complete=batch.complete or (batch.exhausted and not lost))
    # What was not covered stays behind the cursor, so that the next round asks for it again.
    covered = batch.covered[1] if batch.covered and batch.covered[0] <= max(begin, kept) else through
    waits = unlisted is not None and now - unlisted < WAITS_FOR_LISTING
    if waits and unlisted is not None and covered is not None:
        covered = min(covered, unlisted - timedelta(milliseconds=1))
    if through is not None and (covered is None or covered < through):
        covered = through
    return MethodAnswer(method, batch, covered, waits)


def _learn_of(account: Account, venue: Venue, batch: EntryBatch, *, now: datetime) -> datetime | None:
    """Write the instruments and coins of a batch that are new to us; return since when one is not listed."""
    par = par_currencies()
    coins = {
        name for entry in batch.entries for name in (entry.currency, entry.fee_currency) if name
    } - par  # fmt: skip
    symbols = {entry.instrument for entry in batch.entries if entry.instrument}
    known = learn(account, venue, symbols=symbols, now=now)
    strange = {coin for coin in coins if COIN_PREFIX + coin not in known}
    if strange and run(venue.relist(strange)) is not None:
        known = learn(account, venue, symbols={COIN_PREFIX + coin for coin in strange}, now=now)
        strange = {coin for coin in strange if COIN_PREFIX + coin not in known}
    since = [entry.time for entry in batch.entries if {entry.currency, entry.fee_currency} & strange]
    return min([*since, *([batch.unknown_since] if batch.unknown_since else [])], default=None)


def keep(
    *,
    account: Account,
    asked: MethodAnswer,
    source: str,
    trace_id: str,
    now: datetime,
    progress: Progress | None = None,
) -> list[ingest.EntryResult]:
    """Book what was asked for, a batch at a time; returns what happened to each entry, in their order.

    The cursor moves with the last batch: a crash in between asks for all of them again. Raises whatever
    `ingest.record` raises.
    """
    entries = asked.batch.entries
    results: list[ingest.EntryResult] = []
    starts = range(0, max(1, len(entries)), BATCH)
    for start in starts:
        at_end = start == starts[-1]
        recorded = ingest.record(
            account=account,
            entries=entries[start : start + BATCH],
            source=source,
            trace_id=trace_id,
            now=now,
            cursor=ingest.Cursor(feed=asked.method, through=asked.through, position={}) if at_end else None,
        )
        results += recorded.results
        if progress is not None:
            progress(asked.method, min(start + BATCH, len(entries)), len(entries))
    return results


def report(*, account: Account, now: datetime) -> Report:
    """Read the venue's report and write what it says of each leg and wallet. Raises VenueError."""
    venue = connect(account=account)
    found = run(venue.report())
    state(account=account, venue=venue, report=found, now=now)
    return found


def state(*, account: Account, venue: Venue, report: Report, now: datetime) -> None:
    """Write what a report says, and tell the live log what of it is news.

    An absent leg is written as flat only where the report proves that it is.
    """
    ids = learn(account, venue, symbols={row.venue_symbol for row in report.positions}, now=now)
    named = {(row.venue_symbol, row.leg.value) for row in report.positions}
    stated = [_stated(row, ids) for row in report.positions if row.venue_symbol in ids]
    for instrument, symbol, leg, scope in queries.stated_legs(account=account.pk):
        if (symbol, leg) not in named and report.observed(symbol, scope=scope):
            stated.append(observe.VenueStatement(instrument=instrument, leg=leg, quantity=Decimal(0)))
    stated += [
        observe.VenueStatement(
            wallet=row.wallet,
            margin=row.initial_margin,
            margin_balance=row.margin_balance,
            maintenance_margin=row.maintenance_margin,
            unrealized_pnl=row.unrealized_pnl,
            details={} if report.account_mode is None else {"account_mode": report.account_mode},
        )
        for row in report.margin
    ]
    changed = observe.venue_states(account=account, stated=stated, as_of=report.as_of, now=now)
    if changed:
        _tell(account, changed)


def _tell(account: Account, changed: Iterable[VenueState]) -> None:
    """After the commit. A frame that Redis did not take is no loss: the next report is absolute again."""
    frame = {"account": account.pk, "states": [_stated_row(row) for row in changed]}
    try:
        live.append(kind="venue_state", account=account.pk, frame=frame)
    except redis.RedisError as error:
        log.warning("live log did not take a frame", account=account.label, error=str(error))


def _stated_row(row: VenueState) -> dict[str, Any]:
    amounts = {name: getattr(row, name) for name in _AMOUNTS}
    return {
        "instrument_id": row.instrument_id,
        "leg": row.leg,
        "wallet": row.wallet,
        "revision": row.revision,
        "as_of": row.as_of.isoformat(),
        "margin_mode": row.margin_mode,
        "no_liquidation": row.no_liquidation,
        **{name: None if value is None else fixed(value) for name, value in amounts.items()},
    }


_AMOUNTS = (
    "quantity", "entry_price", "leverage", "margin", "maintenance_margin", "margin_balance",
    "liquidation_price", "unrealized_pnl",
)  # fmt: skip


def _stated(row: PositionRow, ids: Mapping[str, int]) -> observe.VenueStatement:
    return observe.VenueStatement(
        instrument=ids[row.venue_symbol],
        leg=row.leg.value,
        quantity=row.quantity,
        entry_price=row.entry_price,
        leverage=row.leverage,
        margin_mode=row.margin_mode,
        margin=row.isolated_margin if row.isolated_margin is not None else row.initial_margin,
        maintenance_margin=row.maintenance_margin,
        liquidation_price=row.liquidation_price,
        no_liquidation=row.no_liquidation,
        unrealized_pnl=row.unrealized_pnl,
        details={} if row.notional is None else {"notional": fixed(row.notional)},
    )


def marks(*, account: Account, now: datetime) -> int:
    """Write the newest prices of what is held in the account's world; returns how many. Raises VenueError."""
    symbols = queries.symbols_to_price(world=account.world)
    if not symbols:
        return 0
    venue = connect(account=account)
    found: tuple[VenueMark, ...] = run(venue.marks(symbols=symbols))
    ids = learn(account, venue, symbols={mark.venue_symbol for mark in found}, now=now)
    prices = [
        observe.MarkPrice(
            instrument=ids[mark.venue_symbol], price=mark.price, source=mark.source, at=mark.time
        )
        for mark in found
        if mark.venue_symbol in ids
    ]
    observe.marks(prices=prices, now=now)
    return len(prices)


def _open(*, account: Account, venue: Venue, now: datetime, trace_id: str) -> None:
    """Fix T0: what each wallet holds at connection, as an entry at its time."""
    entries = opening_balances.balances(venue=venue)
    # It takes a while, and another process may have done it meanwhile.
    if entries is None or queries.is_opened(account=account.pk):
        return
    learn(account, venue, symbols=set(), now=now)
    ingest.record(account=account, entries=entries, source="connection", trace_id=trace_id, now=now)


def learn(account: Account, venue: Venue, *, symbols: set[str], now: datetime) -> dict[str, int]:
    """Return ids by venue symbol, writing the venue's instruments first where one is new to us.

    Raises VenueError when they must be asked for and cannot be.
    """
    known = queries.instrument_ids(world=account.world)
    if known and symbols <= known.keys():
        return known
    described = map(_described, run(venue.instruments()))
    return known | observe.instruments(world=account.world, described=described, now=now)


def _described(one: VenueInstrument) -> observe.InstrumentDescription:
    return observe.InstrumentDescription(
        venue_symbol=one.venue_symbol,
        symbol=one.symbol,
        kind=one.contract.kind.value,
        base=one.contract.base,
        quote=one.contract.quote,
        settle=one.contract.settle,
        multiplier=one.contract.multiplier,
        base_fee=one.contract.base_fee.value,
        underlying=one.underlying,
        underlying_ratio=one.ratio,
        price_tick=one.price_tick,
        quantity_step=one.quantity_step,
        max_leverage=one.max_leverage,
        expires_at=one.expiry,
        active=one.active,
        details={
            "scope": one.scope,
            "margin_tiers": [[str(bound), str(leverage)] for bound, leverage in one.margin_tiers],
        },
    )
