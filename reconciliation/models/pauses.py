"""When accounts were not compared on purpose, as during a venue's maintenance."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.db.models import F, Q

from positions.models import Account


class Pause(models.Model):
    """One pause, kept: who asked for it and why, from when, until when it was meant to last.

    `ended_at` is when it was over: ended by hand (then `ended_by` says by whom), replaced by another one, or
    found to have run out; None while nobody looked since.
    """

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="pauses")
    started_at = models.DateTimeField()
    until = models.DateTimeField()
    reason = models.CharField(max_length=200, blank=True, default="")
    who = models.CharField(max_length=150)
    ended_at = models.DateTimeField(null=True)
    ended_by = models.CharField(max_length=150, blank=True, default="")

    class Meta:
        ordering = ["-started_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["account"], condition=Q(ended_at__isnull=True), name="reconciliation_pause_one_open"
            ),
            models.CheckConstraint(
                name="reconciliation_pause_ends_in_time",
                condition=Q(ended_at__isnull=True) | Q(ended_at__lte=F("until")),
            ),
        ]

    def __str__(self) -> str:
        return f"pause of account {self.account_id}"

    def over_at(self, *, now: datetime) -> datetime | None:
        """Return when it was over; None: it lasts."""
        return self.ended_at or (self.until if self.until <= now else None)
