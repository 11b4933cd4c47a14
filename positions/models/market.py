"""What is traded, what it is worth now, and what the venue states about a leg. Written by `observe` only."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from positions.book.world import World
from positions.models.accounts import Account, Environment
from positions.models.fields import AmountField


class InstrumentKind(models.TextChoices):
    """How profit is computed. ASSET is a coin itself: what a spot position holds, priced in par currency."""

    LINEAR = "linear", "Linear"
    INVERSE = "inverse", "Inverse"
    SPOT = "spot", "Spot pair"
    ASSET = "asset", "Asset"


class Instrument(models.Model):
    """One market (or asset) of one venue in one environment; simulated ones also of one base URL.

    `multiplier` is what one contract moves in base units (linear) or quote units (inverse); the adapters
    book units, so it is 1 wherever the venue trades units. `underlying` × `underlying_ratio` is one
    unit in a common coin (kPEPE: PEPE × 1000).
    """

    venue = models.CharField(max_length=40)
    environment = models.CharField(max_length=10, choices=Environment.choices)
    base_url = models.CharField(max_length=300, blank=True, default="")
    venue_symbol = models.CharField(max_length=120)
    symbol = models.CharField(max_length=120, help_text="As people write it, such as BTC/USDC:USDC.")
    kind = models.CharField(max_length=8, choices=InstrumentKind.choices)
    base = models.CharField(max_length=40)
    quote = models.CharField(max_length=40)
    settle = models.CharField(max_length=40)
    multiplier = AmountField(default=1)
    base_fee = models.CharField(max_length=12, default="separate")
    underlying = models.CharField(max_length=40)
    underlying_ratio = AmountField(default=1)
    price_tick = AmountField(null=True, blank=True)
    quantity_step = AmountField(null=True, blank=True)
    max_leverage = AmountField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    active = models.BooleanField(default=True)
    details = models.JSONField(default=dict, blank=True)
    updated_at = models.DateTimeField()

    class Meta:
        ordering = ["venue", "environment", "symbol", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["venue", "environment", "base_url", "venue_symbol"],
                name="positions_instrument_identity",
            ),
            models.CheckConstraint(
                name="positions_instrument_multiplier_above_0", condition=Q(multiplier__gt=0)
            ),
        ]
        indexes = [
            models.Index(fields=["underlying", "environment"], name="positions_instr_underlying"),
            models.Index(fields=["symbol"], name="positions_instr_symbol"),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} · {self.venue}"

    @property
    def world(self) -> World:
        """The venue, environment and base URL that the instrument belongs to."""
        return World(self.venue, self.environment, self.base_url)


class Mark(models.Model):
    """The last price known of an instrument, in its quote currency. Ticks: nothing but the key is indexed."""

    instrument = models.OneToOneField(
        Instrument, primary_key=True, on_delete=models.PROTECT, related_name="mark"
    )
    price = AmountField()
    source = models.CharField(
        max_length=40, help_text="venue mark, mid, last, or the reference venue's name."
    )
    at = models.DateTimeField(help_text="The venue's time of the price.")
    received_at = models.DateTimeField()

    class Meta:
        constraints = [models.CheckConstraint(name="positions_mark_price_above_0", condition=Q(price__gt=0))]

    def __str__(self) -> str:
        return f"{self.price.normalize():f} at {self.at:%H:%M:%S}"


class VenueState(models.Model):
    """What the venue states, at its time: of a leg, or (no instrument) of a whole wallet.

    `quantity` is signed (short is negative). What the venue does not state is None. `no_liquidation`: it
    states that no price liquidates the leg at this equity.
    """

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="venue_states")
    wallet = models.CharField(max_length=40, default="", blank=True)
    instrument = models.ForeignKey(Instrument, null=True, on_delete=models.PROTECT, related_name="+")
    leg = models.CharField(max_length=5, default="", blank=True)
    quantity = AmountField(null=True)
    entry_price = AmountField(null=True)
    leverage = AmountField(null=True)
    margin_mode = models.CharField(max_length=10, null=True)
    margin = AmountField(null=True)
    maintenance_margin = AmountField(null=True)
    margin_balance = AmountField(null=True)
    liquidation_price = AmountField(null=True)
    no_liquidation = models.BooleanField(default=False)
    unrealized_pnl = AmountField(null=True)
    details = models.JSONField(default=dict)
    as_of = models.DateTimeField()
    received_at = models.DateTimeField()
    revision = models.BigIntegerField(default=1)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["account", "instrument", "leg", "wallet"],
                name="positions_venuestate_once_per_leg",
                nulls_distinct=False,
            )
        ]

    def __str__(self) -> str:
        return f"venue state {self.pk} as of {self.as_of}"
