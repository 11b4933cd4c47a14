"""The venue's own history of an account's value: the second witness of our days."""

from __future__ import annotations

from django.db import models

from positions.models import Account
from positions.models.fields import AmountField


class VenueDay(models.Model):
    """What a venue says an account was worth at a moment near the end of a day, beside what we say.

    `ours` is None where we do not know, `difference` = venue − ours. `covers` says what of the account the
    venue's figure contains (perp, all). `beyond`: more than the tolerance, which is an input of alerts.
    """

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="+", db_index=False)
    day = models.DateField()
    at = models.DateTimeField()
    covers = models.CharField(max_length=20)
    venue_value = AmountField()
    ours = AmountField(null=True)
    difference = AmountField(null=True)
    tolerance = AmountField()
    beyond = models.BooleanField(default=False)
    read_at = models.DateTimeField()

    class Meta:
        ordering = ["account", "-day"]
        constraints = [
            models.UniqueConstraint(fields=["account", "day", "covers"], name="portfolio_venueday_once")
        ]

    def __str__(self) -> str:
        return f"account {self.account_id} on {self.day} by its venue"
