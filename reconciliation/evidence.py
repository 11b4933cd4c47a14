"""Gathers what a diagnosis looks at: the entries around a difference, and what the venue last said."""

from __future__ import annotations

from decimal import Decimal

import orjson
from django.db.models import QuerySet

from positions.catalogue import par_currencies
from positions.models import OPEN_STATUSES, Account, Entry, Mark, Position, VenueState
from reconciliation.compare import Difference
from reconciliation.diagnose import Facts, Line
from reconciliation.models import Run, Verdict

LOOKED_AT = 200


def around(*, account: Account, verdict: Verdict, difference: Difference, run: Run) -> Facts:
    """Return the facts around one difference of a verdict."""
    seen_at = verdict.seen_as_of or run.started_at
    lines = [_line(row) for row in reversed(_entries(account, verdict)[:LOOKED_AT])]
    subject = (
        str(verdict.instrument.venue_symbol) if verdict.instrument else f"{verdict.wallet}/{verdict.asset}"
    )
    record = f"report {account.venue}/{subject}@{seen_at.isoformat()}"
    common = {"difference": difference, "lines": lines, "seen_at": seen_at, "record": record}
    if verdict.instrument is None:
        return Facts(**common, proven_at=verdict.as_of, **_of_wallet(account, verdict))  # type: ignore[arg-type]
    state = VenueState.objects.filter(account=account, instrument=verdict.instrument, leg=verdict.leg).first()
    mark = Mark.objects.filter(instrument=verdict.instrument).first()
    return Facts(
        **common,  # type: ignore[arg-type]
        proven_at=verdict.as_of,
        step=verdict.instrument.quantity_step,
        mark=mark.price if mark else None,
        liquidation_price=state.liquidation_price if state else None,
    )


def _of_wallet(account: Account, verdict: Verdict) -> dict[str, object]:
    off = [
        one
        for one in Verdict.objects.filter(account=account, instrument__isnull=False).select_related(
            "instrument"
        )
        if any(
            stored["kind"] in ("quantity", "missing_in_book", "missing_at_venue") for stored in one.suspected
        )
    ]
    legs = Position.objects.filter(account=account, status__in=OPEN_STATUSES)
    worth = sum((abs(row.open_cost) for row in legs if row.open_cost is not None), Decimal(0))
    names = [f"verdict {one.pk} {one.name}" for one in off]
    return {
        "sizes_agree": not off,
        "notional": worth,
        "coin": verdict.asset not in par_currencies(),
        "size_cases": names,
    }


def _entries(account: Account, verdict: Verdict) -> QuerySet[Entry]:
    """Standing entries of the subject, the newest first."""
    rows = Entry.objects.filter(account=account).exclude(kind__in=["bust", "amend"])
    busted = Entry.objects.filter(account=account, kind="bust").values("target_ref")
    rows = rows.exclude(venue_ref__in=busted).order_by("-at", "-sequence")
    if verdict.instrument is not None:
        return rows.filter(instrument=verdict.instrument, leg__in=[verdict.leg])
    return rows.filter(wallet=verdict.wallet)


def _line(row: Entry) -> Line:
    return Line(
        ref=row.venue_ref,
        kind=row.kind,
        cause=row.cause,
        at=row.at,
        quantity=row.quantity,
        price=row.price,
        fee=row.fee,
        amount=row.amount,
        before=before_of(row),
    )


def before_of(row: Entry) -> Decimal | None:
    """Return the size that the venue states before a fill, kept in its content only."""
    stated = orjson.loads(row.content).get("position_before")
    return None if stated is None else Decimal(stated)
