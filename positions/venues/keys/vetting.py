"""Decides whether a key is used: one that can trade or withdraw, or of which nobody knows, must be accepted.

What an account accepts stands in its options, by name: `allow_trade`, `allow_withdraw`, `allow_unknown`.

Note [Vetting]: a key is vetted before it is saved, and again before the first thing its account asks of the
venue. The answer is kept in the shared cache, so that neither every process nor every call asks again. While
the venue cannot be asked, what it said last counts; a key about which it never said anything waits.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import Any

from positions.venues.base import (
    AccountConfig,
    Denied,
    Permissions,
    RateLimited,
    Transient,
    Unsupported,
    Venue,
    VenueError,
)
from positions.venues.errors import KEY_NOT_USED
from positions.venues.generic.adapter import Generic

WITHDRAW, TRADE, UNKNOWN = "allow_withdraw", "allow_trade", "allow_unknown"
ACCEPTANCES = (WITHDRAW, TRADE, UNKNOWN)
# How long permissions are believed; a refusal shorter, so that a key put right is soon in use.
GOOD_FOR = timedelta(days=1)
REFUSED_FOR = timedelta(minutes=10)
# A process looks again this often: another one may have been told something else.
LOOK_AGAIN = timedelta(minutes=1)
ASK_AGAIN = timedelta(minutes=5)

_asking: ContextVar[bool] = ContextVar("asking", default=False)


def needs_vetting(config: AccountConfig) -> bool:
    """Return whether an account has a key whose permissions matter."""
    return bool(config.credentials.plain()) and not all(config.options.get(name) for name in ACCEPTANCES)


def refusal(found: Permissions, options: Mapping[str, Any]) -> str | None:
    """Return why a key is not used, and what accepts it; None if it may be used."""
    can = [
        (word, option)
        for word, granted, option in (("withdraw", found.withdraw, WITHDRAW), ("trade", found.trade, TRADE))
        if granted and not options.get(option)
    ]
    if can:
        what, flags = " and ".join(word for word, _ in can), " ".join(_flag(option) for _, option in can)
        return f"can {what}: make one that only reads, or accept it with {flags}"
    unsaid = [
        word
        for word, granted, option in (("withdraw", found.withdraw, WITHDRAW), ("trade", found.trade, TRADE))
        if granted is None and not options.get(option)
    ]
    if unsaid and not options.get(UNKNOWN):
        return (
            f"may be able to {' and '.join(unsaid)}, the venue does not say: make sure that it only reads, "
            f"then accept it with {_flag(UNKNOWN)}"
        )
    return None


def _flag(option: str) -> str:
    return f"--{option.replace('_', '-')}"


def check_fields(venue: Venue) -> None:
    """Raise Unsupported for a credential that the venue does not need, or that is missing beside others."""
    given = set(venue.config.credentials.plain())
    if not given:
        return
    if not isinstance(venue, Generic):
        raise Unsupported(
            f"{venue.config.venue} is read by address: it takes no key, and none is kept "
            "(one that was given away here should be replaced at the venue)"
        )
    needed = venue.client.needed_credentials()
    if surplus := given - needed:
        raise Unsupported(
            f"{venue.config.venue} needs no {', '.join(sorted(surplus))}, and what is not needed is not kept"
        )
    if missing := needed - given:
        raise Unsupported(f"{venue.config.venue} also needs {', '.join(sorted(missing))}")


async def vet(venue: Venue) -> Permissions | None:
    """Ask what an account's key may do before it is saved; None where it has none or accepts everything.

    Raises Denied for a key that is not used, and for one about which the venue cannot be asked now;
    Unsupported for a credential that is not needed.
    """
    check_fields(venue)
    if not needs_vetting(venue.config):
        return None
    reason = ""
    try:
        found = await read_permissions(venue)
    except VenueError as error:
        found, reason = Permissions(), f" ({error})"
    refused = refusal(found, venue.config.options)
    if refused is not None:
        raise Denied(f"this key {refused}{reason}")
    return found


async def read_permissions(venue: Venue) -> Permissions:
    """Read what the key may do now, and share it through the cache. Raises VenueError."""
    token = _asking.set(True)
    try:
        found = await venue.permissions()
    finally:
        _asking.reset(token)
    ttl = GOOD_FOR if refusal(found, venue.config.options) is None else REFUSED_FOR
    await venue.ports.cache.set(_key(venue.config), _packed(found), ttl)
    return found


class KeyGate:
    """Checks the key before each request of an account (Note [Vetting]). A call raises Denied for a key that
    is not used, and the venue's error while nothing is known of it.
    """

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._lock = asyncio.Lock()
        self._known: Permissions | None = None
        self._failure: VenueError | None = None
        self._look_at: datetime | None = None

    async def __call__(self) -> None:
        if _asking.get():
            return
        clock = self._venue.ports.clock
        if self._look_at is None or clock() >= self._look_at:
            async with self._lock:
                if self._look_at is None or clock() >= self._look_at:
                    await self._learn(clock())
        if self._known is None and self._failure is not None:
            raise self._failure
        refused = refusal(self._known or Permissions(), self._venue.config.options)
        if refused is not None:
            raise Denied(f"the key of account {self._venue.config.account} {KEY_NOT_USED} {refused}")

    async def _learn(self, now: datetime) -> None:
        known = _unpacked(await self._venue.ports.cache.get(_key(self._venue.config)))
        wait, self._failure = LOOK_AGAIN, None
        if known is None:
            try:
                known = await read_permissions(self._venue)
            except (Transient, RateLimited) as error:
                known, wait, self._failure = self._known, ASK_AGAIN if self._known else LOOK_AGAIN, error
            except VenueError:
                known, wait = Permissions(), ASK_AGAIN
        self._known = known
        self._look_at = now + wait


def _key(config: AccountConfig) -> str:
    """Return a cache key of this very API key, so that another one is vetted at once."""
    secrets = json.dumps(config.credentials.plain(), sort_keys=True)
    digest = hashlib.sha256(f"{config.server}|{secrets}".encode()).hexdigest()[:32]
    return f"venues:permissions:{digest}"


def _packed(found: Permissions) -> bytes:
    return json.dumps(
        {"read": found.read, "trade": found.trade, "withdraw": found.withdraw, "notes": found.notes}
    ).encode()


def _unpacked(raw: bytes | None) -> Permissions | None:
    try:
        plain = json.loads(raw or b"null")
        return Permissions(**{**plain, "notes": tuple(plain["notes"])})
    except (ValueError, TypeError, KeyError):
        return None
