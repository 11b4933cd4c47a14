"""The only writer of accounts. What an account needs to be connected is checked in `sync.connections`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from positions.models import Account, Environment

MANUAL = "manual"


def add(account: Account) -> None:
    """Write an account that is not stored yet."""
    account.save(force_insert=True)


def manual(*, now: datetime) -> Account:
    """Return the built-in account of positions without a venue; it is made at first use."""
    account, _ = Account.objects.get_or_create(
        venue=MANUAL,
        environment=Environment.MANUAL,
        defaults={"label": MANUAL, "created_at": now},
    )
    return account


def put_simulated(*, label: str, base_url: str, fields: Mapping[str, Any], now: datetime) -> None:
    """Make a simulated account with these fields; of one that is there only the base URL changes."""
    made = {**fields, "base_url": base_url, "environment": Environment.SIMULATED, "created_at": now}
    Account.objects.update_or_create(label=label, defaults={"base_url": base_url}, create_defaults=made)


def set_credentials(*, account: Account, ciphertext: str, options: Mapping[str, Any]) -> None:
    """Replace an account's encrypted keys, and the options that say what of them is accepted."""
    account.credentials, account.options = ciphertext, dict(options)
    account.save(update_fields=["credentials", "options"])


def recrypt(*, account: Account, ciphertext: str) -> bool:
    """Replace an account's ciphertext, unless somebody entered other keys since `account` was read."""
    unchanged = Account.objects.filter(pk=account.pk, credentials=account.credentials)
    return bool(unchanged.update(credentials=ciphertext))


def set_options(*, account: Account, options: Mapping[str, Any]) -> None:
    """Replace an account's options."""
    account.options = dict(options)
    account.save(update_fields=["options"])


def set_pause(*, account: Account, until: datetime | None, reason: str) -> None:
    """Set the end of a pause, in which no request goes to the venue (None: no pause), and its reason."""
    Account.objects.filter(pk=account.pk).update(paused_until=until, pause_reason=reason)


def edit(*, account: Account, fields: Collection[str]) -> None:
    """Write these fields as they are on `account`."""
    account.save(update_fields=fields)
