"""What the facts add up to: positions (one row from flat to flat), their history, balances."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from core.storage.guards import append_only
from positions.models.accounts import Account
from positions.models.fields import AmountField
from positions.models.market import Instrument


class Status(models.TextChoices):
    """The status of an episode. OPENING and CLOSING belong to orders; VOID is one that a refold dissolved."""

    OPENING = "OPENING", "Opening"
    OPEN = "OPEN", "Open"
    REDUCED = "REDUCED", "Reduced"
    CLOSING = "CLOSING", "Closing"
    CLOSED = "CLOSED", "Closed"
    LIQUIDATED = "LIQUIDATED", "Liquidated"
    VOID = "VOID", "Void"


OPEN_STATUSES = (Status.OPEN, Status.REDUCED, Status.CLOSING)
ENDED_STATUSES = (Status.CLOSED, Status.LIQUIDATED)


class Position(models.Model):
    """One episode of one key (account, instrument, leg). Spot: the instrument is the coin, the leg net.

    `quantity` is signed (short is negative) in units of the instrument; `open_cost` is what the open
    quantity cost, None if a part's cost is unknown. `entry_price` is the average of the open quantity, or
    of the last one when flat; `exit_price` of what was closed. `realized_pnl` excludes fees and funding,
    which are kept by currency, as strings (paid fees positive, received funding positive); `net_pnl`
    includes both; `unknown_count` is how many unknowns the sums leave out. `state` is the fold in
    canonical JSON: enough to go on from here; `cash` is the realized P&L of it that balances count, by
    wallet. `version` moves when the fold moves, `annotation_revision` with tags, strategy and note;
    `sequence` is the account's change that last touched the row.
    """

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="positions", db_index=False)
    instrument = models.ForeignKey(
        Instrument, on_delete=models.PROTECT, related_name="positions", db_index=False
    )
    leg = models.CharField(max_length=5, default="net")
    status = models.CharField(max_length=10, choices=Status.choices)
    quantity = AmountField()
    open_cost = AmountField(null=True)
    entry_price = AmountField(null=True)
    exit_price = AmountField(null=True)
    realized_pnl = AmountField()
    adjustment_pnl = AmountField(default=0)
    net_pnl = AmountField()
    pnl_currency = models.CharField(max_length=40)
    fees = models.JSONField(default=dict)
    funding = models.JSONField(default=dict)
    interest = models.JSONField(default=dict)
    peak_quantity = AmountField(default=0)
    unknown_count = models.IntegerField(default=0)
    fill_count = models.BigIntegerField(default=0)
    entry_count = models.BigIntegerField(default=0)
    cash = models.JSONField(default=dict)
    state = models.TextField()
    opening_ref = models.TextField()
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    last_at = models.DateTimeField()
    version = models.BigIntegerField(default=1)
    sequence = models.BigIntegerField(default=0)
    tags = ArrayField(models.CharField(max_length=40), default=list, blank=True)
    strategy = models.CharField(max_length=80, blank=True, default="")
    note = models.TextField(blank=True, default="")
    annotation_revision = models.BigIntegerField(default=0)
    superseded_by = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="supersedes")
    archived_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["account", "instrument", "leg"],
                condition=Q(status__in=OPEN_STATUSES),
                name="positions_position_one_open_per_key",
            ),
            models.UniqueConstraint(
                fields=["account", "instrument", "leg", "opening_ref"],
                name="positions_position_one_per_opening",
            ),
            models.CheckConstraint(
                name="positions_position_status_iff_size",
                condition=(Q(status__in=OPEN_STATUSES) & ~Q(quantity=0))
                | (~Q(status__in=OPEN_STATUSES) & Q(quantity=0)),
            ),
            models.CheckConstraint(
                name="positions_position_leg_sign",
                condition=Q(leg="net") | Q(leg="long", quantity__gte=0) | Q(leg="short", quantity__lte=0),
            ),
            models.CheckConstraint(
                name="positions_position_ended_has_time",
                condition=(Q(status__in=ENDED_STATUSES) & Q(closed_at__isnull=False))
                | Q(status=Status.VOID)
                | (~Q(status__in=[*ENDED_STATUSES, Status.VOID]) & Q(closed_at__isnull=True)),
            ),
            models.CheckConstraint(
                name="positions_position_closed_after_opened",
                condition=Q(closed_at__isnull=True) | Q(closed_at__gte=F("opened_at")),
            ),
            models.CheckConstraint(
                name="positions_position_superseded_is_void",
                condition=Q(superseded_by__isnull=True) | Q(status=Status.VOID),
            ),
            models.CheckConstraint(name="positions_position_version", condition=Q(version__gte=1)),
        ]
        indexes = [
            models.Index(fields=["account", "instrument", "leg", "opened_at"], name="positions_position_key"),
            models.Index(
                fields=["-closed_at", "-id"],
                name="positions_position_closed",
                condition=Q(closed_at__isnull=False, archived_at__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"position {self.pk} ({self.status})"

    @property
    def is_open(self) -> bool:
        """Return whether it has a size now."""
        return self.status in OPEN_STATUSES


class PositionEvent(models.Model):
    """A change of a position: who, source, trace id, before, after. Triggers refuse all but INSERT.

    One for each change of status, and one for what a booking did to the figures in all. `first_sequence`
    to `last_sequence` are the account's entries that caused it. `at` is the venue's time, `recorded_at` ours.
    """

    position = models.ForeignKey(Position, on_delete=models.PROTECT, related_name="events", db_index=False)
    kind = models.CharField(max_length=12)
    status_before = models.CharField(max_length=10, default="")
    status_after = models.CharField(max_length=10)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    first_sequence = models.BigIntegerField(null=True)
    last_sequence = models.BigIntegerField(null=True)
    at = models.DateTimeField()
    recorded_at = models.DateTimeField()
    who = models.CharField(max_length=150, default="")
    source = models.CharField(max_length=60)
    reason = models.TextField(default="")
    trace_id = models.CharField(max_length=64, default="")

    class Meta:
        ordering = ["pk"]
        indexes = [models.Index(fields=["position", "id"], name="positions_event_history")]
        triggers = append_only()

    def __str__(self) -> str:
        return f"{self.kind} of position {self.position_id}"


class Checkpoint(models.Model):
    """An earlier whole state of a key, to fold a late fact from. See positions/ledger/fold/checkpoints.py.

    `state` and `cash` are as in Position, with every fact up to `at`.
    """

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="+", db_index=False)
    instrument = models.ForeignKey(Instrument, on_delete=models.CASCADE, related_name="+", db_index=False)
    leg = models.CharField(max_length=5)
    at = models.DateTimeField()
    cash = models.JSONField(default=dict)
    state = models.TextField()

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["account", "instrument", "leg", "at"], name="positions_checkpoint_once"
            )
        ]

    def __str__(self) -> str:
        return f"checkpoint of {self.instrument_id} {self.leg} at {self.at}"


class Balance(models.Model):
    """The fold of the cash legs of a wallet from its T0 on: what the venue's wallet should show."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="balances", db_index=False)
    wallet = models.CharField(max_length=40, default="")
    asset = models.CharField(max_length=40)
    amount = AmountField()
    unknown_count = models.IntegerField(default=0)
    sequence = models.BigIntegerField(default=0)
    updated_at = models.DateTimeField()

    class Meta:
        ordering = ["account", "wallet", "asset"]
        constraints = [
            models.UniqueConstraint(fields=["account", "wallet", "asset"], name="positions_balance_once")
        ]

    def __str__(self) -> str:
        return f"{self.amount.normalize():f} {self.asset}"
