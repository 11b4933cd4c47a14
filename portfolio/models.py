"""What the portfolio keeps: how each account stood, minute by minute."""

from __future__ import annotations

from django.db import models

from positions.models import Account
from positions.models.fields import AmountField


class Snapshot(models.Model):
    """An account's figures at one moment, in its par currency.

    `equity` is what the venue said last (margin balance with unrealized P&L), None where it says none;
    `unrealized_pnl` and `exposure` are ours at the last marks, None when a mark is unknown.
    """

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="snapshots", db_index=False)
    at = models.DateTimeField()
    equity = AmountField(null=True)
    unrealized_pnl = AmountField(null=True)
    realized_pnl = AmountField()
    exposure = AmountField(null=True)
    open_positions = models.IntegerField()

    class Meta:
        ordering = ["account", "-at"]
        constraints = [models.UniqueConstraint(fields=["account", "at"], name="portfolio_snapshot_once")]

    def __str__(self) -> str:
        return f"account {self.account_id} at {self.at}"
