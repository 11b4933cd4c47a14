"""Idempotency-Key: a request sent again does nothing again, and a key means one request only.

The ledger is what keeps a fill by hand from being booked twice, for ever: the key and the request are its
reference. Redis remembers for a day what a key was used for, so that a key used for something else is
refused, and which position it went to, so that a repeat finds it though it has been closed since.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

import orjson
import redis
import structlog

from core.redis import client

KEEP_SECONDS = 24 * 60 * 60
WELL_FORMED = re.compile(r"[\x21-\x7e]{1,200}")

log = structlog.get_logger("repeats")


class KeyReused(ValueError):
    """The key was used for another request."""


class BadKey(ValueError):
    """Not 1 to 200 printable characters."""


class Repeat:
    """One request under a key. `reference` names its fill in the ledger; None without a key."""

    def __init__(self, *, who: str, key: str | None, request: object) -> None:
        if key is not None and not WELL_FORMED.fullmatch(key):
            raise BadKey("an Idempotency-Key has 1 to 200 printable characters without spaces")
        self._fingerprint = hashlib.sha256(orjson.dumps(request, option=orjson.OPT_SORT_KEYS)).hexdigest()
        name = hashlib.sha256(f"{who}\n{key}".encode()).hexdigest()
        self._name = f"plumbline:repeat:{name}" if key else None
        self.reference = (
            hashlib.sha256(f"{name}{self._fingerprint}".encode()).hexdigest()[:32] if key else None
        )

    def begin(self) -> int | None:
        """Claim the key; return the position that the same request went to before, if it is known.

        Raises KeyReused. Without Redis the ledger alone guards against a repeat.
        """
        if self._name is None:
            return None
        try:
            client().hsetnx(self._name, "request", self._fingerprint)
            client().expire(self._name, KEEP_SECONDS)
            kept: list[Any] = client().hmget(self._name, "request", "position")
        except redis.RedisError as error:
            log.warning("a repeat cannot be looked up", error=str(error))
            return None
        request, position = kept
        if request is not None and request.decode() != self._fingerprint:
            raise KeyReused("this Idempotency-Key was used for another request: take a new one")
        return int(position) if position else None

    def done(self, *, position: int) -> None:
        """Remember where it went."""
        if self._name is None:
            return
        try:
            client().hset(self._name, "position", str(position))
        except redis.RedisError as error:
            log.warning("a repeat cannot be noted", error=str(error))
