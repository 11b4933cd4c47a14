"""Cases that drifts become, what was done about them, and the policies that allow doing it automatically."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q

from positions.models import Account
from positions.models.fields import AmountField
from reconciliation.models.runs import SUBJECT, Run, Subject


class CaseState(models.TextChoices):
    """The state of a case."""

    OPEN = "open", "Open"
    ACKNOWLEDGED = "acknowledged", "Acknowledged"
    RESOLVED = "resolved", "Resolved"
    DISMISSED = "dismissed", "Dismissed"


UNSETTLED = (CaseState.OPEN, CaseState.ACKNOWLEDGED)


class Case(Subject):
    """A difference that somebody must look at. `family` is what differs: size, entry_price or cash.

    `differences` as last seen; `diagnosis` ranks causes, the likeliest first: {cause, score, text, evidence},
    each evidence with the references of the entries and venue records it rests on. `report` has both sides
    as of the newest report that showed it: see cases.case_report.
    """

    family = models.CharField(max_length=12)
    state = models.CharField(max_length=12, choices=CaseState.choices, default=CaseState.OPEN)
    differences = models.JSONField(default=list)
    diagnosis = models.JSONField(default=list)
    report = models.JSONField(default=dict)
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
    """What may be done about a difference automatically."""

    ALERT = "alert", "Alert only"
    ADOPT = "adopt", "Adopt what the venue reports"
    ADJUST = "adjust", "Adjust below the materiality"


class Policy(models.Model):
    """What may be corrected automatically in a family of differences, of one account or (None) of all others.

    `materiality_usd` is the most that one automatic correction may move, for ADJUST and ADOPT alike (None:
    no limit for ADOPT, nothing for ADJUST). `halted_at`: more than the allowed number an hour were wanted.
    """

    account = models.ForeignKey(Account, null=True, on_delete=models.PROTECT, related_name="+")
    family = models.CharField(max_length=12)
    mode = models.CharField(max_length=6, choices=Mode.choices, default=Mode.ALERT)
    materiality_usd = AmountField(null=True)
    halted_at = models.DateTimeField(null=True)
    changed_at = models.DateTimeField(null=True)
    changed_by = models.CharField(max_length=200, blank=True, default="")

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
