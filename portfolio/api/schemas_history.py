"""The API's words for history: snapshots, their quality and their gaps."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from ninja import Schema
from pydantic import Field

from core.values.money import Money
from positions.api.schemas import Instant
from positions.models import Environment

QualityNames = Annotated[
    list[str],
    Field(
        description="What was stale or unknown: mark_stale, mark_unknown, cost_unknown, cash_unknown, "
        "feed_stale, other_currency, failed. Empty: complete."
    ),
]


class Gap(Schema):
    """A stretch without snapshots, from the last row before it to the first one after it."""

    since: Instant
    until: Instant


class Step(Schema):
    """One row, or the last row of a step with its bounds. `missing` rows of the step were never written."""

    at: Instant
    quality: QualityNames
    low: Money | None = None
    high: Money | None = None
    snapshots: int = 1
    missing: int = 0


class Steps(Schema):
    """`step_seconds` null: single rows, the newest first. Else steps, the oldest first."""

    next_cursor: str | None
    since: Instant | None = None
    until: Instant | None = None
    step_seconds: int | None = None
    gaps: list[Gap]
    missing: int = Field(description="How many snapshots were never written between the first and the last.")


class PositionSnapshot(Step):
    """A position at a moment, in its P&L currency; low and high are of its unrealized P&L."""

    quantity: Money
    mark_price: Money | None
    unrealized_pnl: Money | None
    realized_pnl: Money
    net_pnl: Money = Field(description="realized − fees + funding + interest")
    unrealized_pnl_pct: Money | None
    time_held_minutes: Money
    position_size_norm: Money | None = Field(description="Its share of gross exposure, 0 to 1.")


class PortfolioSnapshot(Step):
    """An account, or all accounts of an environment, at a moment, in USD; low and high are of equity."""

    environment: Environment | None = None
    account_id: int | None = None
    accounts: int | None = None
    accounts_stale: int | None = None
    accounts_incomplete: int | None = None
    open_positions: int
    equity: Money | None = Field(description="null while a part of it is unknown.")
    equity_known: Money | None = Field(description="The part of it that is known.")
    equity_stale: Money | None = Field(None, description="What accounts with stale inputs are worth of it.")
    venue_equity: Money | None = Field(None, description="What the venue stated last, of one account.")
    unrealized_pnl: Money | None
    realized_pnl: Money
    net_pnl: Money
    exposure: Money | None
    net_exposure: Money | None


class PositionSnapshots(Steps):
    items: list[PositionSnapshot]


class PortfolioSnapshots(Steps):
    items: list[PortfolioSnapshot]


class Restatement(Schema):
    """A closed day of an account whose P&L is not what it was, in USD."""

    id: int
    account_id: int
    account: str
    day: date
    old: Money
    new: Money
    why: str
    entry_id: int | None = Field(description="The entry that came late; null: a price or value did.")
    who: str
    at: Instant


class RestatementPage(Schema):
    items: list[Restatement]
    next_cursor: str | None


class Taken(Schema):
    """How many rows were written; 0 where there are some of this very moment."""

    at: Instant
    positions: int
    accounts: int
    environments: int
