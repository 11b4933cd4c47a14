"""The only writer of restatements: no closed day changes without a row that says what it was."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

import structlog

from core.templatetags import numbers
from core.values.money import fixed
from portfolio.models import Restatement
from positions.labels import ENTRY_KINDS
from positions.models import Account, Entry, PositionEvent

MOST_NEW = 1000

log = structlog.get_logger("restatements")


class RestatedDay(NamedTuple):
    """A closed day of an account, and its P&L before and after.

    `ends_at` is when it closed, `counted` the last entry (its place in the account's ledger) of the old one.
    """

    day: date
    ends_at: datetime
    old: Decimal
    new: Decimal
    counted: int


def note(account: Account, days: Iterable[RestatedDay], *, now: datetime) -> list[Restatement]:
    """Write a row for each day that changed; in the transaction that changes them, so that none is without.

    Raises DatabaseError.
    """
    changed = [one for one in days if one.old != one.new]
    if not changed:
        return []
    since = min(one.counted for one in changed)
    known = Entry.objects.filter(account=account, sequence__gt=since).select_related("instrument")
    new = list(known.order_by("sequence")[:MOST_NEW])
    targets = {one.target_ref for one in new if one.target_ref}
    times = dict(Entry.objects.filter(account=account, venue_ref__in=targets).values_list("venue_ref", "at"))
    found = []
    for one in changed:
        entry = next(
            (
                fact
                for fact in new
                if fact.sequence > one.counted and times.get(fact.target_ref or "", fact.at) < one.ends_at
            ),
            None,
        )
        found.append(
            Restatement(
                account=account, day=one.day, old=one.old, new=one.new, entry=entry, at=now,
                why=_why(entry), who=_who(entry),
            )
        )  # fmt: skip
    Restatement.objects.bulk_create(found)
    for row in found:
        log.warning(
            "a closed day was restated", account=account.pk, day=str(row.day), old=fixed(row.old),
            new=fixed(row.new), why=row.why,
        )  # fmt: skip
    return found


def _why(entry: Entry | None) -> str:
    """Return what changed a day: "late Fill of 0.5 BTC/USDC:USDC, booked 3 h after it happened"."""
    if entry is None:
        return "no new entry: a price or a value of that day became known later"
    what = ENTRY_KINDS.get(entry.kind, entry.kind)
    amount = entry.quantity if entry.quantity is not None else entry.amount
    of = f" of {numbers.quantity(amount)}" if amount is not None else ""
    unit = f" {entry.instrument.symbol}" if entry.instrument else f" {entry.currency or ''}".rstrip()
    late = numbers.age((entry.received_at - entry.at).total_seconds())
    if entry.target_ref:
        return f"{what}{of}{unit}, which corrects {entry.target_ref}"[:300]
    return f"late {what}{of}{unit}, booked {late} after it happened"[:300]


def _who(entry: Entry | None) -> str:
    """Return who booked an entry: a person where one did, else the source."""
    if entry is None:
        return ""
    event = PositionEvent.objects.filter(
        position__account=entry.account_id,
        first_sequence__lte=entry.sequence,
        last_sequence__gte=entry.sequence,
    ).exclude(who="")
    return event.values_list("who", flat=True).first() or entry.source
