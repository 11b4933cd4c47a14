"""Connections to venues: one adapter per account and process, with its decrypted credentials."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Collection, Coroutine, Mapping
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

from core.security.security_events import Act, record_refusal
from core.storage import database
from positions import accounts
from positions.models import Account
from positions.sync.redis_ports import RedisBudget, RedisCache, clients
from positions.venues.base import (
    AccountConfig,
    CcxtPatches,
    Credentials,
    Environment,
    Ports,
    Unsupported,
    Venue,
    VenueError,
)
from positions.venues.keys.vetting import vet
from positions.venues.redaction import remember
from positions.venues.registry import open_venue, open_vetted
from positions.venues.transport.event_loop import background

T = TypeVar("T")


class CredentialsUnreadable(Exception):
    """An account's credentials were encrypted with a key that is not in CREDENTIALS_KEYS. Names
    the account.
    """


class AccountRefusal(ValueError):
    """An account for which no adapter can be built. The message names what to change."""


def encrypt(credentials: Credentials) -> str:
    """Return the credentials encrypted with the first of CREDENTIALS_KEYS; "" when there are none."""
    plain = credentials.plain()
    remember(plain.values())
    return _cipher().encrypt(json.dumps(plain).encode()).decode() if plain else ""


def decrypt(ciphertext: str, *, account: str) -> Credentials:
    """Return the credentials of a ciphertext of any of CREDENTIALS_KEYS. Raises CredentialsUnreadable."""
    if not ciphertext:
        return Credentials()
    try:
        plain = json.loads(_cipher().decrypt(ciphertext.encode()))
    except InvalidToken:
        raise CredentialsUnreadable(
            f"the credentials of {account} cannot be decrypted: was a key removed from CREDENTIALS_KEYS?"
        ) from None
    remember(plain.values())
    return Credentials(**plain)


def rotated(ciphertext: str, *, account: str) -> str:
    """Return a ciphertext encrypted anew with the first of CREDENTIALS_KEYS. Raises CredentialsUnreadable."""
    try:
        return _cipher().rotate(ciphertext.encode()).decode()
    except InvalidToken:
        raise CredentialsUnreadable(
            f"the credentials of {account} cannot be decrypted: was a key removed from CREDENTIALS_KEYS?"
        ) from None


def _cipher() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.CREDENTIALS_KEYS])


def set_credentials(
    *, account: Account, credentials: Credentials, who: str, options: Mapping[str, Any] | None = None
) -> tuple[str, ...]:
    """Replace an account's keys, and its options if given, once the keys are vetted; return what to warn of.

    Its connection of this process is renewed at its next use. Raises AccountRefusal.
    """
    wanted = copy(account)
    wanted.credentials = encrypt(credentials)
    wanted.options = dict(account.options if options is None else options)
    warnings = _vetted(wanted, who=who)
    accounts.set_credentials(account=account, ciphertext=wanted.credentials, options=wanted.options, who=who)
    forget(account.pk)
    return warnings


def _unsafe() -> list[str]:
    """Return why real keys are not taken by this installation."""
    return [
        why
        for why, applies in (
            ("the encryption key is the generated one (set CREDENTIALS_KEYS_FILE)",
             settings.CREDENTIALS_KEY_IS_GENERATED),
            ("HTTPS is off", not settings.HTTPS),
            ("DEBUG is on", settings.DEBUG),
        )
        if applies
    ]  # fmt: skip


def _vetted(account: Account, *, who: str) -> tuple[str, ...]:
    """Vet an account before it is saved; return what to warn of. Raises AccountRefusal, on record."""
    try:
        return _vet(account)
    except AccountRefusal as refusal:
        record_refusal(Act.ACCOUNT_REFUSED, who=who, subject=account.label, reason=str(refusal)[:300])
        raise


def _vet(account: Account) -> tuple[str, ...]:
    real = account.environment == Environment.LIVE and account.credentials
    if real and (reasons := _unsafe()):
        raise AccountRefusal(f"a live account's keys are not taken while {' and '.join(reasons)}")
    try:
        venue = open_venue(config_of(account=account), ports())
    except VenueError as error:
        raise AccountRefusal(str(error)) from error
    try:
        found = run(vet(venue))
    except VenueError as error:
        raise AccountRefusal(str(error)) from error
    finally:
        run(venue.close())
    return () if found is None else found.notes


def rotate_credentials(*, who: str) -> tuple[int, list[str]]:
    """Re-encrypt all credentials with the newest key; return (number, labels that no key can decrypt)."""
    done, unreadable = 0, []
    for account in Account.objects.exclude(credentials="").order_by("pk"):
        try:
            fresh = rotated(account.credentials, account=account.label)
        except CredentialsUnreadable:
            unreadable.append(account.label)
            continue
        done += accounts.recrypt(account=account, ciphertext=fresh, who=who)
    return done, unreadable


_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}\Z")


def add_account(
    *,
    label: str,
    venue: str,
    environment: Environment,
    now: datetime,
    who: str,
    address: str = "",
    base_url: str = "",
    credentials: Credentials | None = None,
    options: Mapping[str, Any] | None = None,
) -> Account:
    """Make an account for which an adapter can be built, and whose key is vetted. Raises AccountRefusal.

    What to warn of is on the account's `key_warnings`; a refused account was never stored.
    """
    account = unsaved_account(
        label=label, venue=venue, environment=environment, now=now, address=address, base_url=base_url,
        credentials=credentials, options=options,
    )  # fmt: skip
    account.key_warnings = _vetted(account, who=who)
    accounts.add(account, who=who)
    return account


def unsaved_account(
    *,
    label: str,
    venue: str,
    environment: Environment,
    now: datetime,
    address: str = "",
    base_url: str = "",
    credentials: Credentials | None = None,
    options: Mapping[str, Any] | None = None,
) -> Account:
    """Return an account as it would be stored, its key not vetted. Raises AccountRefusal."""
    if Account.objects.filter(label=label).exists():
        raise AccountRefusal(f"there is an account called {label!r} already")
    if base_url and not base_url.startswith(("http://", "https://")):
        raise AccountRefusal("the base URL must start with http:// or https://")
    if address and venue == "hyperliquid" and not _ADDRESS.match(address):
        raise AccountRefusal("a Hyperliquid address is 0x and 40 hexadecimal digits")
    return Account(
        label=label,
        venue=venue,
        environment=environment.value,
        address=address,
        base_url=base_url,
        credentials=encrypt(credentials or Credentials()),
        options=dict(options or {}),
        created_at=now,
    )


def config_of(*, account: Account) -> AccountConfig:
    """Return an adapter's configuration. Raises Unsupported (a manual account), CredentialsUnreadable."""
    if account.is_manual:
        raise Unsupported("a manual account has no venue")
    return AccountConfig(
        account=str(account.pk or account.label),
        venue=account.venue,
        environment=Environment(account.environment),
        address=account.address or None,
        base_url=account.base_url or None,
        credentials=decrypt(account.credentials, account=account.label),
        options=dict(account.options or {}),
        egress=str(getattr(settings, "VENUE_EGRESS", "default")),
    )


