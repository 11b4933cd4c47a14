"""What rules say: a condition of one subject, which holds, does not hold, or cannot be judged. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

TITLE_LENGTH = 150
_NOT_IN_A_TITLE = re.compile(r"[\[\]<>(){}]")
_NOT_PRINTED = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]+")


class AlertKey(NamedTuple):
    """What one alert is about: at most one of a key is open."""

    kind: str
    subject: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """How one subject stands. `holds` None: it cannot be judged, since `judged_at` (None: since now).

    `measure` is the figure by which it gets worse (more is worse; None: it has none), `usd` what is at stake.
    `certificate` is the run whose report says so, `healed` how it came to hold no more, in a sentence.
    """

    kind: str
    subject: str
    holds: bool | None
    severity: str = "warning"
    title: str = ""
    summary: str = ""
    numbers: Mapping[str, Any] = field(default_factory=dict)
    measure: Decimal | None = None
    usd: Decimal | None = None
    account: int | None = None
    instrument: int | None = None
    position: int | None = None
    case: int | None = None
    certificate: int | None = None
    healed: str = ""
    judged_at: datetime | None = None

    @property
    def key(self) -> AlertKey:
        """Return what it is about."""
        return AlertKey(self.kind, self.subject)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAlert:
    """An open alert as the rules and the lifecycle see it; fields as in `models.Alert`. One that opens has no
    `id` yet.
    """

    id: int | None = None
    kind: str
    subject: str
    account: int | None = None
    severity: str = "warning"
    acknowledged: bool = False
    title: str = ""
    measure: Decimal | None = None
    numbers: Mapping[str, Any] = field(default_factory=dict)
    raised_at: datetime
    judged_at: datetime
    unjudged_since: datetime | None = None
    unjudged_told_at: datetime | None = None
    recovering_since: datetime | None = None
    flapping_since: datetime | None = None
    waits_until: datetime | None = None
    told_at: datetime | None = None
    told_measure: Decimal | None = None
    told_severity: str = ""
    inhibited_by: AlertKey | None = None
    urgent_since: datetime | None = None
    escalation: int = 0

    @property
    def key(self) -> AlertKey:
        """Return what it is about."""
        return AlertKey(self.kind, self.subject)


def plain_line(text: str, *, length: int = TITLE_LENGTH) -> str:
    """Return a text as one line without brackets or control characters, for the subject of a mail.

    Labels and symbols come from outside: they must neither start a header nor break a thread.
    """
    line = _NOT_IN_A_TITLE.sub(" ", _NOT_PRINTED.sub(" ", text))
    line = " ".join(line.split())
    return line if len(line) <= length else f"{line[: length - 1].rstrip()}…"
