"""Runs (each the certificate of one comparison), what they found, what it means for each leg, and cases.

A *subject* is what is judged: a leg (instrument and leg), or a balance (wallet and asset).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from positions.models import Account, Instrument
from positions.models.fields import AmountField
from positions.models.names import display_name
from reconciliation.models_allocation import AllocationBreach as AllocationBreach
from reconciliation.models_allocation import AllocationTarget as AllocationTarget
from reconciliation.models_pauses import Pause as Pause

# A proof older than this many intervals proves nothing any more.
PROOF_INTERVALS = 3


class Status(models.TextChoices):
    """What the interface calls Proof."""

    PENDING = "PENDING", "Not proven yet"
    SYNCED = "SYNCED", "Synced"
    DRIFT = "DRIFT", "Drift"
    FAILED = "FAILED", "Failed"


class Trigger(models.TextChoices):
    """Why a run was made."""

    START = "start", "Start-up"
    SCHEDULE = "schedule", "Schedule"
    RECONNECT = "reconnect", "After a reconnect"
    DEMAND = "demand", "On demand"
    TARGETED = "targeted", "The stream disagreed"


class Run(models.Model):
    """One comparison of an account with its venue, kept whole: what was asked, covered and found.

    `legs` and `balances` have one object for each: observed or not, its window, differences. `windows` says
    for each kind of fact what was asked and covered (empty: the state agreed and nothing was asked). A run
    that could not read the venue has a `problem` and no `as_of`; it proves nothing and disproves nothing.
    `withheld` names the venue symbols (None: all) of rows that could not be read. While it runs,
    `finished_at` is None and `step` says what it does; after `expires_at` nobody waits for it.
    """

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="runs", db_index=False)
    trigger = models.CharField(max_length=10, choices=Trigger.choices, default=Trigger.SCHEDULE)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    step = models.CharField(max_length=80, blank=True, default="")
    as_of = models.DateTimeField(null=True)
    complete = models.BooleanField(default=False)
    windows = models.JSONField(default=dict)
    legs = models.JSONField(default=list)
    balances = models.JSONField(default=list)
    counts = models.JSONField(default=dict)
    withheld = models.JSONField(default=list)
    problem = models.TextField(blank=True, default="")
    trace_id = models.CharField(max_length=64, default="")

    class Meta:
        ordering = ["-started_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["account"],
                condition=Q(finished_at__isnull=True),
                name="reconciliation_run_one_running",
            )
        ]
        indexes = [models.Index(fields=["account", "-started_at", "-id"], name="reconciliation_run_newest")]

    def __str__(self) -> str:
        return f"run {self.pk} of account {self.account_id}"


class Subject(models.Model):
    """What is judged. A leg has an instrument; a balance has none, but a wallet and an asset."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="%(class)ss", db_index=False)
    instrument = models.ForeignKey(Instrument, null=True, on_delete=models.PROTECT, related_name="+")
    leg = models.CharField(max_length=5, blank=True, default="")
    wallet = models.CharField(max_length=40, blank=True, default="")
    asset = models.CharField(max_length=40, blank=True, default="")

    class Meta:
        abstract = True

    @property
    def name(self) -> str:
        """Return the subject as people call it. Reads the instrument: select it with the row."""
        if self.instrument is None:
            return f"{self.asset} in {self.wallet or 'the wallet'}"
        return leg_name(self.instrument, self.leg)

    @property
    def venue_symbol(self) -> str:
        """Return the venue's own name of the instrument; "" for a balance. Reads the instrument."""
        return "" if self.instrument is None else self.instrument.venue_symbol


def leg_name(instrument: Instrument, leg: str) -> str:
    """Return a leg as people call it: "ETH-PERP", or "ETH-PERP long" where there are two."""
    name = display_name(instrument)
    return name if leg in ("", "net") else f"{name} {leg}"


SUBJECT = ["account", "instrument", "leg", "wallet", "asset"]


