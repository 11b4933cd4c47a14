"""PURE: what a stretch of time earned: money first, then rates of return, drawdowns and the Sharpe ratio.

Money is in one display currency, rates are fractions (0.05 is 5 %). A rate that cannot be told is None and
says why; nothing unknown is taken for 0. docs/performance.md has each formula with its source.

Note [Flows]: money that comes from outside or leaves is no performance. The time-weighted rate chains the
stretches between flows, each from the equity after one flow to the equity just before the next, so it needs
the marks of that moment. An account that joins or leaves is a flow at its equity; a transfer between own
accounts is none (`own_transfers`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from typing import NamedTuple

ZERO, ONE = Decimal(0), Decimal(1)
PRECISION = 40
PLACES = Decimal("1e-12")
YEAR = timedelta(days=365)
LEAST_CAPITAL = Decimal(1)
"""Less average capital than this earns no rate: a cent that becomes two is not 100 %."""
LEAST_SHARE = Decimal("0.0001")
"""Nor does what is less than this share of the largest capital of the stretch."""

_SOLVE_FROM, _SOLVE_TO, _GRID = Decimal(-14), Decimal("9.25"), 600
"""ln(1 + rate) is looked for from -99.99 % to + a million times, for the whole stretch."""


class EquityPoint(NamedTuple):
    """What everything was worth at a moment; None: not known then, which is a gap and no zero."""

    at: datetime
    equity: Decimal | None


class Flow(NamedTuple):
    """Money from outside (+) or to outside (-), and the equity just before it at the marks of that moment."""

    at: datetime
    amount: Decimal
    equity_before: Decimal | None


class Rate(NamedTuple):
    """A rate of return over a whole stretch, and a year's where the stretch is one at least.

    `value` None: not available, because of `why`. `left_out` is the money earned in stretches without
    capital, which no rate can hold.
    """

    value: Decimal | None
    why: str = ""
    annualised: Decimal | None = None
    left_out: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Performance:
    """What a stretch earned. `gain` = end - start - flows, None when start or end is not known."""

    start: EquityPoint
    end: EquityPoint
    flows: Decimal
    gain: Decimal | None
    average_capital: Decimal | None
    time_weighted: Rate
    money_weighted: Rate


def performance(*, start: EquityPoint, end: EquityPoint, flows: Iterable[Flow] = ()) -> Performance:
    """Return money and rates from `start` (equity after what flowed at that moment) to `end`.

    Flows lie after the start and not after the end, in any order. Raises ValueError for one that does not.
    """
    found = merged(flows)
    if any(not start.at < flow.at <= end.at for flow in found):
        raise ValueError(f"a flow lies outside of {start.at} to {end.at}")
    moved = sum((flow.amount for flow in found), ZERO)
    return Performance(
        start=start,
        end=end,
        flows=moved,
        gain=None if start.equity is None or end.equity is None else end.equity - start.equity - moved,
        average_capital=average_capital(start=start, end=end, flows=found),
        time_weighted=time_weighted(start=start, end=end, flows=found),
        money_weighted=money_weighted(start=start, end=end, flows=found),
    )


def merged(flows: Iterable[Flow]) -> list[Flow]:
    """Return flows by time; those of one moment as one, which has one equity before it."""
    found: dict[datetime, Flow] = {}
    for flow in sorted(flows, key=lambda one: one.at):
        known = found.get(flow.at)
        if known is None:
            found[flow.at] = flow
            continue
        before = None if known.equity_before is None else flow.equity_before
        found[flow.at] = Flow(flow.at, known.amount + flow.amount, before)
    return list(found.values())


def average_capital(*, start: EquityPoint, end: EquityPoint, flows: Sequence[Flow]) -> Decimal | None:
    """Return the time-weighted average of what was invested (modified Dietz); None: start not known."""
    if start.equity is None:
        return None
    length = _microseconds(end.at - start.at)
    if not length:
        return start.equity
    with localcontext(prec=PRECISION):
        weighted = (flow.amount * _microseconds(end.at - flow.at) / length for flow in flows)
        return start.equity + sum(weighted, ZERO)


def modified_dietz(*, start: EquityPoint, end: EquityPoint, flows: Sequence[Flow]) -> Rate:
    """Return the gain over the average capital."""
    capital = average_capital(start=start, end=end, flows=flows)
    if capital is None or end.equity is None or start.equity is None:
        return Rate(None, _unknown(start, end))
    if capital < LEAST_CAPITAL:
        return Rate(None, TOO_SMALL)
    gain = end.equity - start.equity - sum((flow.amount for flow in flows), ZERO)
    return _rate(gain / capital, start, end)


TOO_SMALL = "the average capital is too small"


def time_weighted(*, start: EquityPoint, end: EquityPoint, flows: Sequence[Flow] = ()) -> Rate:
    """Return the chained rate of the stretches between flows. See Note [Flows].

    A stretch that begins with next to no capital has no rate and is left out of the chain; where such
    stretches earned money that counts, there is no rate at all.
    """
    if start.equity is None or end.equity is None:
        return Rate(None, _unknown(start, end))
    least = _least_capital(start.equity, flows)
    capital, factor, left_out, counted = start.equity, ONE, ZERO, False
    with localcontext(prec=PRECISION):
        for flow in (*flows, Flow(end.at, ZERO, end.equity)):
            before = flow.equity_before
            if before is None:
                return Rate(None, f"a mark is missing at the flow of {flow.at:%Y-%m-%d %H:%M} UTC")
            if capital < least:
                left_out += before - capital
            elif before < 0:
                return Rate(None, f"equity was below zero before {flow.at:%Y-%m-%d %H:%M} UTC")
            else:
                factor, counted = factor * before / capital, True
            capital = before + flow.amount
        if not counted or abs(left_out) >= least:
            return Rate(None, TOO_SMALL, left_out=left_out)
        return _rate(factor - 1, start, end, left_out=left_out)


def _least_capital(first: Decimal, flows: Sequence[Flow]) -> Decimal:
    after = (flow.equity_before + flow.amount for flow in flows if flow.equity_before is not None)
    return max(LEAST_CAPITAL, LEAST_SHARE * max((first, *after)))


def _rate(value: Decimal, start: EquityPoint, end: EquityPoint, *, left_out: Decimal = ZERO) -> Rate:
    return Rate(value.quantize(PLACES), annualised=annualised(value, end.at - start.at), left_out=left_out)


def _unknown(start: EquityPoint, end: EquityPoint) -> str:
    return f"equity is not known at the {'start' if start.equity is None else 'end'}"


def annualised(rate: Decimal, length: timedelta) -> Decimal | None:
    """Return a rate as that of a year; None under 365 days: nothing is extrapolated."""
    if length < YEAR:
        return None
    return a_year(rate, years=Decimal(_microseconds(length)) / _microseconds(YEAR))


def a_year(rate: Decimal, *, years: Decimal) -> Decimal:
    """Return the yearly rate that compounds to `rate` in so many years. -1 stays -1."""
    with localcontext(prec=PRECISION):
        return ((1 + rate) ** (1 / years) - 1).quantize(PLACES) if rate > -1 else Decimal(-1)


# Money-weighted ---------------------------------------------------------------------------------------------


def money_weighted(*, start: EquityPoint, end: EquityPoint, flows: Sequence[Flow] = ()) -> Rate:
    """Return the internal rate of return (XIRR) of the whole stretch, by actual time.

    The one rate at which what was put in grows to what came out. Not available when none or several do.
    """
    if start.equity is None or end.equity is None:
        return Rate(None, _unknown(start, end))
    length = _microseconds(end.at - start.at)
    capital = average_capital(start=start, end=end, flows=flows)
    if not length or capital is None or capital < LEAST_CAPITAL:
        return Rate(None, TOO_SMALL)
    with localcontext(prec=PRECISION):
        paid = [(ZERO, -start.equity)]
        paid += [(Decimal(_microseconds(one.at - start.at)) / length, -one.amount) for one in flows]
        roots = _roots([*paid, (ONE, end.equity)])
        if not roots:
            return Rate(None, "no rate explains it: money went one way only, or all was lost")
        if len(roots) > 1:
            return Rate(None, f"{len(roots)} rates explain it equally well")
        return _rate(roots[0].exp() - 1, start, end)


def _roots(payments: Sequence[tuple[Decimal, Decimal]]) -> list[Decimal]:
    """Return every ln(1 + rate) that makes the payments worth nothing, as far as a fine grid shows."""
    by_time: dict[Decimal, Decimal] = {}
    for time, amount in payments:
        by_time[time] = by_time.get(time, ZERO) + amount
    left = [(time, amount) for time, amount in sorted(by_time.items()) if amount]
    signs = [amount > 0 for _, amount in left]
    if len(set(signs)) < 2:
        return []
    step = (_SOLVE_TO - _SOLVE_FROM) / _GRID
    growth = [(step * time).exp() for time, _ in left]
    terms = [amount * (_SOLVE_FROM * time).exp() for time, amount in left]
    found, before, at = [], sum(terms, ZERO), _SOLVE_FROM
    for _ in range(_GRID):
        terms = [term * by for term, by in zip(terms, growth, strict=True)]
        after = sum(terms, ZERO)
        # x is -ln(1 + rate): what is paid later is worth less at the start.
        if before == 0:
            found.append(-at)
        elif before * after < 0:
            found.append(-_root(left, at, at + step))
        before, at = after, at + step
    return found


def _root(payments: Sequence[tuple[Decimal, Decimal]], low: Decimal, high: Decimal) -> Decimal:
    """Return where the worth of payments crosses zero between two x: Newton, halving where that leaves."""
    rising = _worth(payments, low)[0] < 0
    x = (low + high) / 2
    for _ in range(200):
        worth, slope = _worth(payments, x)
        if (worth < 0) is rising:
            low = x
        else:
            high = x
        better = x - worth / slope if slope else low
        following = better if low < better < high else (low + high) / 2
        if abs(following - x) < Decimal("1e-25"):
            return following
        x = following
    return x


def _worth(payments: Sequence[tuple[Decimal, Decimal]], x: Decimal) -> tuple[Decimal, Decimal]:
    terms = [(time, amount * (x * time).exp()) for time, amount in payments]
    return sum((term for _, term in terms), ZERO), sum((time * term for time, term in terms), ZERO)


def _microseconds(length: timedelta) -> int:
    return length // timedelta(microseconds=1)
