"""Cash and coins that came into accounts or left them, as they count now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from datetime import datetime
from typing import NamedTuple

from django.db.models import Q, QuerySet

from positions.book import Entry, Kind
from positions.book.resolve import resolve
from positions.ledger.hash_chain import trusted
from positions.models import Entry as Row


class BookedTransfer(NamedTuple):
    """A transfer of an account, busted ones left out, amended ones as amended."""

    account: int
    fact: Entry


def transfers(*, accounts: Collection[int], since: datetime, until: datetime) -> list[BookedTransfer]:
    """Return transfers from one time (included) to another (excluded), by time; also opening balances."""
    wanted = Row.objects.filter(account__in=accounts, kind=Kind.TRANSFER)
    facts = defaultdict[int, list[Entry]](list)
    for account, fact in _read(wanted.filter(at__gte=since, at__lt=until)):
        facts[account].append(fact)
    for account, own in facts.items():
        targets, known = {one.venue_ref for one in own}, set[str]()
        while targets:  # a correction may itself be corrected
            found = _read(Row.objects.filter(account=account, target_ref__in=targets))
            later = [fact for _, fact in found if fact.venue_ref not in known]
            own += later
            targets = {one.venue_ref for one in later}
            known |= targets
    return sorted(
        (
            BookedTransfer(account, fact)
            for account, own in facts.items()
            for fact in resolve(own).effective
            if fact.kind is Kind.TRANSFER and since <= fact.time < until
        ),
        key=lambda one: (one.fact.time, one.fact.venue_ref),
    )


def has_transfers_since(*, account: int, sequence: int) -> bool:
    """Return whether an account has booked a transfer, or a correction, after an entry."""
    new = Row.objects.filter(account=account, sequence__gt=sequence)
    return new.filter(Q(kind=Kind.TRANSFER) | Q(target_ref__isnull=False)).exists()


def _read(rows: QuerySet[Row]) -> Iterator[tuple[int, Entry]]:
    for account, content, sequence in rows.values_list("account", "content", "sequence"):
        yield account, trusted(content, sequence)