class Verdict(Subject):
    """What is concluded about one subject. `as_of` is the proof's venue time (None: never proven).

    `suspected` holds the differences of the last report, `suspected_as_of` and `suspected_at` when they first
    showed (venue's time and ours): the same ones in a second report, at least a second later, make DRIFT.
    `seen_as_of` is the newest report looked at; `repaired_as_of` that of the report held against the book
    after everything the venue has was asked for. `revision` moves with every change of status.
    """

    status = models.CharField(max_length=8, choices=Status.choices, default=Status.PENDING)
    as_of = models.DateTimeField(null=True)
    seen_as_of = models.DateTimeField(null=True)
    suspected = models.JSONField(default=list)
    suspected_as_of = models.DateTimeField(null=True)
    suspected_at = models.DateTimeField(null=True)
    repaired_as_of = models.DateTimeField(null=True)
    run = models.ForeignKey(Run, null=True, on_delete=models.PROTECT, related_name="+")
    revision = models.BigIntegerField(default=1)
    changed_at = models.DateTimeField()

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=SUBJECT, name="reconciliation_verdict_once_per_leg", nulls_distinct=False
            ),
            models.CheckConstraint(
                name="reconciliation_verdict_synced_has_proof",
                condition=~Q(status="SYNCED") | Q(as_of__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.status} as of {self.as_of}"

    def status_now(self, *, now: datetime) -> Status:
        """Return the status with the age of its proof taken into account."""
        if self.status == Status.SYNCED and (self.as_of is None or self.as_of < oldest_proof(now=now)):
            return Status.PENDING
        return Status(self.status)


def oldest_proof(*, now: datetime) -> datetime:
    """Return the time before which a proof is too old to be believed."""
    return now - timedelta(seconds=PROOF_INTERVALS * settings.RECONCILIATION_INTERVAL)


class Transition(models.Model):
    """One change of a verdict, kept: from what, to what, when (our time and the report's), by which run."""

    verdict = models.ForeignKey(Verdict, on_delete=models.PROTECT, related_name="transitions")
    old = models.CharField(max_length=8, choices=Status.choices)
    new = models.CharField(max_length=8, choices=Status.choices)
    at = models.DateTimeField()
    as_of = models.DateTimeField(null=True)
    run = models.ForeignKey(Run, null=True, on_delete=models.PROTECT, related_name="+")
    differences = models.JSONField(default=list)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.CheckConstraint(name="reconciliation_transition_changes", condition=~Q(old=F("new")))
        ]

    def __str__(self) -> str:
        return f"{self.old} → {self.new}"


class Ended(models.TextChoices):
    """How a difference went away. PASSED: before it was confirmed, as those of an old report do."""

    PASSED = "passed", "Passed by itself"
    SETTLED = "settled", "Book and venue agree again"


class Difference(Subject):
    """One difference from first sight to its end: history, and what statistics count.

    `family` (size, entry_price, cash) groups kinds that turn into each other. `amount` is venue − book.
    `first_as_of` and `first_at` are when a report first showed it (the venue's time and ours), `confirmed_at`
    when it became a drift, `ended_at` when reports agreed again.
    """

    family = models.CharField(max_length=12)
    kind = models.CharField(max_length=20)
    book = AmountField(null=True)
    venue = AmountField(null=True)
    amount = AmountField()
    first_run = models.ForeignKey(Run, on_delete=models.PROTECT, related_name="+")
    last_run = models.ForeignKey(Run, on_delete=models.PROTECT, related_name="+")
    reports = models.PositiveIntegerField(default=1)
    first_as_of = models.DateTimeField()
    first_at = models.DateTimeField()
    confirmed_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    ended = models.CharField(max_length=8, choices=Ended.choices, blank=True, default="")

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=[*SUBJECT, "family"],
                condition=Q(ended_at__isnull=True),
                name="reconciliation_difference_one_open",
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                name="reconciliation_difference_ended",
                condition=(Q(ended_at__isnull=True) & Q(ended=""))
                | (Q(ended_at__isnull=False) & ~Q(ended="")),
            ),
        ]
        indexes = [models.Index(fields=["account", "-id"], name="reconciliation_diff_newest")]

    def __str__(self) -> str:
        return f"{self.kind} {self.amount}"


