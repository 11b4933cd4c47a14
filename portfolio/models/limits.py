"""Limits on what is held, and where each stands."""

from __future__ import annotations

from decimal import Decimal

from django.db import models
from django.db.models import Q

from positions.models import Account, Environment
from positions.models.fields import AmountField


class RiskLimitKind(models.TextChoices):
    """What a limit is on, as `portfolio.limits.LimitKind` has it."""

    EXPOSURE = "exposure", "Gross exposure (USD)"
    LEVERAGE = "leverage", "Leverage (gross exposure / equity)"
    LOSS_TODAY = "loss_today", "Loss today (USD)"
    CONCENTRATION = "concentration", "Largest asset (% of gross exposure)"
    DISTANCE = "distance", "Distance to liquidation (%)"


class RiskLimit(models.Model):
    """One limit, for all of an environment, one account or one asset. `portfolio.limits.check` rules it.

    `level`, `value` and `since` say where it stands: written by the refresh, so that hysteresis and its
    beginning outlive a restart.
    """

    environment = models.CharField(
        max_length=10, choices=Environment.choices, default=Environment.LIVE, help_text="Worlds never mix."
    )
    kind = models.CharField(max_length=14, choices=RiskLimitKind.choices)
    account = models.ForeignKey(
        Account, null=True, blank=True, on_delete=models.CASCADE, related_name="+", help_text="Empty: all."
    )
    asset = models.CharField(
        max_length=40, blank=True, default="", help_text="An underlying such as BTC; empty: all."
    )
    warn = AmountField(null=True, blank=True, help_text="Warn from here on; empty: no warning.")
    breach = AmountField(help_text="Breached from here on.")
    hysteresis_pct = AmountField(
        default=Decimal(5), help_text="A level is left when the figure is better by this much, in percent."
    )
    enabled = models.BooleanField(default=True)
    changed_at = models.DateTimeField(editable=False)
    changed_by = models.CharField(max_length=150, default="", editable=False)
    level = models.CharField(max_length=6, default="ok", editable=False)
    value = AmountField(null=True, editable=False)
    since = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["environment", "kind", "account", "asset", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["environment", "kind", "account", "asset"],
                name="portfolio_risklimit_once",
                nulls_distinct=False,
            ),
            models.CheckConstraint(name="portfolio_risklimit_above_0", condition=Q(breach__gt=0)),
        ]

    def __str__(self) -> str:
        whole = "all" if self.account_id is None else f"account {self.account_id}"
        return f"{self.kind} of {self.asset or whole} ({self.environment})"
