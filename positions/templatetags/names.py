"""Filters that name venues, instruments and entries."""

from __future__ import annotations

from django import template

from positions.labels import ENTRY_CAUSES, FEED_STATES, entry_kind, venue_name
from positions.models import Entry, Instrument
from positions.models.names import display_name

register = template.Library()


@register.filter
def venue(name: str) -> str:
    """Return how people write a venue's name."""
    return venue_name(name)


@register.filter
def called(instrument: Instrument | None) -> str:
    """Return what people call an instrument; a dash where there is none."""
    return "—" if instrument is None else display_name(instrument)


@register.filter
def kind_label(entry: Entry) -> str:
    """Return the label of an entry's kind: Buy, Sell, Funding …"""
    return entry_kind(kind=entry.kind, quantity=entry.quantity)


@register.filter
def cause_label(entry: Entry) -> str:
    """Return the label of an entry's cause; "" for a plain trade or where there is none."""
    if not entry.cause or entry.cause == "trade":
        return ""
    return ENTRY_CAUSES.get(entry.cause, entry.cause)


@register.filter
def feed_label(state: str) -> str:
    """Return the label of a feed's state: Live, Backfilling …"""
    return FEED_STATES.get(state, state.capitalize())
