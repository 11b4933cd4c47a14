"""Bodies of the reconciliation API: answers and requests."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from ninja import Schema
from pydantic import ConfigDict, Field

from core.http.inputs import Id, LongText, Text
from core.values.money import Money, MoneyIn
from positions.api.schemas import Instant
from positions.models import Environment
from reconciliation.models import CaseState, Mode, Trigger, VerdictStatus
from reconciliation.rules.compare import Family


class DifferenceLine(Schema):
    """One value in the book and at the venue; null: nothing held, or unknown. Notes never drift."""

    kind: str
    book: Money | None
    venue: Money | None
    drift: bool


class Counts(Schema):
    """Facts received from the venue, by what became of them.

    Each was applied (booked), a duplicate (known already), conflicting (known with other content: kept, not
    booked), or dropped (not readable, or refused by the book).
    """

    received: int
    applied: int
    duplicate: int
    conflicting: int
    dropped: int


class LegLine(Schema):
    """One leg in a certificate. `observed` false is unknown, never flat.

    `proves`: its state was read whole. `complete`: and everything requested about it. `asked` and `covered`
    are the window of its fills (null: nothing was requested, the state agreed); `counts` are of the facts
    that name it. `subject` is its display name, `symbol` the venue's own.
    """

    subject: str = ""
    symbol: str
    leg: str
    observed: bool
    judged: bool
    proves: bool = False
    complete: bool = False
    as_of: Instant | None = None
    asked: list[str | None] | None = None
    covered: list[str | None] | None = None
    counts: Counts | None = None
    venue: dict[str, str | None] | None = None
    differences: list[DifferenceLine]


class BalanceLine(Schema):
    """One wallet's currency or coin in a certificate; `complete`: everything requested was read."""

    wallet: str
    asset: str
    observed: bool
    unknown_entries: int
    proves: bool
    complete: bool = False
    as_of: Instant | None = None
    differences: list[DifferenceLine]


class RunBrief(Schema):
    """One comparison of an account with its venue. `state` running, finished, or failed (venue not read)."""

    id: int
    account_id: int
    account: str
    trigger: Trigger
    state: Literal["running", "finished", "failed"]
    step: str
    started_at: Instant
    finished_at: Instant | None
    as_of: Instant | None
    complete: bool
    counts: dict[str, int]
    withheld: list[str | None]
    problem: str
    trace_id: str


class Run(RunBrief):
    """A certificate: windows requested and covered by kind of fact, legs, balances and differences."""

    windows: dict[str, dict[str, Any]]
    legs: list[LegLine]
    balances: list[BalanceLine]


class RunPage(Schema):
    items: list[RunBrief]
    next_cursor: str | None


class Last(Schema):
    """The newest run of each account."""

    runs: list[Run]


class Started(Schema):
    """A run that was started, or (`started` false) the one that was under way already."""

    account_id: int
    run_id: int | None
    started: bool
    reason: str = ""


class SyncOut(Schema):
    runs: list[Started]


class Verdict(Schema):
    """The verdict of one leg or balance. `reading`: how far our reading of the venue is proven."""

    subject: str
    venue_symbol: str
    instrument_id: int | None
    leg: str
    wallet: str
    asset: str
    status: VerdictStatus
    as_of: Instant | None
    age_seconds: float | None
    differences: list[DifferenceLine]
    reading: str
    unproven_methods: list[str]


class AccountStatus(Schema):
    """An account's worst verdict. `unproven_methods`: methods SYNCED depends on that no test proves."""

    account_id: int
    account: str
    venue: str
    environment: Environment
    status: VerdictStatus
    reading: str
    unproven_methods: list[str]
    paused_until: Instant | None
    pause_reason: str
    counts: dict[str, int]
    open_cases: int
    last_run: RunBrief | None
    verdicts: list[Verdict]


class StatusOut(Schema):
    as_of: Instant
    accounts: list[AccountStatus]


class Difference(Schema):
    """One difference from its first report to its end. `amount` is venue − book."""

    id: int
    account_id: int
    account: str
    subject: str
    venue_symbol: str
    family: Family
    kind: str
    book: Money | None
    venue: Money | None
    amount: Money
    reports: int
    first_as_of: Instant
    first_at: Instant
    confirmed_at: Instant | None
    ended_at: Instant | None
    ended: str
    first_run_id: int
    last_run_id: int


