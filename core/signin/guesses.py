"""Guesses of a name's password, from anywhere: after a few each one waits longer, up to a quarter of an hour.

Note [Back-off]: per name Redis keeps how many tries there were since the last that succeeded, and from when
the next is allowed. A try counts before the password is looked at, so that many at once gain nothing. Whoever
guesses can make a name wait, but not for its owner: a network from which the name signed in lately is counted
by itself.
"""

from __future__ import annotations

import hashlib
import math
from datetime import timedelta

import redis
import structlog
from django.conf import settings

from core.storage.redis import client, script

LONGEST = 900
FORGOTTEN_AFTER = timedelta(days=1)
KNOWN_FOR = timedelta(days=30)

log = structlog.get_logger("guesses")

_TAKE = """
local now = redis.call('TIME')
now = now[1] * 1000000 + now[2]
local allowed_at = tonumber(redis.call('HGET', KEYS[1], 'allowed_at') or '0')
if allowed_at > now then
  return allowed_at - now
end
local tries = redis.call('HINCRBY', KEYS[1], 'tries', 1)
local beyond = tries - tonumber(ARGV[1])
if beyond >= 0 then
  local wait = math.min(2 ^ math.min(beyond, 30), tonumber(ARGV[2])) * 1000000
  redis.call('HSET', KEYS[1], 'allowed_at', string.format('%.0f', now + wait))
end
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 0
"""


def take(*, name: str, network: str) -> int | None:
    """Count a try to sign in; return after how many seconds it is allowed (0: now), None without Redis."""
    try:
        place = _place(name, network if client().exists(_known(name, network)) else "")
        wait = script(_TAKE)(
            keys=[place],
            args=[2 * settings.AXES_FAILURE_LIMIT, LONGEST, int(FORGOTTEN_AFTER.total_seconds())],
        )
    except redis.RedisError as error:
        log.warning("nobody can sign in: Redis does not answer", error=str(error))
        return None
    return math.ceil(int(wait) / 1_000_000)


def succeeded(*, name: str, network: str) -> None:
    """Forget the tries of a name that has signed in, and remember from where. Raises redis.RedisError."""
    client().delete(_place(name, ""), _place(name, network))
    client().set(_known(name, network), b"1", ex=KNOWN_FOR)


def _place(name: str, network: str) -> str:
    return f"plumbline:guesses:{_digest(name)}:{network}"


def _known(name: str, network: str) -> str:
    return f"plumbline:signed-in:{_digest(name)}:{network}"


def _digest(name: str) -> str:
    """Names are typed by anybody, at any length, and sometimes are passwords: Redis keeps none."""
    return hashlib.sha256(name.strip().lower().encode()).hexdigest()[:32]
