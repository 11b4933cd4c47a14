"""History: how positions, accounts and the portfolio stood, minute by minute and hour by hour.

Note [Snapshot tables]: the three tables of raw rows have a partition for each month, and are written by COPY
(portfolio/snapshots). Their rows have no id: key and time identify them. A foreign key would check each row
that is copied, and neither accounts nor positions are ever deleted, so Postgres holds none. Money has 8
places: whole satoshi, at half the width of the book's. None: the figure was not known then.
"""

from __future__ import annotations

from typing import Any

from django.contrib.postgres.indexes import BrinIndex
from django.db import models

from core.storage.guards import append_only
from positions.models import Account, Entry, Position
from positions.models.fields import AmountField


class SnapshotMoney(models.DecimalField):  # type: ignore[type-arg]
    """numeric(28,8): money as snapshots keep it. None is unknown, never 0."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["max_digits"], kwargs["decimal_places"] = 28, 8
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        del kwargs["max_digits"], kwargs["decimal_places"]
        return name, path, args, kwargs


def _of(model: type[models.Model]) -> Any:
    return models.ForeignKey(
        model, on_delete=models.DO_NOTHING, related_name="+", db_index=False, db_constraint=False
    )


class PositionSnapshot(models.Model):
    """An open position at one moment, in its P&L currency.

    `unrealized_pnl_pct`, `time_held_minutes` and `position_size_norm` (its share of the environment's gross
    exposure) are the features that models are fed. `quality` is a `portfolio.snapshots.quality.Quality`.
    """

    pk = models.CompositePrimaryKey("position_id", "at")
    position = _of(Position)
    at = models.DateTimeField()
    quality = models.SmallIntegerField(default=0)
    quantity = AmountField()
    mark_price = AmountField(null=True)
    unrealized_pnl = SnapshotMoney(null=True)
    realized_pnl = SnapshotMoney()
    net_pnl = SnapshotMoney()
    unrealized_pnl_pct = models.DecimalField(max_digits=26, decimal_places=6, null=True)
    time_held_minutes = models.DecimalField(max_digits=14, decimal_places=2)
    position_size_norm = models.DecimalField(max_digits=9, decimal_places=8, null=True)

    class Meta:
        ordering = ["position", "-at"]
        indexes = [BrinIndex(fields=["at"], name="portfolio_positionsnapshot_at")]

    def __str__(self) -> str:
        return f"position {self.position_id} at {self.at}"


class AccountSnapshot(models.Model):
    """An account's figures at one moment, in its par currency.

    `equity` is ours: cash and coins by the book, and what derivatives have not realized yet, at the last
    marks; None when a part of it is unknown, and then `equity_known` is the rest. `realized_pnl` and
    `net_pnl` are of all its positions, ended ones too; those in another currency are left out and leave
    their bit in `quality`. `venue_equity` is what the venue stated last: the margin balances (with
    unrealized P&L) of `venue_wallets`, None where it states none.
    """

    pk = models.CompositePrimaryKey("account_id", "at")
    account = _of(Account)
    at = models.DateTimeField()
    quality = models.SmallIntegerField(default=0)
    open_positions = models.IntegerField()
    equity = SnapshotMoney(null=True)
    equity_known = SnapshotMoney(null=True)
    venue_equity = SnapshotMoney(null=True)
    unrealized_pnl = SnapshotMoney(null=True)
    realized_pnl = SnapshotMoney()
    net_pnl = SnapshotMoney()
    exposure = SnapshotMoney(null=True)
    net_exposure = SnapshotMoney(null=True)
    venue_wallets = models.JSONField(default=list)

    class Meta:
        ordering = ["account", "-at"]
        indexes = [BrinIndex(fields=["at"], name="portfolio_accountsnapshot_at")]

    def __str__(self) -> str:
        return f"account {self.account_id} at {self.at}"


class PortfolioSnapshot(models.Model):
    """All accounts of one environment at one moment, in USD.

    `equity`, `unrealized_pnl`, `exposure` and `net_exposure` are None while a part of any account is unknown;
    `equity_known` is the rest. `equity_stale` is the part of it that accounts with stale inputs are worth;
    `accounts_stale` and `accounts_incomplete` count them.
    """

    pk = models.CompositePrimaryKey("environment", "at")
    environment = models.CharField(max_length=10)
    at = models.DateTimeField()
    quality = models.SmallIntegerField(default=0)
    accounts = models.SmallIntegerField()
    accounts_stale = models.SmallIntegerField(default=0)
    accounts_incomplete = models.SmallIntegerField(default=0)
    open_positions = models.IntegerField()
    equity = SnapshotMoney(null=True)
    equity_known = SnapshotMoney(null=True)
    equity_stale = SnapshotMoney(default=0)
    unrealized_pnl = SnapshotMoney(null=True)
    realized_pnl = SnapshotMoney()
    net_pnl = SnapshotMoney()
    exposure = SnapshotMoney(null=True)
    net_exposure = SnapshotMoney(null=True)

    class Meta:
        ordering = ["environment", "-at"]
        indexes = [BrinIndex(fields=["at"], name="portfolio_portfoliosnapshot_at")]

    def __str__(self) -> str:
        return f"{self.environment} at {self.at}"


class Hour(models.Model):
    """What all hourly rows have: one for each hour with snapshots, kept for ever.

    `at` is the hour's beginning. Figures are those of the hour's last snapshot, at `last_at`; `low` and
    `high` bound the hour's own figure (a position's unrealized P&L, else equity). `snapshots` counts raw
    rows: fewer than a full hour has is a gap. `quality` has every bit that any of them had.
    """

    at = models.DateTimeField()
    last_at = models.DateTimeField()
    snapshots = models.SmallIntegerField()
    quality = models.SmallIntegerField()
    low = SnapshotMoney(null=True)
    high = SnapshotMoney(null=True)

    class Meta:
        abstract = True


class PositionHour(Hour):
    """A position's hour."""

    pk = models.CompositePrimaryKey("position_id", "at")
    position = _of(Position)
    quantity = AmountField()
    mark_price = AmountField(null=True)
    unrealized_pnl = SnapshotMoney(null=True)
    realized_pnl = SnapshotMoney()
    net_pnl = SnapshotMoney()
    unrealized_pnl_pct = models.DecimalField(max_digits=26, decimal_places=6, null=True)
    time_held_minutes = models.DecimalField(max_digits=14, decimal_places=2)
    position_size_norm = models.DecimalField(max_digits=9, decimal_places=8, null=True)

    class Meta:
        ordering = ["position", "-at"]

    def __str__(self) -> str:
        return f"position {self.position_id} in the hour from {self.at}"


