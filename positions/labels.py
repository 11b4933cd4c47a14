"""Labels of venues, environments, kinds of entries and states of feeds: one for each key. Pure."""

from __future__ import annotations

from decimal import Decimal

ENVIRONMENTS = {"live": "Live", "testnet": "Testnet", "simulated": "Simulated", "manual": "Manual"}
VENUES = {
    "binancecoinm": "Binance COIN-M",
    "binanceusdm": "Binance",
    "gate": "Gate",
    "manual": "By hand",
    "okx": "OKX",
}
"""Venues whose name is not their key in title case."""
ENTRY_KINDS = {
    "buy": "Buy",
    "sell": "Sell",
    "fill": "Fill",
    "funding": "Funding",
    "fee": "Fee",
    "interest": "Interest",
    "transfer": "Transfer",
    "adjustment": "Adjustment",
    "bust": "Reversal",
    "amend": "Amendment",
}
ENTRY_CAUSES = {
    "trade": "Trade",
    "liquidation": "Liquidation",
    "adl": "Auto-deleveraging",
    "settlement": "Settlement",
    "dust": "Dust conversion",
    "opening": "Held at connection",
    "inferred": "Inferred",
    "manual": "By hand",
    "deposit": "Deposit",
    "withdrawal": "Withdrawal",
    "internal": "Between own wallets",
}
FEED_STATES = {
    "live": "Live",
    "polled": "Polled",
    "backfilling": "Backfilling",
    "stale": "Stale",
    "down": "Down",
    "none": "None",
    "unwatched": "Not streamed",
    "paused": "Paused",
    "disabled": "Switched off",
}
"""Of streams, of what is polled, and of accounts that are not read at all."""
NO_FEED = "none"
"""The feed of an account that is kept by hand."""
TELLING_FEEDS = ("live", "polled", NO_FEED)
"""Feeds by which what happens is heard of: only then a proof is as good as one of now."""
EVIDENCE_GRADES = {
    "recorded": "Recorded answers",
    "simulated": "Simulator only",
    "unproven": "Unproven",
    "unsupported": "The venue has none",
}
"""What proves our reading of a venue's answers."""


CREDENTIAL_FIELDS = {
    "address": ("Address", "0x and 40 hexadecimal digits. Public: no key is needed."),
    "api_key": ("API key", "Make one at the venue that can only read."),
    "secret": ("Secret", "Shown once by the venue, when the key is made."),
    "password": ("Passphrase", "What you chose when you made the key."),
    "private_key": ("Private key", "Of the API key, as the venue gave it."),
    "uid": ("User id", "As the venue shows it in your profile."),
}
"""What a venue may need to be read: its label, and what to tell who types it in."""


def venue_name(venue: str) -> str:
    """Return how people write a venue's name."""
    return VENUES.get(venue, venue.title())


def entry_kind(*, kind: str, quantity: Decimal | None) -> str:
    """Return the label of an entry's kind; a fill is a buy or a sell by the sign of its quantity."""
    if kind == "fill" and quantity:
        return ENTRY_KINDS["buy" if quantity > 0 else "sell"]
    return ENTRY_KINDS.get(kind, kind)