def ports() -> Ports:
    """The shared cache and rate budget in Redis, the wall clock, and which changes to ccxt are on."""
    patches = CcxtPatches(
        lazy_import=settings.CCXT_LAZY_IMPORT,
        exponent_limit=settings.CCXT_EXPONENT_LIMIT,
        row_guards=settings.CCXT_ROW_GUARDS,
        socket_guards=settings.CCXT_SOCKET_GUARDS,
    )
    return Ports(RedisCache(), RedisBudget(), lambda: datetime.now(UTC), patches)


@dataclass(frozen=True, slots=True)
class _Connection:
    identity: tuple[Any, ...]
    venue: Venue


_lock = threading.Lock()
_held: dict[int, _Connection] = {}
_pid = os.getpid()


def connect(*, account: Account) -> Venue:
    """Return the account's venue, connected lazily and kept until the process ends. Call it through `run`.

    A changed address, key or option gives a new connection. With a key that can withdraw and is not allowed
    to, every request raises Denied. Raises Unsupported, Denied, CredentialsUnreadable.
    """
    global _pid
    identity = _identity(account)
    with _lock:
        if _pid != os.getpid():
            # A forked child has our objects but not their event loop.
            _held.clear()
            _pid = os.getpid()
        held = _held.get(account.pk)
        if held is not None and held.identity == identity:
            return held.venue
        venue = open_vetted(config_of(account=account), ports())
        _held[account.pk] = _Connection(identity, venue)
        loop = background.loop
        background.on_close(venue.close)
        background.on_close(clients.close)
    if held is not None:
        loop.call_soon_threadsafe(lambda: loop.create_task(_closed(held.venue)))
    return venue


def connect_unvetted(*, account: Account) -> Venue:
    """Return a new connection whose key's permissions are not checked; the caller closes it."""
    return open_venue(config_of(account=account), ports())


def accept_key(*, account: Account, acceptances: Collection[str], who: str) -> None:
    """Accept by name what an account's key can do (keys.vetting.ACCEPTANCES), from now on."""
    options = {**(account.options or {}), **dict.fromkeys(acceptances, True)}
    accounts.set_options(account=account, options=options, who=who)
    forget(account.pk)


def forget(account_id: int) -> None:
    """Close and drop this process's connection of an account."""
    with _lock:
        held = _held.pop(account_id, None)
    if held is not None:
        loop = background.loop
        loop.call_soon_threadsafe(lambda: loop.create_task(_closed(held.venue)))


async def _closed(venue: Venue) -> None:
    await venue.close()


def _identity(account: Account) -> tuple[Any, ...]:
    options: Mapping[str, Any] = account.options or {}
    return (
        account.venue,
        account.environment,
        account.address,
        account.base_url,
        account.credentials,
        json.dumps(options, sort_keys=True, default=str),
    )


def run(work: Coroutine[Any, Any, T], *, timeout: float = 120.0) -> T:
    """Run a venue's coroutine on this process's background loop and return its result. Raises VenueError.

    A venue may take minutes: the database's connection goes back to the pool before the wait.
    """
    database.give_back()
    return background.run(work, timeout=timeout)
