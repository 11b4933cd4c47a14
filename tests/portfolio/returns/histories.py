"""Seeded histories of equity and flows, as other libraries read them too."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from portfolio.returns.rates import EquityPoint, Flow

BEGIN = datetime(2025, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class History:
    """Equity at the end of each day, after the day's flow, which is at that moment."""

    start: EquityPoint
    end: EquityPoint
    flows: list[Flow]
    points: list[EquityPoint]
    rates: list[float]

    @property
    def days(self) -> int:
        return (self.end.at - self.start.at).days


def history(seed: int) -> History:
    """Return one: 20 to 500 days, up to a dozen flows, capital that never gets near nothing."""
    rng = random.Random(seed)
    days = rng.randint(20, 500)
    capital = Decimal(rng.randint(1_000, 2_000_000))
    flow_days = set(rng.sample(range(1, days), rng.randint(0, min(12, days - 1))))
    at, flows, rates = BEGIN, [], []
    points = [EquityPoint(at, capital)]
    for day in range(1, days + 1):
        at = BEGIN + timedelta(days=day)
        rate = Decimal(str(round(rng.gauss(0.0004, 0.015), 6)))
        before = capital * (1 + rate)
        rates.append(float(rate))
        capital = before
        if day in flow_days:
            amount = (before * Decimal(str(round(rng.uniform(-0.5, 1.0), 4)))).quantize(Decimal("0.01"))
            flows.append(Flow(at, amount, before))
            capital = before + amount
        points.append(EquityPoint(at, capital))
    return History(points[0], EquityPoint(at, capital), flows, points, rates)
