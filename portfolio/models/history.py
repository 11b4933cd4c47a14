"""History: how each account stood, minute by minute."""

from __future__ import annotations

from django.db import models

from positions.models import Account
from positions.models.fields import AmountField


class Snapshot(models.Model):
    """An account's figures at one moment, in its par currency.

    `equity` is ours: cash and coins by the book, and what derivatives have not realized yet, at the last
    marks, as are `unrealized_pnl` and `exposure`; None when a part of it is unknown. `venue_equity` is what
    the venue stated last: the margin balances (with unrealized P&L) of `venue_wallets`, None where it
    states none.
    """

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="snapshots", db_index=False)
    at = models.DateTimeField()
    equity = AmountField(null=True)
    venue_equity = AmountField(null=True)
    venue_wallets = models.JSONField(default=list)
    unrealized_pnl = AmountField(null=True)
    realized_pnl = AmountField()
    exposure = AmountField(null=True)
    open_positions = models.IntegerField()

    class Meta:
        ordering = ["account", "-at"]
        constraints = [models.UniqueConstraint(fields=["account", "at"], name="portfolio_snapshot_once")]

    def __str__(self) -> str:
        return f"account {self.account_id} at {self.at}"
