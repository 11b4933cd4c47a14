"""Strategies of single entries: the only writer of EntryStrategy. A position's own is an annotation of it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.db import transaction

from portfolio.models import EntryStrategy
from portfolio.pnl import keeping
from portfolio.totals import desk
from positions.models import Account, Entry


class UnknownEntries(LookupError):
    """References that an account has no entries of; `refs` names them."""

    def __init__(self, refs: Collection[str]) -> None:
        super().__init__(", ".join(sorted(refs)[:5]))
        self.refs = refs


def tag_entries(*, account: Account, refs: Collection[str], strategy: str, who: str, now: datetime) -> int:
    """Say to which strategy entries belong ("" follows the position again), and count their days anew.

    Return how many. Raises UnknownEntries, before anything is written.
    """
    found = dict(Entry.objects.filter(account=account, venue_ref__in=refs).values_list("venue_ref", "at"))
    if unknown := set(refs) - found.keys():
        raise UnknownEntries(unknown)
    # One transaction: all of them belong to it, or none.
    with transaction.atomic():
        EntryStrategy.objects.filter(account=account, venue_ref__in=found).delete()
        if strategy:
            EntryStrategy.objects.bulk_create(
                EntryStrategy(
                    account=account, venue_ref=ref, strategy=strategy, changed_at=now, changed_by=who
                )
                for ref in found
            )
    if found:
        keeping.keep_account(account, now=now, since=desk.day_of(min(found.values())))
    return len(found)
