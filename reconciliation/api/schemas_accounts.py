"""Bodies of the API of one account or position: pauses, backfills, validation."""

from __future__ import annotations

from typing import Annotated, Literal

from ninja import Schema
from pydantic import Field

from core.http.inputs import Text
from positions.api.schemas import Instant, Moment, Position
from reconciliation.api.schemas import Correction, DifferenceLine, RequestBody


class PauseIn(RequestBody):
    """Until when nothing is compared, and why (a venue's maintenance, for example)."""

    until: Moment
    reason: Annotated[Text, Field(min_length=1, max_length=200)]


class Pause(Schema):
    account_id: int
    account: str
    paused_until: Instant | None
    pause_reason: str


class PauseLine(Schema):
    """One pause: `until` as planned, `ended_at` when it ended (null: it lasts).

    `ended_by` is who ended it early; empty where it ran out.
    """

    id: int
    account_id: int
    account: str
    started_at: Instant
    until: Instant
    reason: str
    who: str
    ended_at: Instant | None
    ended_by: str


class PausePage(Schema):
    items: list[PauseLine]
    next_cursor: str | None


class BackfillIn(RequestBody):
    """A feed to read again, from a time on."""

    feed: Literal["fills", "funding", "transfers"]
    since: Moment


class Backfill(Schema):
    """A backfill and its progress: `done` facts `of` so many, `booked` of them new."""

    account_id: int
    feed: str
    since: Instant
    asked_at: Instant
    at: Instant
    stage: Literal["waiting", "running", "done", "failed"]
    done: int
    of: int
    booked: int
    complete: bool | None
    problem: str


class Backfills(Schema):
    backfills: list[Backfill]


class ValidateIn(RequestBody):
    fix_discrepancies: bool = False


class LeftOut(Schema):
    """A difference that stays, and why."""

    case_id: int | None
    why: str


class ValidateOut(Schema):
    """`is_valid` null: not known, with the reason in `error_message`."""

    is_valid: bool | None
    error_message: str | None
    updated_position: Position
    run_id: int | None
    as_of: Instant | None
    reading: str
    unproven_methods: list[str]
    differences: list[DifferenceLine]
    fixed: list[Correction]
    left: list[LeftOut]
