"""The API's words for the portfolio: totals, exposure, P&L, attribution, returns, limits. Money is USD."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from ninja import Schema
from pydantic import ConfigDict, Field

from core.http.inputs import Id, Text
from core.values.money import Money
from portfolio.api.schemas import Nearest, Sum
from positions.api.schemas import Instant
from positions.models import Environment

Level = Literal["ok", "warn", "breach"]
Period = Literal["today", "7d", "30d", "all"]
By = Literal["position", "asset", "account", "venue", "strategy", "day"]


class Parts(Schema):
    """What a change of equity is made of; each signed as equity moves, so that a fee paid is negative."""

    price: Money
    funding: Money
    interest: Money
    fees: Money
    flows: Money = Field(description="From and to outside: no P&L.")
    conversion: Money
    corrections: Money = Field(description="By reconciliation and by hand.")
    unexplained: Money


class PeriodTotals(Sum):
    """The P&L of a period over accounts; `left_out` accounts have none that is known.

    `parts` are as of the last minute. `unknown_days` are days, by account, of which a part is not known.
    """

    parts: Parts
    unknown_days: int


class QualityInput(Schema):
    account_id: int
    account: str
    worth: Money
    why: str


class TotalsQuality(Schema):
    """Whether all inputs are there and fresh, which are not, and what they are worth."""

    complete: bool
    text: str
    accounts_stale: int
    accounts_incomplete: int
    equity_stale: Money
    equity_known: Money
    inputs: list[QualityInput]


class ConversionMark(Schema):
    """What a currency is worth that is no par currency."""

    currency: str
    price: Money
    at: Instant
    age_seconds: float


class LimitStanding(Schema):
    """Where a limit stands. `account` null and no `asset`: all of its environment."""

    id: int
    environment: Environment
    kind: Literal["exposure", "leverage", "loss_today", "concentration", "distance"]
    account: int | None
    asset: str
    level: Level
    exceeded: bool
    value: Money | None
    warn: Money | None
    breach: Money
    headroom: Money | None = Field(description="What is left to the breach; negative beyond it.")
    used_pct: Money | None
    since: Instant | None = Field(description="Since when it is on this level.")
    why: str


class PortfolioGroup(Schema):
    """Open positions of one key; `key` "" is what is untagged, or cash."""

    key: str
    positions: int
    gross_exposure: Sum
    net_exposure: Sum
    long_exposure: Sum
    short_exposure: Sum
    pnl_today: Sum


class AssetGroup(PortfolioGroup):
    """An underlying: spot, perpetuals and inverse contracts netted by their ratios. Units of it."""

    spot_quantity: Money
    derivative_quantity: Money
    net_quantity: Money


class VenueGroup(PortfolioGroup):
    equity: Money | None


class AccountGroup(VenueGroup):
    account_id: int
    venue: str
    margin_used: Money | None
    margin_free: Money | None
    unrealized: Sum
    stale: list[str]
    incomplete: list[str]
    limit_exceeded: bool


class EnvironmentPortfolio(Schema):
    """The portfolio of one environment; environments never mix."""

    environment: Environment
    accounts: int
    positions: int
    equity: Sum
    gross_exposure: Sum
    net_exposure: Sum
    long_exposure: Sum
    short_exposure: Sum
    leverage: Money | None = Field(description="Gross exposure over equity.")
    margin_used: Sum
    margin_free: Sum
    unrealized: Sum
    realized: Sum = Field(description="Of the open positions, before fees and funding.")
    periods: dict[str, PeriodTotals]
    at_risk: int
    risk_unknown: int
    nearest: Nearest | None
    quality: TotalsQuality
    conversions: list[ConversionMark]
    limit_exceeded: bool
    limits: list[LimitStanding]
    by_account: list[AccountGroup]
    by_venue: list[VenueGroup]
    by_asset: list[AssetGroup]
    by_strategy: list[PortfolioGroup]


class Portfolio(Schema):
    """What everything adds up to, as the last refresh stored it, or (`refreshed` false) as of this answer.

    "Today" began at `day_started_at`, in the desk's zone.
    """

    as_of: Instant
    refreshed: bool
    currency: str = "USD"
    day_started_at: Instant
    environments: list[EnvironmentPortfolio]


class Exposure(Schema):
    """Exposure by underlying, the largest first."""

    as_of: Instant
    environment: Environment
    gross_exposure: Sum
    net_exposure: Sum
    assets: list[AssetGroup]


class PnlRow(Schema):
    key: str
    label: str
    pnl: Money
    left_out: int


class Pnl(Schema):
    """P&L of a period; the rows add up to `pnl`. `left_out` amounts are not known and not in it."""

    as_of: Instant
    environment: Environment
    period: Period
    by: By
    since: Instant
    pnl: Money
    left_out: int
    rows: list[PnlRow]


class AttributionCell(Parts):
    """One cell: what contributed to the change of equity; `total` is their sum, `pnl` all but flows.

    `unknown` amounts are not known and in no sum. `entries_url` lists the entries behind it.
    """

    key: str
    label: str
    total: Money
    pnl: Money
    unknown: int
    entries: int
    entries_url: str


class Attribution(Schema):
    """Why equity changed. It closes where every day of every account is explained to 0.01."""

    environment: Environment
    by: By
    since: date
    until: date
    as_of: Instant | None
    start_equity: Money | None
    end_equity: Money | None
    change: Money | None
    total: AttributionCell
    closes: bool
    unclosed_days: int = Field(description="Days, by account, with more than 0.01 unexplained.")
    unknown_days: int = Field(description="Days, by account, whose equity is not known.")
    cells: list[AttributionCell]


class BehindEntry(Schema):
    """An entry behind a cell."""

    id: int
    account_id: int
    account: str
    venue_ref: str
    kind: str
    cause: str
    symbol: str | None
    at: Instant
    quantity: Money | None
    price: Money | None
    fee: Money | None
    fee_currency: str | None
    amount: Money | None
    currency: str | None


class BehindEntryPage(Schema):
    items: list[BehindEntry]
    next_cursor: str | None


class RateOfReturn(Schema):
    """A fraction (0.05 is 5 %) over the whole range; null: not available, because of `why`."""

    value: Money | None
    why: str
    annualised: Money | None = Field(description="Only of a year and more: nothing is extrapolated.")


class FlowRow(Schema):
    at: Instant
    amount: Money
    equity_before: Money | None


class MadeBy(Schema):
    position: str
    label: str
    pnl: Money


class DrawdownRow(Schema):
    """A fall from a peak of the flow-adjusted index; `made_by` are the positions that lost most meanwhile."""

    start: Instant
    trough: Instant
    recovery: Instant | None
    depth: Money
    made_by: list[MadeBy]


class IndexRow(Schema):
    at: Instant
    value: Money | None


class Returns(Schema):
    """What a range earned: money first. Sharpe and Sortino are of hourly changes of the index."""

    environment: Environment
    since: date
    until: date
    start: Instant
    end: Instant
    start_equity: Money | None
    end_equity: Money | None
    flows: Money
    gain: Money | None
    average_capital: Money | None
    time_weighted: RateOfReturn
    money_weighted: RateOfReturn
    sharpe: Money | None
    sortino: Money | None
    is_annualised: bool
    hours: int
    hours_missing: int
    drawdowns: list[DrawdownRow]
    flow_list: list[FlowRow]
    own_transfers: int = Field(description="Transfers between these accounts: no flows.")
    index: list[IndexRow]


class StrategyIn(Schema):
    """Entries of one account that belong to a strategy; "" follows the position's again."""

    model_config = ConfigDict(extra="forbid")

    account: Id
    venue_refs: Annotated[list[Text], Field(min_length=1, max_length=1000)]
    strategy: Annotated[Text, Field(max_length=80)]


class Tagged(Schema):
    tagged: int


class Limits(Schema):
    as_of: Instant
    limit_exceeded: bool
    limits: list[LimitStanding]


class WitnessRow(Schema):
    """A day's value by the venue, beside ours; `difference` is venue − ours."""

    account_id: int
    account: str
    day: date
    at: Instant
    covers: str
    venue_value: Money
    ours: Money | None
    difference: Money | None
    tolerance: Money
    beyond: bool


class WitnessPage(Schema):
    items: list[WitnessRow]
    next_cursor: str | None


EXAMPLE_LIMITS: dict[str, Any] = {
    "as_of": "2026-01-15T12:00:00Z",
    "limit_exceeded": True,
    "limits": [
        {
            "id": 1, "environment": "live", "kind": "exposure", "account": None, "asset": "BTC",
            "level": "breach", "exceeded": True, "value": "612000", "warn": "400000", "breach": "500000",
            "headroom": "-112000", "used_pct": "122.4", "since": "2026-01-15T11:58:07Z", "why": "",
        }
    ],
}  # fmt: skip
