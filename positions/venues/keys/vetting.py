"""A key that can withdraw is not used, unless its account says so (`options["allow_withdraw"]`).

Note [Vetting]: a key's permissions are asked once, before the first thing its account asks of the venue, and
kept in the shared cache, so that neither every process nor every call asks again. A venue that does not tell,
or cannot now, leaves them unknown: the key is used, and whoever checks the account is told.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from contextvars import ContextVar
from datetime import datetime, timedelta

from positions.venues.base import AccountConfig, Denied, Permissions, Venue, VenueError

OPTION = "allow_withdraw"
# How long permissions are believed; a refusal shorter, so that a key put right is soon in use.
GOOD_FOR = timedelta(days=1)
REFUSED_FOR = timedelta(minutes=10)
# A process looks again this often: another one may have been told something else.
LOOK_AGAIN = timedelta(minutes=1)
ASK_AGAIN = timedelta(minutes=5)

logger = logging.getLogger("positions.venues.keys.vetting")
_asking: ContextVar[bool] = ContextVar("asking", default=False)


def needs_vetting(config: AccountConfig) -> bool:
    """Whether an account has a key whose permissions matter."""
    return bool(config.credentials.plain()) and not config.options.get(OPTION)


async def read_permissions(venue: Venue) -> Permissions:
    """Read what the key may do now, and share it through the cache. Raises VenueError."""
    token = _asking.set(True)
    try:
        found = await venue.permissions()
    finally:
        _asking.reset(token)
    ttl = REFUSED_FOR if found.withdraw else GOOD_FOR
    await venue.ports.cache.set(_key(venue.config), _packed(found), ttl)
    return found


class WithdrawalGate:
    """Checks the key before each request of an account (Note [Vetting]). A call raises Denied for a key that
    can withdraw.
    """

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._lock = asyncio.Lock()
        self._can_withdraw: bool | None = None
        self._look_at: datetime | None = None

    async def __call__(self) -> None:
        if _asking.get():
            return
        clock = self._venue.ports.clock
        if self._look_at is None or clock() >= self._look_at:
            async with self._lock:
                if self._look_at is None or clock() >= self._look_at:
                    await self._learn(clock())
        if self._can_withdraw:
            raise Denied(
                f"the key of account {self._venue.config.account} can withdraw, and is therefore not used: "
                "make one that cannot, or accept it with check_venue --allow-withdraw"
            )

    async def _learn(self, now: datetime) -> None:
        raw = await self._venue.ports.cache.get(_key(self._venue.config))
        known = _unpacked(raw)
        wait = LOOK_AGAIN
        if known is None:
            try:
                known = await read_permissions(self._venue)
            except VenueError as error:
                known, wait = Permissions(), ASK_AGAIN
                logger.warning(
                    "permissions of account %s could not be asked: %s", self._venue.config.account, error
                )
            else:
                if known.withdraw is None:
                    logger.warning(
                        "%s does not say whether the key of account %s can withdraw",
                        self._venue.config.venue,
                        self._venue.config.account,
                    )
        self._can_withdraw = known.withdraw
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
