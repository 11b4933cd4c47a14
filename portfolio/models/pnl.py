"""P&L by day: marks at the day's start, what did what to equity, and whether it adds up."""

from __future__ import annotations

from decimal import Decimal

from django.db import models

from positions.models import Account, Instrument, Position
from positions.models.fields import AmountField

COMPONENTS = ("price", "funding", "interest", "fees", "flows", "conversion", "corrections", "unexplained")
"""The columns of both tables below, as `portfolio.attribution.Component` names them."""


class ClosingMark(models.Model):
    """What an instrument, or a coin, was worth where a day of the desk begins, or an account did.

    In the instrument's quote currency; `mark_at` is when the price itself was observed.
    """

    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT, related_name="+", db_index=False)
    at = models.DateTimeField()
    price = AmountField()
    source = models.CharField(max_length=40)
    mark_at = models.DateTimeField()

    class Meta:
        ordering = ["at", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["instrument", "at"], name="portfolio_closingmark_once"),
            models.CheckConstraint(name="portfolio_closingmark_above_0", condition=models.Q(price__gt=0)),
        ]

    def __str__(self) -> str:
        return f"{self.instrument_id} at {self.at}: {self.price.normalize():f}"


class Earned:
    """What the rows of both tables below can say of themselves."""

    @property
    def pnl(self) -> Decimal:
        """Return what was earned: all but flows, as far as it is known."""
        amounts = (getattr(self, name) for name in COMPONENTS if name != "flows")
        return sum((amount for amount in amounts if amount is not None), Decimal(0))


class PnlDay(Earned, models.Model):
    """What one position did to its account's equity on one day of the desk, in USD, signed as equity moves.

    Without a position: cash of none (transfers, interest, what stays unexplained), by asset. `strategy` is
    that of entries that were tagged themselves; "" follows the position's. `closing_pnl` is the position's
    total P&L (with the unrealized part) at the end of the day, in its own P&L currency; None: unknown, or it
    was closed. `unknown` counts amounts that nobody knows. `entries` counts the entries behind it.
    """

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="+", db_index=False)
    day = models.DateField()
    position = models.ForeignKey(
        Position, null=True, on_delete=models.CASCADE, related_name="+", db_index=False
    )
    asset = models.CharField(max_length=40)
    strategy = models.CharField(max_length=80, default="")
    price = AmountField(default=0)
    funding = AmountField(default=0)
    interest = AmountField(default=0)
    fees = AmountField(default=0)
    flows = AmountField(default=0)
    conversion = AmountField(default=0)
    corrections = AmountField(default=0)
    unexplained = AmountField(default=0)
    unknown = models.IntegerField(default=0)
    entries = models.IntegerField(default=0)
    closing_pnl = AmountField(null=True)

    class Meta:
        ordering = ["account", "day", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["account", "day", "position", "asset", "strategy"],
                name="portfolio_pnlday_once",
                nulls_distinct=False,
            )
        ]
        indexes = [models.Index(fields=["day", "account"], name="portfolio_pnlday_day")]

    def __str__(self) -> str:
        return f"account {self.account_id}, {self.asset} on {self.day}"


class AccountDay(Earned, models.Model):
    """What happened to an account's equity on one day of the desk, in USD: the sum of its PnlDay rows.

    `starts_at` is the day's beginning, or when the account joined on it; it is open until `ends_at`, and
    `as_of` is how far it is counted. `start_equity` and `end_equity` come from balances and marks, not from
    these sums; None is unknown, and then nobody can tell what is unexplained. `sequence` is how many entries
    it counts. `joined` is the equity with which the account began on that day: a flow.
    """

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="+", db_index=False)
    day = models.DateField()
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    as_of = models.DateTimeField()
    start_equity = AmountField(null=True)
    end_equity = AmountField(null=True)
    price = AmountField(default=0)
    funding = AmountField(default=0)
    interest = AmountField(default=0)
    fees = AmountField(default=0)
    flows = AmountField(default=0)
    conversion = AmountField(default=0)
    corrections = AmountField(default=0)
    unexplained = AmountField(null=True)
    joined = AmountField(default=0)
    unknown = models.IntegerField(default=0)
    entries = models.IntegerField(default=0)
    sequence = models.BigIntegerField(default=0)

    class Meta:
        ordering = ["account", "day"]
        constraints = [models.UniqueConstraint(fields=["account", "day"], name="portfolio_accountday_once")]
        indexes = [models.Index(fields=["day", "account"], name="portfolio_accountday_day")]

    def __str__(self) -> str:
        return f"account {self.account_id} on {self.day}"


class EntryStrategy(models.Model):
    """The strategy that one entry belongs to, where it is another than its position's."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="+", db_index=False)
    venue_ref = models.TextField()
    strategy = models.CharField(max_length=80)
    changed_at = models.DateTimeField()
    changed_by = models.CharField(max_length=150, default="")

    class Meta:
        ordering = ["account", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["account", "venue_ref"], name="portfolio_entrystrategy_once"),
            models.CheckConstraint(name="portfolio_entrystrategy_named", condition=~models.Q(strategy="")),
        ]

    def __str__(self) -> str:
        return f"{self.venue_ref}: {self.strategy}"
