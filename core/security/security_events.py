"""Security events: who did what to whom, from where; one append-only table, and a line each in audit.jsonl.

`record` is called in the transaction of the act: either both are kept or neither. The line is written once
that transaction has committed.
"""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from functools import partial
from typing import Any

import structlog
from django.db import models, transaction
from django.http import HttpRequest
from django.utils import timezone

from core.storage.guards import append_only
from core.tracing import addresses
from core.tracing.trace import current_trace_id

audit = structlog.get_logger("audit")

Facts = Mapping[str, Any]
REFUSALS_TOLD_EVERY = timedelta(hours=1)


class Act(StrEnum):
    """What was done; the part before the dot is the class of the act."""

    SIGNED_IN = "sign-in.succeeded"
    SIGN_IN_FAILED = "sign-in.failed"
    SIGN_IN_PAUSED = "sign-in.paused"
    SIGNED_OUT = "sign-in.ended"
    SESSIONS_ENDED = "sign-in.sessions ended"
    SESSION_EXPIRED = "sign-in.expired"
    CONFIRMED = "sign-in.confirmed"
    CONFIRMATION_FAILED = "sign-in.confirmation failed"
    TICKET_REFUSED = "sign-in.ticket refused"
    PERSON_MADE = "person.made"
    PERSON_CHANGED = "person.changed"
    PASSWORD_CHANGED = "person.password changed"
    GROUP_MADE = "group.made"
    GROUP_CHANGED = "group.changed"
    KEY_MADE = "key.made"
    KEY_CHANGED = "key.changed"
    KEY_REVOKED = "key.revoked"
    KEY_REFUSED = "key.refused"
    SCOPE_REFUSED = "access.refused"
    ACCOUNT_MADE = "account.made"
    ACCOUNT_CHANGED = "account.changed"
    ACCOUNT_REFUSED = "account.refused"
    CREDENTIALS_CHANGED = "account.credentials changed"
    CREDENTIALS_ROTATED = "account.credentials re-encrypted"
    POLICY_CHANGED = "policy.changed"
    TARGET_CHANGED = "target.changed"
    TARGET_DROPPED = "target.dropped"
    LIMIT_CHANGED = "limit.changed"
    LIMIT_DROPPED = "limit.dropped"
    LEDGER_DIFFERS = "ledger.differs"


class SecurityEvent(models.Model):
    """One act. `before` and `after` are what changed (null: there was nothing); they hold no secrets."""

    at = models.DateTimeField(default=timezone.now, db_index=True)
    act = models.CharField(max_length=40)
    who = models.CharField(max_length=200)
    subject = models.CharField(max_length=200)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    address = models.CharField(max_length=45)
    trace_id = models.CharField(max_length=64)

    class Meta:
        ordering = ["-id"]
        triggers = append_only()

    def __str__(self) -> str:
        return f"{self.act}: {self.subject}"


def record(
    act: Act, *, who: str, subject: str, before: Facts | None = None, after: Facts | None = None
) -> SecurityEvent:
    """Keep what was done, in the caller's transaction, and write it to audit.jsonl after the commit.

    Raises TransactionManagementError outside of a transaction.
    """
    if not transaction.get_connection().in_atomic_block:
        raise transaction.TransactionManagementError("a security event belongs into the act's transaction")
    event = SecurityEvent.objects.create(
        act=act.value,
        who=who[:200],
        subject=subject[:200],
        before=None if before is None else dict(before),
        after=None if after is None else dict(after),
        address=addresses.current(),
        trace_id=current_trace_id(),
    )
    # robust: a full disk must not turn what is committed into an error.
    transaction.on_commit(partial(_write, event), robust=True)
    return event


def record_refusal(act: Act, *, who: str, subject: str, reason: str) -> SecurityEvent | None:
    """Keep that something was refused, and why; once in REFUSALS_TOLD_EVERY, as programs try for ever."""
    # One transaction, because `record` asks for one: a refusal changes nothing else.
    with transaction.atomic():
        since = timezone.now() - REFUSALS_TOLD_EVERY
        told = SecurityEvent.objects.filter(at__gt=since, act=act.value, who=who[:200], subject=subject[:200])
        if told.filter(after__reason=reason).exists():
            return None
        return record(act, who=who, subject=subject, after={"reason": reason})


def _write(event: SecurityEvent) -> None:
    audit.info(
        "security event",
        id=event.pk,
        at=event.at.isoformat(),
        act=event.act,
        who=event.who,
        subject=event.subject,
        before=event.before,
        after=event.after,
        address=event.address,
    )


def changes(before: Facts, after: Facts) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what differs between two states, as it was and as it is."""
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return {name: before.get(name) for name in names}, {name: after.get(name) for name in names}


def by_request(request: HttpRequest) -> str:
    """Return who acts by a page."""
    return f"user:{request.user.get_username()}"


def by_command() -> str:
    """Return who acts by a command: the operating system's user."""
    try:
        return f"command:{getpass.getuser()}"
    except (KeyError, OSError):  # a container's user without a name
        return "command"
