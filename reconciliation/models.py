"""Runs (each the certificate of one comparison) and verdicts (what the last ones say of a leg)."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from positions.models import Account, Instrument


class Status(models.TextChoices):
    """What the interface calls Proof."""

    PENDING = "PENDING", "Not proven yet"
    SYNCED = "SYNCED", "Synced"
    DRIFT = "DRIFT", "Drift"
    FAILED = "FAILED", "Failed"


class Run(models.Model):
    """One comparison of an account with its venue, kept whole: what was asked, covered and found.

    `legs` has one object for each leg: observed or not, both quantities, differences. A run that could not
    read the venue has a `problem` and no `as_of`; it proves nothing and disproves nothing.
    """

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="runs", db_index=False)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    as_of = models.DateTimeField(null=True)
    complete = models.BooleanField(default=False)
    legs = models.JSONField(default=list)
    counts = models.JSONField(default=dict)
    problem = models.TextField(blank=True, default="")
    trace_id = models.CharField(max_length=64, default="")

    class Meta:
        ordering = ["-started_at", "-pk"]
        indexes = [models.Index(fields=["account", "-started_at", "-id"], name="reconciliation_run_newest")]

    def __str__(self) -> str:
        return f"run {self.pk} of account {self.account_id}"


class Verdict(models.Model):
    """What reconciliation concludes about one leg. `as_of` is the proof's venue time (None: never proven).

    `suspected` holds the differences of the last report and `suspected_as_of` its time: the same ones in a
    second report, at least a second later, make DRIFT. `revision` moves with every change.
    """

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="verdicts", db_index=False)
    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT, related_name="+")
    leg = models.CharField(max_length=5)
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.PENDING)
    as_of = models.DateTimeField(null=True)
    suspected = models.JSONField(default=list)
    suspected_as_of = models.DateTimeField(null=True)
    run = models.ForeignKey(Run, null=True, on_delete=models.PROTECT, related_name="+")
    revision = models.BigIntegerField(default=1)
    changed_at = models.DateTimeField()

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["account", "instrument", "leg"], name="reconciliation_verdict_once_per_leg"
            ),
            models.CheckConstraint(
                name="reconciliation_verdict_synced_has_proof",
                condition=~Q(status="SYNCED") | Q(as_of__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.status} as of {self.as_of}"
