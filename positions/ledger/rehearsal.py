"""A booking that is rolled back, to see what it would do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from django.db import transaction

from positions.book import Entry
from positions.ledger import instruments as catalogues
from positions.ledger import sql
from positions.ledger.booking import Booking
from positions.ledger.instruments import par_currencies
from positions.ledger.prepare import prepare
from positions.ledger.rows import Provenance
from positions.models import Account, AccountHead

Found = TypeVar("Found")


def rehearse(
    *, account: Account, entries: Sequence[Entry], provenance: Provenance, read: Callable[[], Found]
) -> tuple[Found, Found]:
    """Return what `read` finds before and after booking these entries; nothing stays booked.

    Raises BatchRejection where the book would refuse them.
    """
    catalogue, par = catalogues.of(account), par_currencies()
    batch = prepare(account=account, entries=entries, catalogue=catalogue, par=par, now=provenance.now)
    AccountHead.objects.get_or_create(account=account)
    booking = Booking(account, batch, catalogue, par, provenance, (), {}, "reject")
    # One transaction, rolled back: both reads are of one state of the account, which is locked meanwhile.
    with transaction.atomic():
        sql.lock_head(account.pk)
        before = read()
        booking.book_or_reject()
        after = read()
        transaction.set_rollback(True)
    return before, after
