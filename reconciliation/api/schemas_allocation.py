"""Bodies of the allocation API: shares of equity, targets, breaches."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from ninja import Schema
from pydantic import ConfigDict, Field

from core.http.inputs import Id, Text
from core.values.money import Money, MoneyIn
from positions.api.schemas import Instant
from positions.models import Environment

Share = Annotated[MoneyIn, Field(ge=0, le=1)]


class Slice(Schema):
    """A venue, or an account with a target of its own. Shares are fractions; null: unknown, or not meant."""

    venue: str
    account_id: int | None
    label: str
    target: Money | None
    tolerance: Money | None
    value: Money | None
    share: Money | None
    drift: Money | None
    breached: bool | None
    target_value: Money | None
    to_move: Money | None
    unknown: list[str]


class UnknownEquity(Schema):
    account: str
    why: str


class AssetLine(Schema):
    account: str
    venue: str
    derivative: bool
    quantity: Money | None
    value: Money | None


class Asset(Schema):
    """One asset over all venues, in its own units; `value` in USD."""

    asset: str
    spot: Money | None
    derivatives: Money | None
    net: Money | None
    value: Money | None
    lines: list[AssetLine]


class Allocation(Schema):
    """The shares of one environment's equity; `total` (USD) is the whole."""

    as_of: Instant
    environment: Environment
    total: Money | None
    total_given: bool
    untargeted: Money
    slices: list[Slice]
    unknown: list[UnknownEquity]
    assets: list[Asset]


class TargetIn(Schema):
    """A target of a venue or of an account, in one environment."""

    model_config = ConfigDict(extra="forbid")

    environment: Environment
    venue: Annotated[Text, Field(max_length=40)] = ""
    account: Id | None = None
    share: Share
    tolerance: Share = Decimal("0.05")


class Target(Schema):
    id: int
    environment: Environment
    venue: str
    account_id: int | None
    share: Money
    tolerance: Money
    changed_at: Instant
    changed_by: str


class Breach(Schema):
    """A time during which a share was further from its target than its tolerance."""

    id: int
    environment: Environment
    venue: str
    account_id: int | None
    target: Money
    tolerance: Money
    drift: Money
    worst_drift: Money
    started_at: Instant
    seen_at: Instant
    ended_at: Instant | None


class BreachPage(Schema):
    items: list[Breach]
    next_cursor: str | None
