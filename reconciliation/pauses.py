"""Pausing an account, as for a venue's maintenance: nothing is asked of the venue until it ends."""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog

from positions.models import Account

LONGEST = timedelta(days=30)

log = structlog.get_logger("reconciliation")


class BadPause(ValueError):
    """A pause without a reason or an end, that has ended, or that is too long to be meant."""


def pause(*, account: Account, until: datetime, reason: str, who: str, now: datetime) -> None:
    """Ask an account's venue nothing until then; its proofs grow old meanwhile. Raises BadPause."""
    if not reason.strip():
        raise BadPause("say why: whoever sees an old proof will want to know")
    if until <= now:
        raise BadPause("the end of a pause is in the future")
    if until - now > LONGEST:
        raise BadPause(f"a pause lasts at most {LONGEST.days} days: switch the account off instead")
    _write(account, until, reason.strip(), who)


def resume(*, account: Account, who: str) -> None:
    """End a pause now."""
    _write(account, None, "", who)


def _write(account: Account, until: datetime | None, reason: str, who: str) -> None:
    Account.objects.filter(pk=account.pk).update(paused_until=until, pause_reason=reason)
    account.refresh_from_db()
    log.info("paused" if until else "resumed", account=account.label, until=until, reason=reason, who=who)
