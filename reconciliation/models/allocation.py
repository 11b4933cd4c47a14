"""How money is meant to be spread over venues and accounts, and when it was not."""

from __future__ import annotations

from decimal import Decimal

from django.db import models
from django.db.models import Q

from positions.models import Account, Environment
from positions.models.fields import AmountField

TOLERANCE = Decimal("0.05")


class AllocationTarget(models.Model):
    """The share of one environment's equity that a venue, or one account, is meant to hold.

    `share` and `tolerance` are fractions of 1. An account with a target of its own is
    left out of its venue's.
    """

    environment = models.CharField(
        max_length=10, choices=Environment.choices, default=Environment.LIVE, help_text="Worlds never mix."
    )
    venue = models.CharField(max_length=40, blank=True, default="", help_text="Either a venue …")
    account = models.ForeignKey(
        Account,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="… or an account.",
    )
    share = AmountField(help_text="0.8 is 80 %.")
    tolerance = AmountField(default=TOLERANCE, help_text="0.05 is 5 percentage points to either side.")
    changed_at = models.DateTimeField()
    changed_by = models.CharField(max_length=150, blank=True, default="")

    class Meta:
        ordering = ["environment", "venue", "account", "pk"]
        constraints = [
            models.CheckConstraint(
                name="reconciliation_target_of_one_thing",
                condition=(Q(venue="") & Q(account__isnull=False)) | (~Q(venue="") & Q(account__isnull=True)),
            ),
            models.CheckConstraint(
                name="reconciliation_target_is_a_share",
                condition=Q(share__gte=0, share__lte=1, tolerance__gte=0, tolerance__lte=1),
            ),
            models.UniqueConstraint(
                fields=["environment", "venue", "account"],
                name="reconciliation_target_once",
                nulls_distinct=False,
            ),
        ]

    def __str__(self) -> str:
        return f"{self.venue or self.account}: {self.share}"


class AllocationBreach(models.Model):
    """A time during which a share was further from its target than its tolerance.

    `drift` is actual − target as last seen, `worst_drift` the one furthest from zero; `ended_at` None: still.
    """

    environment = models.CharField(max_length=10, choices=Environment.choices)
    venue = models.CharField(max_length=40, blank=True, default="")
    account = models.ForeignKey(Account, null=True, on_delete=models.PROTECT, related_name="+")
    target = AmountField()
    tolerance = AmountField()
    drift = AmountField()
    worst_drift = AmountField()
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-started_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["environment", "venue", "account"],
                condition=Q(ended_at__isnull=True),
                name="reconciliation_breach_one_open",
                nulls_distinct=False,
            )
        ]

    def __str__(self) -> str:
        return f"{self.venue or self.account} off by {self.drift}"
