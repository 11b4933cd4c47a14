"""Pausing an account, as for a venue's maintenance: the venue is not read until the pause ends.

The account's row has whether it is paused now; each pause is kept, so that it can explain old proofs later.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog
from django.db import transaction

from positions import accounts
from positions.models import Account
from reconciliation.models import Pause

LONGEST = timedelta(days=30)

log = structlog.get_logger("reconciliation")


class BadPause(ValueError):
    """A pause without a reason or an end, that has ended, or that is too long to be meant."""


def pause(*, account: Account, until: datetime, reason: str, who: str, now: datetime) -> None:
    """Pause an account until a time; its proofs grow old meanwhile. Raises BadPause."""
    if not reason.strip():
        raise BadPause("say why: whoever sees an old proof will want to know")
    if until <= now:
        raise BadPause("the end of a pause is in the future")
    if until - now > LONGEST:
        raise BadPause(f"a pause lasts at most {LONGEST.days} days: switch the account off instead")
    keep(account=account, until=until, reason=reason.strip(), who=who, now=now)


def resume(*, account: Account, who: str, now: datetime) -> None:
    """End a pause now."""
    keep(account=account, until=None, reason="", who=who, now=now)


def keep(*, account: Account, until: datetime | None, reason: str, who: str, now: datetime) -> None:
    """Write a pause as it is meant, unchecked, and end the one before it; until None: there is none."""
    # One transaction, with the account locked: two people at once cannot leave two open pauses.
    with transaction.atomic():
        Account.objects.select_for_update().get(pk=account.pk)
        for before in Pause.objects.filter(account=account, ended_at=None):
            early = before.until > now
            Pause.objects.filter(pk=before.pk).update(
                ended_at=now if early else before.until, ended_by=who if early else ""
            )
        if until is not None and until > now:
            Pause.objects.create(account=account, started_at=now, until=until, reason=reason, who=who)
        accounts.set_pause(account=account, until=until, reason=reason, who=who)
    account.refresh_from_db()
    log.info("paused" if until else "resumed", account=account.label, until=until, reason=reason, who=who)
