"""Rows of the portfolio's snapshots for tests: a minute of one environment each."""

from datetime import datetime
from decimal import Decimal as D

from portfolio.models import PortfolioSnapshot
from portfolio.snapshots import partitions


def row(at: datetime, equity: str | None = "1000", environment: str = "live") -> PortfolioSnapshot:
    partitions.ensure([partitions.month_of(at)])
    worth = None if equity is None else D(equity)
    return PortfolioSnapshot.objects.create(
        environment=environment, at=at, accounts=1, open_positions=0, equity=worth, equity_known=worth,
        equity_stale=0, unrealized_pnl=0, realized_pnl=0, net_pnl=0, exposure=0, net_exposure=0,
    )  # fmt: skip
