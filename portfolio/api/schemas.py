"""The API's words for positions at their marks, totals, risk and health."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from ninja import Schema
from pydantic import Field

from core.values.money import Money, MoneyIn
from portfolio.api.risk_facts import RiskFacts
from portfolio.live.fields import Valuation
from positions.api.schemas import Instant, Position
from positions.models import Environment


class LivePosition(RiskFacts, Valuation, Position):
    """A position with what depends on its mark, its venue's terms, and its proof.

    SYNCED means no more than `proof_reading`: the book agrees with our reading of the venue's answers.

    `total_pnl` = net_pnl + unrealized_pnl. `leverage`, `margin_mode` and `liquidation_price` are the venue's.
    `risk` is none (nothing liquidates it), safe, watch, danger, critical or unknown.
    """


class PositionDetail(LivePosition):
    """One position, with our own liquidation price beside the venue's (`liquidation_price`)."""

    liquidation_price_own: Money | None = Field(
        description="By our formula, from the venue's last report of the whole account; null: see the reason."
    )
    liquidation_price_own_reason: str = Field(
        description="Why there is none: an input that is not known, or that no price liquidates it."
    )
    liquidation_price_difference: Money | None = Field(description="Ours less the venue's.")


class PositionPage(Schema):
    items: list[LivePosition]
    next_cursor: str | None


class Sum(Schema):
    """A sum in USD-like (par) currency. `left_out` positions are unknown, or in another currency."""

    value: Money | None = Field(description="null when nothing of it is known.")
    left_out: int


class Nearest(Schema):
    """The position nearest to its liquidation."""

    id: int
    account: str
    symbol: str
    liquidation_distance_pct: Money
    risk: str


class EnvironmentSummary(Schema):
    """Totals of open positions in one environment; environments never mix."""

    environment: Environment
    positions: int
    long: int
    short: int
    unrealized_pnl: Sum
    realized_pnl: Sum = Field(description="Of the open positions.")
    gross_exposure: Sum
    net_exposure: Sum
    at_risk: int = Field(description="In the bands danger and critical.")
    risk_unknown: int
    proof: dict[str, int]
    nearest: Nearest | None


class Summary(Schema):
    """`stale`: the database does not answer, and these are the last totals known, as of `as_of`."""

    as_of: Instant
    stale: bool = False
    environments: list[EnvironmentSummary]


class RiskFilter(Schema):
    """Which distance to liquidation counts as a risk."""

    threshold: Annotated[MoneyIn, Field(gt=0, le=100)] = Field(
        Decimal(5), description="In percent of the mark."
    )


class AtRisk(Schema):
    """Open positions at most `threshold_pct` from liquidation, the nearest first.

    `unknown` are leveraged positions whose distance nobody can tell now: not known is not safe.
    """

    as_of: Instant
    threshold_pct: Money
    items: list[LivePosition]
    unknown: list[LivePosition]


class Feed(Schema):
    """How far one feed of an account was read without a gap."""

    feed: str
    through: Instant | None
    read_at: Instant
    age_seconds: float


class StreamState(Schema):
    """The stream process's state of an account. `streams` false: the venue has no stream, it is polled.

    `progress` counts facts while what was missed is read: `feed`, `booked`, `of`.
    """

    state: Literal["live", "backfilling", "stale", "down"]
    since: Instant
    at: Instant = Field(description="When this was last reported.")
    last_event: Instant | None
    reason: str
    streams: bool
    progress: dict[str, Any] | None


class AccountHealth(Schema):
    """How fresh the data of an account are. `state` is ok, stale, paused, disabled or manual."""

    account_id: int
    account: str
    environment: Environment
    state: str
    problems: list[str]
    stream: StreamState | None = Field(description="null: no stream ever watched it.")
    feeds: list[Feed]
    open_positions: int
    marks_unknown: int
    oldest_mark_age_seconds: float | None
    last_reconciliation_at: Instant | None = Field(description="The venue time of the last complete proof.")
    quarantined: int = Field(description="Facts that were not booked and wait for somebody.")


class CacheUses(Schema):
    """How often totals were served as the refresh stored them, and how often they were added up anew."""

    hits: int
    misses: int


class Health(Schema):
    """`state` is the worst of the accounts in use: ok or stale."""

    as_of: Instant
    state: str
    open_positions: int
    totals_cache: CacheUses | None = Field(description="null: Redis does not answer.")
    accounts: list[AccountHealth]


class Ticket(Schema):
    """What to offer as the socket's subprotocol, once."""

    subprotocol: str
    expires_in_seconds: int


def live_facts(
    book: dict[str, Any], row: dict[str, Any], venue_state: dict[str, Any] | None, risk: dict[str, Any]
) -> dict[str, Any]:
    """Return the fields of LivePosition: of the book, of the board's row (Valuation), of our risk rules."""
    valued = {name: row[name] for name in Valuation.model_fields if name != "margin_mode"}
    return {**book, **valued, **risk, "margin_mode": (venue_state or {}).get("margin_mode")}
