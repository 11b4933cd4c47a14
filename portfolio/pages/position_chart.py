"""The chart of a position: prices from before its first fill, its fills, its P&L. Asks the venue for prices.

Amounts are text. Times are seconds since 1970, UTC, as the chart's library counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from core.values.money import fixed
from portfolio.snapshots.series import Subject, series
from positions import queries
from positions.api.queries import entries_of
from positions.book import Kind, Side, money
from positions.models import Entry, Instrument, Position
from positions.sync import candles
from positions.sync.candles import INTERVALS, NoMarket
from positions.sync.connections import CredentialsUnreadable
from positions.venues.base import Candle, VenueError

BEFORE = 6  # a sixth of the time held is shown before the first fill, and after the last one
SHORTEST = timedelta(hours=1)
MOST_FILLS = 5_000

Facts = dict[str, Any]


def position_chart(*, pk: int, now: datetime) -> Facts:
    """Return what the chart draws; `problem` says why it has no candles. Raises Position.DoesNotExist.

    A gap is a range without candles: nothing traded, or the venue keeps no more of them.
    """
    position = queries.board().get(pk=pk)
    since, until = _range(position, now)
    step, found, problem, detail = _candles(position, since, until, now)
    return {
        "since": _seconds(since),
        "until": _seconds(until),
        "step": int(step.total_seconds()),
        "problem": problem,
        "detail": detail,
        "tick": None if position.instrument.price_tick is None else fixed(position.instrument.price_tick),
        "candles": [
            [_seconds(one.time), fixed(one.open), fixed(one.high), fixed(one.low), fixed(one.close)]
            for one in found
        ],
        "fills": _fills(position, step),
        "pnl": _pnl(position, since, until, now),
    }


def _range(position: Position, now: datetime) -> tuple[datetime, datetime]:
    ended = position.closed_at or now
    around = max((ended - position.opened_at) / BEFORE, SHORTEST)
    return position.opened_at - around, min(ended + around, now)


def _candles(
    position: Position, since: datetime, until: datetime, now: datetime
) -> tuple[timedelta, Sequence[Candle], str, str]:
    """Return step, candles, and what is to be said where there are none: in short, and in detail."""
    nothing = INTERVALS[candles.interval_for(since, until)]
    if position.account.is_manual:
        return nothing, (), "A position kept by hand has no venue to read prices from.", ""
    if not position.account.enabled or (position.account.paused_until or now) > now:
        return nothing, (), "Its account is switched off or paused: the venue is not asked.", ""
    try:
        market: Instrument = candles.market_of(position.instrument)
        name, found = candles.candles(
            account=position.account, market=market, since=since, until=until, now=now
        )
    except NoMarket as error:
        return nothing, (), f"No chart: {error}.", ""
    except (VenueError, CredentialsUnreadable) as error:
        return nothing, (), f"The venue gave no prices: {str(error).partition(' (')[0]}.", str(error)
    return INTERVALS[name], found, "" if found else "The venue has no prices of this time any more.", ""


def _fills(position: Position, step: timedelta) -> list[Facts]:
    """Return fills put together by candle and side: where they are drawn one would cover the other."""
    base = position.instrument.base  # of what feeds a coin, only pairs of that coin count in it
    fills = entries_of(position=position).filter(kind=Kind.FILL, instrument__base=base).order_by("at", "pk")
    groups: dict[tuple[int, str], list[Entry]] = {}
    seconds = int(step.total_seconds())
    for fill in fills[:MOST_FILLS]:
        side = Side.BUY if (fill.quantity or 0) > 0 else Side.SELL
        groups.setdefault((_seconds(fill.at) // seconds * seconds, side), []).append(fill)
    return [_marker(at, side, group) for (at, side), group in groups.items()]


def _marker(at: int, side: str, group: Sequence[Entry]) -> Facts:
    quantity, worth, known = money.ZERO, money.ZERO, True
    for fill in group:
        size = abs(fill.quantity or money.ZERO)
        quantity = money.add(quantity, size)
        if fill.price is None:
            known = False
        else:
            worth = money.add(worth, money.multiply(size, fill.price))
    average = money.rounded(money.divide(worth, quantity)) if known and quantity else None
    return {
        "at": at,
        "side": side,
        "quantity": fixed(quantity),
        "price": None if average is None else fixed(average),
        "count": len(group),
    }


def _pnl(position: Position, since: datetime, until: datetime, now: datetime) -> list[list[Any]]:
    """Return [time, P&L] of snapshots: all of it, fees, funding and what is not realized included."""
    found = series(Subject("position", position.pk), since=since, until=until, now=now)
    return [
        [
            _seconds(point["at"]),
            None if point["unrealized_pnl"] is None else fixed(point["net_pnl"] + point["unrealized_pnl"]),
        ]
        for point in found.points
    ]


def _seconds(at: datetime) -> int:
    return int(at.timestamp())
