"""What the API answers and takes about alerts."""

from __future__ import annotations

from typing import Annotated, Any

from ninja import Schema
from pydantic import AfterValidator, Field

from core.http.inputs import printable
from core.values.money import Money
from portfolio.models import AlertKind, AlertState, AlertTransitionKind, Severity
from positions.api.schemas import Instant, Moment


class AlertTransitionOut(Schema):
    """One thing that people were told about an alert, as it was then."""

    sequence: int
    kind: AlertTransitionKind
    at: Instant
    who: str
    severity: Severity
    text: str
    usd: Money | None
    numbers: dict[str, Any]


class AlertOut(Schema):
    """Something that is wrong with one subject, from when it showed to when it was over."""

    id: int
    kind: AlertKind
    subject: str = Field(description="What it is about, within its kind; at most one is open at a time.")
    severity: Severity
    state: AlertState
    title: str = Field(description="Never changes once people know it: the subject of every mail about it.")
    summary: str = Field(description="How it stands, in a sentence.")
    numbers: dict[str, Any] = Field(description="The figures as last judged; amounts are strings.")
    usd: Money | None = Field(description="What is at stake; null: not known, or nothing that has a price.")
    account_id: int | None
    account: str | None
    instrument: str | None
    position_id: int | None
    case_id: int | None
    raised_at: Instant
    judged_at: Instant = Field(description="When its inputs last allowed a judgement.")
    unjudged_since: Instant | None = Field(description="Since when nobody can say whether it is still so.")
    flapping_since: Instant | None = Field(description="Since when it comes and goes.")
    told_at: Instant | None = Field(description="When people were last told; null: nobody was.")
    explained_by: int | None = Field(description="The alert that explains it: nobody is told of this one.")
    acknowledged_at: Instant | None
    acknowledged_by: str
    cleared_at: Instant | None
    certificate: int | None = Field(description="The run whose report proves that it is over.")
    healed: str = Field(description="How it came to be over.")


class AlertDetail(AlertOut):
    """An alert with everything that people were told about it."""

    transitions: list[AlertTransitionOut]


class AlertPage(Schema):
    """Alerts, the newest first."""

    items: list[AlertOut]
    next_cursor: str | None


class MuteIn(Schema):
    """Why nobody is to be told, and until when."""

    reason: Annotated[str, Field(min_length=3, max_length=200), AfterValidator(printable)]
    until: Moment
    whole_kind: bool = Field(
        False, description="Mute every alert of the kind in its account, not only this subject."
    )


class MuteOut(Schema):
    """Nobody is told of some alerts until a time."""

    id: int
    kind: AlertKind
    subject: str = Field(description="Empty: every subject.")
    account_id: int | None
    reason: str
    who: str
    created_at: Instant
    until: Instant


class MutePage(Schema):
    """The mutes that last."""

    items: list[MuteOut]
