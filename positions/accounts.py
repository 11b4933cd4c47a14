"""The only writer of accounts. What an account needs to be connected is checked in `sync.connections`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from core.security.security_events import Act, changes, record
from positions.models import Account, Environment

MANUAL = "manual"


def add(account: Account, *, who: str) -> None:
    """Write an account that is not stored yet."""
    # One transaction, as everywhere here: no act without its security event.
    with transaction.atomic():
        account.save(force_insert=True)
        record(Act.ACCOUNT_MADE, who=who, subject=account.label, after=_facts(account))


def manual(*, now: datetime) -> Account:
    """Return the built-in account of positions without a venue; it is made at first use."""
    account, _ = Account.objects.get_or_create(
        venue=MANUAL,
        environment=Environment.MANUAL,
        defaults={"label": MANUAL, "created_at": now},
    )
    return account


def known_manual() -> Account | None:
    """Return the built-in account of positions without a venue, if it was ever used."""
    return Account.objects.filter(venue=MANUAL, environment=Environment.MANUAL).first()


def put_simulated(*, label: str, base_url: str, fields: Mapping[str, Any], who: str, now: datetime) -> None:
    """Make a simulated account with these fields; of one that is there only the base URL changes."""
    made = {**fields, "base_url": base_url, "environment": Environment.SIMULATED, "created_at": now}
    with transaction.atomic():
        account, is_new = Account.objects.update_or_create(
            label=label, defaults={"base_url": base_url}, create_defaults=made
        )
        if is_new:
            record(Act.ACCOUNT_MADE, who=who, subject=label, after=_facts(account))


def set_credentials(*, account: Account, ciphertext: str, options: Mapping[str, Any], who: str) -> None:
    """Replace an account's encrypted keys, and the options that say what of them is accepted."""
    with transaction.atomic():
        before = _facts(Account.objects.select_for_update().get(pk=account.pk))
        account.credentials, account.options = ciphertext, dict(options)
        account.save(update_fields=["credentials", "options"])
        record(Act.CREDENTIALS_CHANGED, who=who, subject=account.label, before=before, after=_facts(account))


def recrypt(*, account: Account, ciphertext: str, who: str) -> bool:
    """Replace an account's ciphertext, unless somebody entered other keys since `account` was read."""
    with transaction.atomic():
        unchanged = Account.objects.filter(pk=account.pk, credentials=account.credentials)
        done = bool(unchanged.update(credentials=ciphertext))
        if done:
            record(Act.CREDENTIALS_ROTATED, who=who, subject=account.label)
    return done


def set_options(*, account: Account, options: Mapping[str, Any], who: str) -> None:
    """Replace an account's options."""
    account.options = dict(options)
    edit(account=account, fields=["options"], who=who)


def set_pause(*, account: Account, until: datetime | None, reason: str, who: str) -> None:
    """Set the end of a pause, in which no request goes to the venue (None: no pause), and its reason."""
    account.paused_until, account.pause_reason = until, reason
    edit(account=account, fields=["paused_until", "pause_reason"], who=who)


def edit(*, account: Account, fields: Collection[str], who: str) -> None:
    """Write these fields as they are on `account`."""
    with transaction.atomic():
        before = _facts(Account.objects.select_for_update().get(pk=account.pk))
        account.save(update_fields=fields)
        was, becomes = changes(before, _facts(account))
        if becomes:
            record(Act.ACCOUNT_CHANGED, who=who, subject=account.label, before=was, after=becomes)


def _facts(account: Account) -> dict[str, Any]:
    """What of an account security events tell: never its keys."""
    paused = account.paused_until
    return {
        "label": account.label,
        "venue": account.venue,
        "environment": account.environment,
        "address": account.address,
        "base_url": account.base_url,
        "options": account.options,
        "enabled": account.enabled,
        "has_keys": bool(account.credentials),
        "paused_until": None if paused is None else paused.isoformat(),
        "pause_reason": account.pause_reason,
    }
