"""How often somebody may do something: one leaky bucket per name, kept in Redis and shared by all processes.

Note [Leaky bucket]: per name Redis keeps one number, the time at which all that was taken will have leaked
away (GCRA). Taking moves it on by one interval; it may lie at most a burst of intervals ahead. Redis's own
clock decides, so processes need not agree on the time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import redis
import structlog
from django.conf import settings

from core.storage.redis import script

log = structlog.get_logger("rates")

_TAKE = """
local now = redis.call('TIME')
now = now[1] * 1000000 + now[2]
local interval, burst, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local full = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
local after = full + interval * wanted
local wait = after - burst * interval - now
if wait > 0 then
  return {0, math.floor((burst * interval - (full - now)) / interval), wait}
end
if after <= now then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.ceil((after - now) / 1000) + 1)
end
return {1, math.floor((burst * interval - math.max(after - now, 0)) / interval), 0}
"""


@dataclass(frozen=True, slots=True)
class Limit:
    """`per_minute` in the long run, `burst` at once."""

    per_minute: int
    burst: int

    @property
    def policy(self) -> str:
        """The limit as the header RateLimit-Policy writes it: quota and window in seconds."""
        return f"{self.per_minute};w=60;burst={self.burst}"


@dataclass(frozen=True, slots=True)
class RateDecision:
    """Whether a request is allowed, how many more are, and after how many whole seconds to retry (or 0)."""

    limit: Limit
    allowed: bool
    remaining: int
    retry_after: int

    def headers(self) -> dict[str, str]:
        """Return the headers that every answer carries."""
        told = {
            "RateLimit-Limit": str(self.limit.per_minute),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Policy": self.limit.policy,
        }
        return told if self.allowed else told | {"Retry-After": str(self.retry_after)}


def of_tier(tier: str) -> Limit | None:
    """Return the limit of an API key's tier; None is no limit."""
    per_minute = settings.RATE_LIMITS.get(tier)
    return None if not per_minute else Limit(per_minute, max(1, per_minute // 6))


def take(*, name: str, limit: Limit, wanted: int = 1) -> RateDecision | None:
    """Take one token from a bucket, if there is one; `wanted` = -1 gives one back.

    Return None without Redis: a limit must not stop traders from seeing their positions.
    """
    try:
        allowed, remaining, wait = script(_TAKE)(
            keys=[f"plumbline:rate:{name}"], args=[60_000_000 // limit.per_minute, limit.burst, wanted]
        )
    except redis.RedisError as error:
        log.warning("rates are not limited: Redis does not answer", error=str(error))
        return None
    return RateDecision(limit, bool(allowed), max(0, int(remaining)), math.ceil(wait / 1_000_000))
