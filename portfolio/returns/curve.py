"""PURE: the flow-adjusted index, its drawdowns, and the Sharpe ratio of its hours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from itertools import pairwise
from typing import NamedTuple

from portfolio.returns.rates import LEAST_CAPITAL, ONE, PLACES, PRECISION, ZERO, EquityPoint, Flow, merged

HOUR = timedelta(hours=1)
HOURS_A_YEAR = Decimal(24 * 365)


class IndexPoint(NamedTuple):
    """Growth of 1 since the index began, flows taken out. None: a gap.

    `chain` counts the times it had to begin at 1 again, as a mark was missing at a flow.
    """

    at: datetime
    value: Decimal | None
    chain: int = 0


class Drawdown(NamedTuple):
    """A fall from a peak: `depth` (≤ 0, a fraction of the peak) at the trough; `recovery` None: not yet."""

    start: datetime
    trough: datetime
    recovery: datetime | None
    depth: Decimal


def index(points: Iterable[EquityPoint], flows: Iterable[Flow] = ()) -> list[IndexPoint]:
    """Return the index at each point: equity chained over flows as the time-weighted rate is.

    A point of unknown equity is a gap; the index goes on after it where nothing flowed meanwhile unseen.
    """
    events: list[tuple[datetime, int, Flow | EquityPoint]] = [(one.at, 0, one) for one in merged(flows)]
    events += [(one.at, 1, one) for one in points]
    found: list[IndexPoint] = []
    value, chain, capital = ONE, 0, None
    with localcontext(prec=PRECISION):
        for at, _, event in sorted(events, key=lambda one: one[:2]):
            equity = event.equity_before if isinstance(event, Flow) else event.equity
            if equity is not None and capital is not None and capital >= LEAST_CAPITAL and equity >= 0:
                value = (value * equity / capital).quantize(PLACES)
            if isinstance(event, EquityPoint):
                found.append(IndexPoint(at, None if equity is None else value, chain))
                capital = capital if equity is None else equity
            elif equity is not None:
                capital = equity + event.amount
            elif capital is not None:
                value, chain, capital = ONE, chain + 1, None
    return found


def drawdowns(curve: Iterable[IndexPoint], *, least: Decimal = ZERO) -> list[Drawdown]:
    """Return every fall from a peak that is deeper than `least` (a fraction > 0), the deepest first."""
    found: list[Drawdown] = []
    peak = trough = None
    for point in curve:
        if point.value is None:
            continue
        if peak is None or peak.value is None or point.chain != peak.chain or point.value >= peak.value:
            whole = peak is not None and point.chain == peak.chain
            _note(found, peak, trough, point.at if whole else None)
            peak, trough = point, None
        elif trough is None or trough.value is None or point.value < trough.value:
            trough = point
    _note(found, peak, trough, None)
    return sorted((one for one in found if -one.depth > least), key=lambda one: (one.depth, one.start))


def _note(
    found: list[Drawdown], peak: IndexPoint | None, trough: IndexPoint | None, recovery: datetime | None
) -> None:
    if peak is None or trough is None or not peak.value or trough.value is None:
        return
    depth = (trough.value / peak.value - 1).quantize(PLACES)
    found.append(Drawdown(peak.at, trough.at, recovery, depth))


def largest_fall(values: Iterable[Decimal]) -> Decimal:
    """Return the largest fall of an amount, such as P&L, from its highest so far; it starts at 0."""
    peak = fall = ZERO
    for value in values:
        peak = max(peak, value)
        fall = max(fall, peak - value)
    return fall


def changes(curve: Iterable[IndexPoint], *, every: timedelta) -> list[Decimal]:
    """Return the rates between points exactly `every` apart: a change over a gap is none of an hour."""
    return [
        (after.value / before.value - 1)
        for before, after in pairwise(curve)
        if before.value and after.value is not None
        and before.chain == after.chain and after.at - before.at == every
    ]  # fmt: skip


def sharpe(
    rates: Sequence[Decimal], *, risk_free: Decimal = ZERO, periods_a_year: Decimal | None = None
) -> Decimal | None:
    """Return mean excess over standard deviation (n - 1) of rates of equal periods.

    With `periods_a_year` as a year's. None: fewer than two rates, or none differs.
    """
    excess = [rate - risk_free for rate in rates]
    if len(excess) < 2:
        return None
    with localcontext(prec=PRECISION):
        mean = sum(excess, ZERO) / len(excess)
        variance = sum(((one - mean) ** 2 for one in excess), ZERO) / (len(excess) - 1)
        return _ratio(mean, variance, periods_a_year)


def sortino(
    rates: Sequence[Decimal], *, risk_free: Decimal = ZERO, periods_a_year: Decimal | None = None
) -> Decimal | None:
    """Return mean excess over the root of the mean squared shortfall. None: nothing fell short."""
    excess = [rate - risk_free for rate in rates]
    if not excess:
        return None
    with localcontext(prec=PRECISION):
        mean = sum(excess, ZERO) / len(excess)
        shortfall = sum((min(one, ZERO) ** 2 for one in excess), ZERO) / len(excess)
        return _ratio(mean, shortfall, periods_a_year)


def _ratio(mean: Decimal, variance: Decimal, periods_a_year: Decimal | None) -> Decimal | None:
    if variance == 0:
        return None
    ratio = mean / variance.sqrt()
    return (ratio if periods_a_year is None else ratio * periods_a_year.sqrt()).quantize(PLACES)