class CaseState(models.TextChoices):
    """Where a case stands."""

    OPEN = "open", "Open"
    ACKNOWLEDGED = "acknowledged", "Acknowledged"
    RESOLVED = "resolved", "Resolved"
    DISMISSED = "dismissed", "Dismissed"


UNSETTLED = (CaseState.OPEN, CaseState.ACKNOWLEDGED)


class Case(Subject):
    """A difference that somebody must look at. `family` is what differs: size, entry_price or cash.

    `differences` as last seen; `diagnosis` ranks causes, the likeliest first: {cause, score, text, evidence},
    each evidence with the references of the entries and venue records it rests on.
    """

    family = models.CharField(max_length=12)
    state = models.CharField(max_length=12, choices=CaseState.choices, default=CaseState.OPEN)
    differences = models.JSONField(default=list)
    diagnosis = models.JSONField(default=list)
    run = models.ForeignKey(Run, on_delete=models.PROTECT, related_name="+")
    assignee = models.CharField(max_length=150, blank=True, default="")
    opened_at = models.DateTimeField()
    changed_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    outcome = models.TextField(blank=True, default="")

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=[*SUBJECT, "family"],
                condition=Q(closed_at__isnull=True),
                name="reconciliation_case_one_unsettled",
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                name="reconciliation_case_closed_iff_settled",
                condition=(Q(state__in=UNSETTLED) & Q(closed_at__isnull=True))
                | (~Q(state__in=UNSETTLED) & Q(closed_at__isnull=False)),
            ),
        ]

    def __str__(self) -> str:
        return f"case {self.pk}"

    @property
    def is_settled(self) -> bool:
        return self.closed_at is not None


class CaseEvent(models.Model):
    """What happened to a case: opened, a change of state, a comment, an assignment, an action."""

    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="events")
    kind = models.CharField(max_length=16)
    at = models.DateTimeField()
    who = models.CharField(max_length=150, blank=True, default="")
    text = models.TextField(blank=True, default="")
    data: Any = models.JSONField(default=dict)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.kind} of case {self.case_id}"


class Correction(models.Model):
    """What was done about a case: the entries booked, before → after, the outcome, and its reversal."""

    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="corrections")
    action = models.CharField(max_length=20)
    automatic = models.BooleanField(default=False)
    who = models.CharField(max_length=150)
    reason = models.TextField(blank=True, default="")
    entries = models.JSONField(default=list)
    preview = models.JSONField(default=dict)
    usd = AmountField(null=True)
    applied_at = models.DateTimeField()
    outcome = models.CharField(max_length=12, blank=True, default="")
    reversed_at = models.DateTimeField(null=True)
    trace_id = models.CharField(max_length=64, default="")

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.action} of case {self.case_id}"


class Mode(models.TextChoices):
    """What may be done about a difference without asking."""

    ALERT = "alert", "Alert only"
    ADOPT = "adopt", "Adopt the venue's word"
    ADJUST = "adjust", "Adjust below the materiality"


class Policy(models.Model):
    """What may be done by itself about a family of differences, of one account or (None) of all others.

    `materiality_usd` is the most that one automatic correction may move, for ADJUST and ADOPT alike (None:
    no limit for ADOPT, nothing for ADJUST). `halted_at`: more than the allowed number an hour were wanted.
    """

    account = models.ForeignKey(Account, null=True, on_delete=models.PROTECT, related_name="+")
    family = models.CharField(max_length=12)
    mode = models.CharField(max_length=6, choices=Mode.choices, default=Mode.ALERT)
    materiality_usd = AmountField(null=True)
    halted_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["pk"]
        verbose_name_plural = "policies"
        constraints = [
            models.UniqueConstraint(
                fields=["account", "family"], name="reconciliation_policy_once", nulls_distinct=False
            )
        ]

    def __str__(self) -> str:
        return f"{self.family}: {self.mode}"