class AccountHour(Hour):
    """An account's hour."""

    pk = models.CompositePrimaryKey("account_id", "at")
    account = _of(Account)
    open_positions = models.IntegerField()
    equity = SnapshotMoney(null=True)
    equity_known = SnapshotMoney(null=True)
    venue_equity = SnapshotMoney(null=True)
    unrealized_pnl = SnapshotMoney(null=True)
    realized_pnl = SnapshotMoney()
    net_pnl = SnapshotMoney()
    exposure = SnapshotMoney(null=True)
    net_exposure = SnapshotMoney(null=True)

    class Meta:
        ordering = ["account", "-at"]

    def __str__(self) -> str:
        return f"account {self.account_id} in the hour from {self.at}"


class PortfolioHour(Hour):
    """An environment's hour."""

    pk = models.CompositePrimaryKey("environment", "at")
    environment = models.CharField(max_length=10)
    accounts = models.SmallIntegerField()
    accounts_stale = models.SmallIntegerField()
    accounts_incomplete = models.SmallIntegerField()
    open_positions = models.IntegerField()
    equity = SnapshotMoney(null=True)
    equity_known = SnapshotMoney(null=True)
    equity_stale = SnapshotMoney()
    unrealized_pnl = SnapshotMoney(null=True)
    realized_pnl = SnapshotMoney()
    net_pnl = SnapshotMoney()
    exposure = SnapshotMoney(null=True)
    net_exposure = SnapshotMoney(null=True)

    class Meta:
        ordering = ["environment", "-at"]

    def __str__(self) -> str:
        return f"{self.environment} in the hour from {self.at}"


class Restatement(models.Model):
    """A closed day whose P&L is not what it was. Triggers refuse all but INSERT: it is never taken back.

    `day` is the desk's, `old` and `new` are the account's P&L of it in USD. `entry` is the first fact that
    was booked since (None: none was, a price came late), `why` says so in words, `who` booked it.
    """

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+", db_index=False)
    day = models.DateField()
    old = AmountField()
    new = AmountField()
    why = models.CharField(max_length=300)
    entry = models.ForeignKey(Entry, null=True, on_delete=models.PROTECT, related_name="+", db_index=False)
    who = models.CharField(max_length=150, default="")
    at = models.DateTimeField()

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["account", "-day"], name="portfolio_restatement_day")]
        triggers = append_only()

    def __str__(self) -> str:
        return f"account {self.account_id} on {self.day}"
