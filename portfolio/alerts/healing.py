"""How a drift healed: by a correction and whose, by a fact that arrived, or by itself. Reads only."""

from __future__ import annotations

from datetime import datetime

from portfolio.alerts.proof_inputs import place_of
from portfolio.models import Alert
from positions.labels import ENTRY_CAUSES, entry_kind
from positions.models import Entry
from reconciliation.labels import DONE
from reconciliation.models import Case, Correction

BOOKED = ("agrees", "unknown")
ADOPTED = {"adopt_venue": "Adopted", "set_opening_lot": "An opening lot was set"}


def explain(alert: Alert, *, now: datetime) -> str:
    """Return how the drift of an alert healed, in one sentence."""
    correction = _correction(alert)
    if correction is not None:
        what = ADOPTED.get(correction.action) or DONE.get(correction.action, correction.action)
        who = "automatically, as the policy allows" if correction.automatic else f"by {correction.who}"
        return f"{what} {who}."
    entry = _arrived(alert, now=now)
    if entry is None:
        return "It went away by itself: the venue reports again what the book says."
    if entry.kind == "fill":
        label = entry_kind(kind=entry.kind, quantity=entry.quantity).lower()
        cause = ENTRY_CAUSES.get(entry.cause, entry.cause).lower()
        return f"A later fill arrived ({label}, {cause}): {entry.venue_ref}."
    return f"A later {entry_kind(kind=entry.kind, quantity=None).lower()} arrived: {entry.venue_ref}."


def _correction(alert: Alert) -> Correction | None:
    """The newest correction of this drift's case that stands; a dismissal corrects nothing."""
    cases = Case.objects.filter(account=alert.account_id, changed_at__gte=alert.raised_at).order_by("-pk")
    if alert.case_id is not None:
        cases = cases.filter(pk=alert.case_id)
    place = alert.subject.partition("/")[2]
    ids = [case.pk for case in cases[:50] if place_of(case) == place]
    made = Correction.objects.filter(
        case__in=ids, reversed_at__isnull=True, outcome__in=["agrees", "unknown"]
    )
    return made.exclude(entries=[]).order_by("-pk").first()


def _arrived(alert: Alert, *, now: datetime) -> Entry | None:
    """The newest fact of this leg or wallet that came after the drift showed."""
    came = Entry.objects.filter(
        account=alert.account_id, received_at__gte=alert.raised_at, received_at__lte=now
    )
    if alert.instrument_id is not None:
        came = came.filter(instrument=alert.instrument_id)
    else:
        came = came.filter(currency=alert.subject.rpartition("/")[2])
    return came.defer("content", "digest").order_by("-sequence").first()
