"""Names for templates."""

from __future__ import annotations

from django import template

from positions.models import Instrument
from positions.models.names import display_name
from reconciliation.models import Subject

register = template.Library()


@register.filter
def called(instrument: Instrument | None) -> str:
    """What people call an instrument; a dash where there is none."""
    return "—" if instrument is None else display_name(instrument)


@register.filter
def subject(row: Subject) -> str:
    """What people call the leg or balance that a verdict or a case is about."""
    if row.instrument is None:
        return row.name
    name = display_name(row.instrument)
    return name if row.leg in ("", "net") else f"{name} {row.leg}"
