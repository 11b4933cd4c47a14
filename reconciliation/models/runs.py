"""Runs (each the certificate of one comparison), and the differences and verdicts that come of them.

A *subject* is what is judged: a leg (instrument and leg), or a balance (wallet and asset).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from positions.models import Account, Instrument
from positions.models.fields import AmountField
from positions.models.names import display_name
from reconciliation.labels import VERDICTS

# A proof older than this many intervals proves nothing any more.
PROOF_INTERVALS = 3


class VerdictStatus(models.TextChoices):
    """What the interface calls Proof."""

    PENDING = "PENDING", VERDICTS["PENDING"]
    SYNCED = "SYNCED", VERDICTS["SYNCED"]
    DRIFT = "DRIFT", VERDICTS["DRIFT"]
    FAILED = "FAILED", VERDICTS["FAILED"]


class Trigger(models.TextChoices):
    """Why a run was made."""

    START = "start", "Start-up"
    SCHEDULE = "schedule", "Schedule"
    RECONNECT = "reconnect", "After a reconnect"
    DEMAND = "demand", "On demand"
    TARGETED = "targeted", "The stream disagreed"


class Run(models.Model):
    """One comparison of an account with its venue: what was requested, covered and found.

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
    `seen_as_of` is the newest report looked at; `repaired_as_of` that of the report compared with the book
    after all facts were requested. `revision` moves with every change of status.
    """

    status = models.CharField(max_length=8, choices=VerdictStatus.choices, default=VerdictStatus.PENDING)
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

    def status_now(self, *, now: datetime) -> VerdictStatus:
        """Return the status with the age of its proof taken into account."""
        is_recent = self.as_of is not None and self.as_of >= oldest_proof(now=now)
        return VerdictStatus(aged_status(self.status, is_recent=is_recent))


def aged_status(status: str, *, is_recent: bool) -> str:
    """Return a verdict's status with the age of its proof taken into account: an old one proves nothing."""
    return VerdictStatus.PENDING if status == VerdictStatus.SYNCED and not is_recent else status


def oldest_proof(*, now: datetime) -> datetime:
    """Return the time before which a proof is too old to be believed."""
    return now - timedelta(seconds=PROOF_INTERVALS * settings.RECONCILIATION_INTERVAL)


class Transition(models.Model):
    """One change of a verdict, kept: from what, to what, when (our time and the report's), by which run."""

    verdict = models.ForeignKey(Verdict, on_delete=models.PROTECT, related_name="transitions")
    old = models.CharField(max_length=8, choices=VerdictStatus.choices)
    new = models.CharField(max_length=8, choices=VerdictStatus.choices)
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


class DifferenceEnd(models.TextChoices):
    """How a difference went away. PASSED: before it was confirmed, as those of an old report do."""

    PASSED = "passed", "Passed by itself"
    SETTLED = "settled", "Book and venue agree again"


class Difference(Subject):
    """One difference from first report to its end: history, and what statistics count.

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
    ended = models.CharField(max_length=8, choices=DifferenceEnd.choices, blank=True, default="")

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