class DifferencePage(Schema):
    items: list[Difference]
    next_cursor: str | None


class Times(Schema):
    """Seconds, by nearest rank; null while there is nothing to count."""

    count: int
    median: float | None
    p95: float | None
    worst: float | None


class Statistics(Schema):
    """Counts of one account; docs/reconciliation.md defines each."""

    account_id: int
    account: str
    runs: int
    complete_runs: int
    failed_runs: int
    differences: dict[str, int]
    confirmed: int
    passed: int
    open: int
    seconds_to_detect: Times
    seconds_to_resolve: Times
    cases: dict[str, int]
    corrections: int
    automatic_corrections: int
    reversed_corrections: int
    false_alarms: int


class StatisticsOut(Schema):
    accounts: list[Statistics]


# Cases ------------------------------------------------------------------------------------------------------


class Finding(Schema):
    """A possible cause, with the references of the entries and venue records it cites.

    `score` (0 to 1) is how sure this evidence alone makes it; `percent` how likely it is among the
    causes of the case, which add up to 100.
    """

    cause: str
    score: str
    percent: int
    text: str
    evidence: list[str]


class CaseEvent(Schema):
    kind: str
    at: Instant
    who: str
    text: str


class Correction(Schema):
    """What was done about a case. `outcome`: agrees, differs or unknown, after the venue was read again."""

    id: int
    case_id: int
    action: str
    automatic: bool
    who: str
    reason: str
    entries: list[str]
    preview: dict[str, Any]
    applied_at: Instant
    outcome: str
    reversed_at: Instant | None


class CaseBrief(Schema):
    """A difference that a person must look at, with its causes, the likeliest first."""

    id: int
    account_id: int
    account: str
    subject: str
    venue_symbol: str
    instrument_id: int | None
    leg: str
    wallet: str
    asset: str
    family: Family
    state: CaseState
    differences: list[DifferenceLine]
    diagnosis: list[Finding]
    assignee: str
    opened_at: Instant
    changed_at: Instant
    closed_at: Instant | None
    outcome: str
    run_id: int


class Case(CaseBrief):
    """A case with its history, corrections and possible actions."""

    events: list[CaseEvent]
    corrections: list[Correction]
    actions: list[str]


class CasePage(Schema):
    items: list[CaseBrief]
    next_cursor: str | None


class Preview(Schema):
    """An action's entries and effects, as of the report: before → after, and its worth in USD.

    `pnl_effect` is the change of realized P&L in `pnl_currency`; null is unknown. What is not `reversible`
    cannot be taken back, only entered again by hand.
    """

    action: str
    entries: list[dict[str, Any]]
    before: dict[str, str | None]
    after: dict[str, str | None]
    pnl_effect: Money | None
    pnl_currency: str
    usd: Money | None
    reversible: bool
    token: str


class RequestBody(Schema):
    """A request's body: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class SyncIn(RequestBody):
    """The accounts to compare now; none named: all that the caller may see."""

    accounts: Annotated[list[Id], Field(max_length=1000)] | None = None


class PreviewIn(RequestBody):
    """An action to preview; `price` where it takes one."""

    action: Text
    price: Annotated[MoneyIn, Field(gt=0)] | None = None


class ActIn(PreviewIn):
    """The action to apply, with the `token` of its preview."""

    reason: Annotated[LongText, Field(max_length=1000)]
    token: Text


class CommentIn(RequestBody):
    text: Annotated[LongText, Field(min_length=1)]


class AssignIn(RequestBody):
    """The person who gets the case; empty: nobody."""

    text: Annotated[Text, Field(max_length=150)]


class Reason(RequestBody):
    reason: Annotated[LongText, Field(min_length=1, max_length=1000)]


class PolicyIn(RequestBody):
    """What may be corrected automatically, by family of differences. `account` null: all other accounts."""

    account: Id | None = None
    family: Family
    mode: Mode
    materiality_usd: Annotated[MoneyIn, Field(ge=0)] | None = None


class Policy(Schema):
    id: int
    account_id: int | None
    family: Family
    mode: Mode
    materiality_usd: Money | None
    halted_at: Instant | None


class Policies(Schema):
    policies: list[Policy]
