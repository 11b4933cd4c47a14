"""How an environment stands now, as the portfolio's page shows it: what the API's portfolio has, worded."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from portfolio.attribution import Component
from portfolio.totals.portfolio_view import portfolio_view
from portfolio.totals.totals_store import PortfolioTotals
from positions.labels import venue_name

PERIOD_LABELS = {"today": "Today", "7d": "7 days", "30d": "30 days", "all": "All time"}
DIMENSIONS = ("account", "venue", "asset", "strategy")
EMPTY_KEYS = {"strategy": "untagged", "asset": "cash"}
COMPONENTS = (*(one for one in Component if one is not Component.FLOWS), Component.FLOWS)
"""Flows come last: they are no P&L."""
NAMES = tuple(one.value for one in COMPONENTS)


class PeriodLine(NamedTuple):
    """P&L of one period and what made it, in the order of COMPONENTS. `unknown` counts what it leaves out."""

    label: str
    pnl: Decimal | None
    parts: Sequence[Decimal | None]
    unknown: int


class ShareLine(NamedTuple):
    """What one account, venue, asset or strategy holds and earned today."""

    label: str
    gross: str | None
    net: str | None
    pnl: str | None
    unknown: int


class Standing(NamedTuple):
    """An environment now. `facts` is its part of the API's portfolio."""

    as_of: datetime
    facts: dict[str, Any]
    periods: Sequence[PeriodLine]
    shares: Sequence[tuple[str, Sequence[ShareLine]]]
    components: Sequence[str] = NAMES

    @property
    def today(self) -> PeriodLine:
        """Return today's line."""
        return self.periods[0]


def standing(*, environment: str, totals: PortfolioTotals, now: datetime) -> Standing | None:
    """Return how an environment stands; None: it has no accounts."""
    for facts in portfolio_view(totals, now=now):
        if facts["environment"] == environment:
            return Standing(
                as_of=totals.at,
                facts=facts,
                periods=[_period(label, facts["periods"][name]) for name, label in PERIOD_LABELS.items()],
                shares=[(name, [_share(one, name) for one in facts[f"by_{name}"]]) for name in DIMENSIONS],
            )
    return None


def _period(label: str, period: dict[str, Any]) -> PeriodLine:
    """Return a period's line. Its parts are as of the last minute; what prices did since is in `price`."""
    pnl = None if period["value"] is None else Decimal(period["value"])
    parts: dict[Component, Decimal | None] = {one: Decimal(period["parts"][one.value]) for one in COMPONENTS}
    others = (one for one in COMPONENTS if one not in (Component.PRICE, Component.FLOWS))
    rest = sum((parts[one] or Decimal(0) for one in others), Decimal(0))
    parts[Component.PRICE] = None if pnl is None else pnl - rest
    return PeriodLine(
        label, pnl, [parts[one] for one in COMPONENTS], period["left_out"] + period["unknown_days"]
    )


def _share(row: dict[str, Any], dimension: str) -> ShareLine:
    left_out = max(row["gross_exposure"]["left_out"], row["pnl_today"]["left_out"])
    label = venue_name(row["key"]) if dimension == "venue" else row["key"] or EMPTY_KEYS.get(dimension, "")
    return ShareLine(
        label,
        row["gross_exposure"]["value"],
        row["net_exposure"]["value"],
        row["pnl_today"]["value"],
        left_out,
    )
