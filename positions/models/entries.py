"""The facts. Triggers refuse UPDATE, DELETE and TRUNCATE: a fact is corrected by another fact."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Q

from core.storage.guards import append_only
from positions.models.accounts import Account
from positions.models.fields import AmountField
from positions.models.market import Instrument


class Entry(models.Model):
    """One fact of one account, unique on (account, venue_ref).

    `content` is the fact in canonical JSON, byte for byte what `digest` covers; the typed columns repeat
    what queries need and are derived from it. `digest` = SHA-256 of the previous entry's digest, the
    sequence and the content, so that no fact can be edited, dropped or slipped in unseen. `quantity` is
    signed as the book counts it (sell is negative); `amount` is the cash that the fact states by itself
    (funding, fee, transfer, …), signed (paid is negative). `coins` names the coins whose spot positions it
    feeds, as "account/coin"; None if it feeds none, so that its index holds only those that do.
    """

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="entries", db_index=False)
    sequence = models.BigIntegerField()
    venue_ref = models.TextField()
    kind = models.CharField(max_length=12)
    cause = models.CharField(max_length=12, default="")
    instrument = models.ForeignKey(
        Instrument, null=True, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    leg = models.CharField(max_length=5, null=True)
    at = models.DateTimeField()
    received_at = models.DateTimeField()
    quantity = AmountField(null=True)
    price = AmountField(null=True)
    fee = AmountField(null=True)
    fee_currency = models.CharField(max_length=40, null=True)
    amount = AmountField(null=True)
    currency = models.CharField(max_length=40, null=True)
    wallet = models.CharField(max_length=40, default="")
    target_ref = models.TextField(null=True)
    amended_at = models.DateTimeField(null=True)
    watermark = models.DateTimeField(null=True)
    coins = ArrayField(models.TextField(), null=True)
    content = models.TextField()
    digest = models.BinaryField(max_length=32)
    source = models.CharField(max_length=60)
    trace_id = models.CharField(max_length=64, default="")

    class Meta:
        ordering = ["pk"]
        verbose_name_plural = "entries"
        constraints = [
            models.UniqueConstraint(fields=["account", "venue_ref"], name="positions_entry_once"),
            models.UniqueConstraint(fields=["account", "sequence"], name="positions_entry_sequence"),
        ]
        indexes = [
            models.Index(fields=["account", "instrument", "at"], name="positions_entry_key"),
            models.Index(fields=["account", "at"], name="positions_entry_time"),
            models.Index(
                fields=["account", "target_ref"],
                name="positions_entry_target",
                condition=Q(target_ref__isnull=False),
            ),
            models.Index(
                fields=["account", "instrument", "watermark"],
                name="positions_entry_inferred",
                condition=Q(watermark__isnull=False),
            ),
            models.Index(
                fields=["account", "amended_at"],
                name="positions_entry_retimed",
                condition=Q(amended_at__isnull=False),
            ),
            GinIndex(fields=["coins"], name="positions_entry_coins", condition=Q(coins__isnull=False)),
        ]
        triggers = append_only()

    def __str__(self) -> str:
        return f"{self.kind} {self.venue_ref}"


class QuarantineReason(models.TextChoices):
    """Why a fact was not booked."""

    CONFLICT = "conflict", "Same reference, other content"
    INVALID = "invalid", "Refused by the book"
    UNKNOWN_INSTRUMENT = "unknown_instrument", "Unknown instrument"
    UNKNOWN_CURRENCY = "unknown_currency", "Unknown currency"
    FUTURE = "future", "Time lies in the future"


class QuarantinedEntry(models.Model):
    """A fact that was not booked, with its payload, until somebody settles it.

    The same offender delivered again only counts up `seen`.
    """

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="quarantined")
    venue_ref = models.TextField()
    reason = models.CharField(max_length=20, choices=QuarantineReason.choices)
    detail = models.TextField()
    content = models.TextField()
    content_digest = models.BinaryField(max_length=32)
    conflicts_with = models.ForeignKey(Entry, null=True, on_delete=models.PROTECT, related_name="conflicts")
    source = models.CharField(max_length=60)
    trace_id = models.CharField(max_length=64, default="")
    received_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    seen = models.PositiveIntegerField(default=1)
    settled_at = models.DateTimeField(null=True, blank=True)
    settlement = models.CharField(max_length=200, blank=True, default="")

    class Meta:
        ordering = ["-pk"]
        verbose_name_plural = "quarantined entries"
        constraints = [
            models.UniqueConstraint(
                fields=["account", "venue_ref", "reason", "content_digest"],
                name="positions_quarantine_once",
            )
        ]
        indexes = [
            models.Index(
                fields=["account", "-id"],
                name="positions_quarantine_open",
                condition=Q(settled_at__isnull=True),
            )
        ]

    def __str__(self) -> str:
        return f"{self.reason}: {self.venue_ref}"
