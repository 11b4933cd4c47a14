"""Accounts at venues, the head of each account's ledger, and where its feeds were read up to."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from positions.book.world import World
from positions.labels import ENVIRONMENTS


class Environment(models.TextChoices):
    """Worlds that never mix: a mark, a market or a total belongs to exactly one."""

    LIVE = "live", ENVIRONMENTS["live"]
    TESTNET = "testnet", ENVIRONMENTS["testnet"]
    SIMULATED = "simulated", ENVIRONMENTS["simulated"]
    MANUAL = "manual", ENVIRONMENTS["manual"]


class Account(models.Model):
    """One account at one venue. `credentials` is ciphertext (MultiFernet); an address alone needs none."""

    label = models.CharField(max_length=100, unique=True)
    venue = models.CharField(max_length=40, help_text="Adapter name, such as hyperliquid; 'manual' has none.")
    environment = models.CharField(max_length=10, choices=Environment.choices, default=Environment.LIVE)
    base_url = models.CharField(
        max_length=300, blank=True, default="", help_text="Only for simulated venues: where they answer."
    )
    address = models.CharField(
        max_length=200, blank=True, default="", help_text="Enough to read Hyperliquid."
    )
    credentials = models.TextField(blank=True, default="", editable=False)
    enabled = models.BooleanField(default=True)
    paused_until = models.DateTimeField(null=True, blank=True)
    pause_reason = models.CharField(max_length=200, blank=True, default="")
    options = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField()
    # What to tell whoever added the account: set by `sync.connections.add_account`, not stored.
    key_warnings: tuple[str, ...] = ()

    class Meta:
        ordering = ["label"]
        constraints = [
            models.CheckConstraint(
                name="positions_account_base_url_only_simulated",
                condition=Q(base_url="") | Q(environment=Environment.SIMULATED),
            ),
            models.CheckConstraint(
                name="positions_account_manual_has_no_venue",
                condition=Q(venue="manual", environment=Environment.MANUAL)
                | (~Q(venue="manual") & ~Q(environment=Environment.MANUAL)),
            ),
        ]

    def __str__(self) -> str:
        return self.label

    @property
    def world(self) -> World:
        """The venue, environment and base URL whose instruments and prices the account uses."""
        return World(self.venue, self.environment, self.base_url)

    @property
    def is_manual(self) -> bool:
        """Return whether it is kept by hand: it has no venue, so it is never reconciled."""
        return self.environment == Environment.MANUAL


class AccountHead(models.Model):
    """The end of an account's ledger; whoever books locks this row first.

    `entry_count` and `digest` are the length and the end of the hash chain over its entries; `sequence`
    counts the committed changes, each of which is one frame of the live log. `opened` is T0 by wallet: from
    then on the wallet's balances are counted.
    """

    account = models.OneToOneField(Account, primary_key=True, on_delete=models.PROTECT, related_name="head")
    sequence = models.BigIntegerField(default=0)
    entry_count = models.BigIntegerField(default=0)
    digest = models.BinaryField(max_length=32, default=bytes(32))
    opened = models.JSONField(default=dict)

    def __str__(self) -> str:
        return f"head of account {self.account_id} at {self.sequence}"


class FeedCursor(models.Model):
    """How far a feed of an account was read; moves in the transaction of the entries it delivered.

    Without a gap up to `through` (venue time). `position` is whatever the adapter needs to go on.
    """

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="cursors")
    feed = models.CharField(max_length=60)
    through = models.DateTimeField(null=True)
    position = models.JSONField(default=dict)
    updated_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "feed"], name="positions_feedcursor_once_per_feed")
        ]

    def __str__(self) -> str:
        return f"{self.feed} through {self.through}"
