"""What the rules are given: how everything stands at one moment, as plain data. Pure.

None is unknown everywhere: a rule never takes it for "in order". `Snapshot.unread` names the inputs that
could not be read at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from portfolio.alerts.conditions import AlertKey, OpenAlert
from positions.risk.bands import DEFAULT_LADDER, RiskLadder


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """A finished run. `as_of` None: it could not read the venue, because of `problem`.

    `refused`: the venue or our own rules refused the key.
    """

    id: int
    as_of: datetime | None
    problem: str = ""
    refused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedAccount:
    """An account in use. `feed` is a word of `FEED_STATES`; None: nobody knows how it stands.

    `run` is its newest finished run, `report` the newest that read the venue.
    """

    id: int
    label: str
    created_at: datetime
    paused: bool = False
    open_positions: int = 0
    feed: str | None = None
    feed_since: datetime | None = None
    feed_reason: str = ""
    run: RunOutcome | None = None
    report: RunOutcome | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedSubject:
    """A leg or a balance with its verdict, as the last report left it, whatever its age.

    `differences` are those last seen, as verdicts keep them; `price` is what one unit is worth in USD (None:
    unknown), `place` names the subject within its account.
    """

    account: int
    label: str
    place: str
    name: str
    status: str
    as_of: datetime | None
    seen_as_of: datetime | None
    run: int | None
    differences: tuple[Mapping[str, Any], ...] = ()
    price: Decimal | None = None
    quantity: Decimal | None = None
    instrument: int | None = None
    position: int | None = None
    case: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LeveragedPosition:
    """An open position that a price can liquidate. `quantity` is signed; `notional` is in USD.

    `mark_at` and `stated_at` are when its mark and its liquidation price were observed.
    """

    id: int
    account: int
    label: str
    instrument: int
    name: str
    quantity: Decimal
    mark_price: Decimal | None
    mark_at: datetime | None
    liquidation_price: Decimal | None
    no_liquidation: bool = False
    stated_at: datetime | None = None
    notional: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LiquidationFill:
    """Fills of the last day by which a venue closed a leg, together. `cause` is liquidation or adl."""

    account: int
    label: str
    instrument: int
    place: str
    name: str
    cause: str
    quantity: Decimal
    price: Decimal | None
    usd: Decimal | None
    at: datetime
    position: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """Something that is beyond what is allowed: an allocation, or a limit of the portfolio.

    `holds` None: it cannot be judged. `measure` is by how much it is used or missed; more is worse.
    """

    subject: str
    title: str
    summary: str
    holds: bool | None = True
    severity: str = "warning"
    account: int | None = None
    measure: Decimal | None = None
    usd: Decimal | None = None
    numbers: Mapping[str, Any] = field(default_factory=dict)
    judged_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """How many entries of an account wait in quarantine, and since when the oldest does."""

    account: int
    label: str
    count: int
    since: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Halted:
    """A policy whose automatic corrections are halted; `account` None: that of all other accounts."""

    account: int | None
    label: str
    family: str
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PartState:
    """A part of the product. `ok` None: not known. `detail` says what is wrong, `remedy` what to do."""

    name: str
    label: str
    ok: bool | None
    detail: str = ""
    remedy: str = ""
    severity: str = "critical"
    numbers: Mapping[str, Any] = field(default_factory=dict)
    measure: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueCase:
    """An open case about what an account was worth by its venue's own history; `run` is its certificate."""

    id: int
    account: int
    label: str
    difference: Mapping[str, Any]
    run: int


LadderKey = tuple[int | None, int | None, int | None]
"""Account, instrument, position; None is any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything that rules judge, and the alerts that are open.

    `proof_interval` is how often accounts are compared; a proof counts for `proof_intervals` of it. Of the
    positions in open alerts that are not open any more, `ended` has the status.
    """

    now: datetime
    open_alerts: Mapping[AlertKey, OpenAlert] = field(default_factory=dict)
    accounts: Mapping[int, WatchedAccount] = field(default_factory=dict)
    subjects: tuple[JudgedSubject, ...] = ()
    positions: tuple[LeveragedPosition, ...] = ()
    ended: Mapping[int, str] = field(default_factory=dict)
    liquidations: tuple[LiquidationFill, ...] = ()
    allocations: tuple[Breach, ...] = ()
    limits: tuple[Breach, ...] = ()
    values: tuple[ValueCase, ...] = ()
    quarantined: tuple[Quarantined, ...] = ()
    halted: tuple[Halted, ...] = ()
    parts: tuple[PartState, ...] = ()
    ladders: Mapping[LadderKey, RiskLadder] = field(default_factory=dict)
    proof_interval: timedelta = timedelta(seconds=60)
    proof_intervals: int = 3
    price_believed_for: timedelta = timedelta(seconds=300)
    unread: frozenset[str] = frozenset()

    def open_of(self, kind: str) -> dict[str, OpenAlert]:
        """Return the open alerts of a kind by subject."""
        return {key.subject: alert for key, alert in self.open_alerts.items() if key.kind == kind}

    def ladder(self, *, account: int, instrument: int, position: int) -> RiskLadder:
        """Return the ladder in force: that of the position, else of account and instrument, else of one."""
        for key in (
            (None, None, position),
            (account, instrument, None),
            (account, None, None),
            (None, instrument, None),
            (None, None, None),
        ):
            if key in self.ladders:
                return self.ladders[key]
        return DEFAULT_LADDER
