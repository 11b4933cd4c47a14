"""One ccxt exchange for one account: calls with time-outs, retries, a shared budget and translated errors.

It lives on the process's background loop (event_loop.py). Reads are retried after transient errors only; no
request that changes something at a venue goes through `call`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import stamina

from positions.venues.base import (
    AccountConfig,
    Environment,
    Ports,
    RateLimited,
    Transient,
    Unsupported,
    VenueError,
)
from positions.venues.errors import translate
from positions.venues.redaction import remember, scrub_chain
from positions.venues.transport.conversation import Conversation, conversation
from positions.venues.transport.instrumentation import instrumented_class

# A wait longer than this is the caller's decision (a task reschedules itself), not a sleep in here.
LONGEST_WAIT = timedelta(seconds=20)


@dataclass(frozen=True, slots=True)
class Retries:
    """How often, and how long, a read is tried again; waits grow exponentially with full jitter."""

    attempts: int = 4
    deadline: timedelta = timedelta(seconds=60)
    first_wait: timedelta = timedelta(milliseconds=250)
    longest_wait: timedelta = timedelta(seconds=8)


@dataclass(frozen=True, slots=True)
class Limits:
    """The venue's documented budget per IP address: a bucket of `capacity` tokens refilled `per_second`."""

    capacity: float
    per_second: float


Weigh = Callable[[str, Mapping[str, Any]], float]


class Client:
    """A wired ccxt instance with the product's manners. Raises UnknownExchange for an id that ccxt does not
    have.
    """

    def __init__(
        self,
        exchange_id: str,
        *,
        config: AccountConfig,
        ports: Ports,
        limits: Limits | None = None,
        weigh: Weigh | None = None,
        options: Mapping[str, Any] | None = None,
        urls: Mapping[str, Any] | None = None,
        retries: Retries | None = None,
    ) -> None:
        self.config = config
        self.ports = ports
        self.retries = retries or Retries()
        secrets = config.credentials.plain()
        remember(secrets.values())
        self.exchange = instrumented_class(exchange_id, ports.patches)(_settings(config, options or {}))
        self.exchange.plumbline_clock = ports.clock
        self.exchange.plumbline_spend = self.spend
        if weigh is not None:
            self.exchange.plumbline_weigh = weigh
        self.limits = limits or _limits_of(self.exchange)
        self.budget_key = f"{config.server}|{config.egress}"
        _point(self.exchange, config, urls)
        # Asked before anything else is; raises what keeps this account from asking (see keys/vetting.py).
        self.gate: Callable[[], Awaitable[None]] | None = None
        self.closed = False

    def needed_credentials(self) -> set[str]:
        """The credentials (our names) without which ccxt signs no request to this exchange."""
        required = self.exchange.requiredCredentials
        return {ours for ours, theirs in _FIELDS.items() if required.get(theirs)}

    async def spend(self, weight: float) -> None:
        """Take `weight` tokens of the budget this address shares; waits, or raises RateLimited."""
        if weight > 0:
            await self.ports.budget.spend(
                self.budget_key, weight, capacity=self.limits.capacity, per_second=self.limits.per_second
            )

    async def call(self, method: str, /, *args: Any, **kwargs: Any) -> tuple[Any, Conversation]:
        """Call a read of the ccxt instance by name; its result and the HTTP exchanges behind it.

        Raises VenueError. A RateLimited pauses the shared budget, and is retried only if the wait is short.
        """
        bound = getattr(self.exchange, method)
        return await self.reading(lambda: bound(*args, **kwargs))

    async def reading(self, work: Callable[[], Awaitable[Any]]) -> tuple[Any, Conversation]:
        """Run an idempotent piece of work with the retry policy; its result and its HTTP exchanges."""
        if self.gate is not None:
            await self.gate()
        retries = self.retries
        async for attempt in stamina.retry_context(
            on=_wait_before_retry,
            attempts=retries.attempts,
            timeout=retries.deadline,
            wait_initial=retries.first_wait,
            wait_max=retries.longest_wait,
            wait_jitter=retries.first_wait * 2,
        ):
            with attempt:
                return await self._once(work)
        raise AssertionError("unreachable: the last attempt raises")

    async def _once(self, work: Callable[[], Awaitable[Any]]) -> tuple[Any, Conversation]:
        talk = Conversation()
        token = conversation.set(talk)
        try:
            async with asyncio.timeout(self.retries.deadline.total_seconds()):
                return await work(), talk
        except Exception as error:
            scrub_chain(error)
            translated = translate(error, talk.last, now=self.ports.clock())
            if isinstance(translated, RateLimited) and not isinstance(error, VenueError):
                await self.ports.budget.pause(self.budget_key, translated.for_)
            if translated is error:
                raise
            raise translated from error
        finally:
            conversation.reset(token)

    async def close(self) -> None:
        """Close the sockets of this account."""
        if self.closed:
            return
        self.closed = True
        self.exchange.timeout_on_exit = 0
        await self.exchange.close()


def _wait_before_retry(error: Exception) -> bool | timedelta:
    if isinstance(error, RateLimited):
        return error.for_ if error.for_ <= LONGEST_WAIT else False
    return isinstance(error, Transient)


_FIELDS = {
    "api_key": "apiKey",
    "secret": "secret",
    "password": "password",
    "uid": "uid",
    "private_key": "privateKey",
}


def _settings(config: AccountConfig, options: Mapping[str, Any]) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "enableRateLimit": True,
        "timeout": int(config.timeout.total_seconds() * 1000),
        "options": dict(options),
        "newUpdates": True,
    }
    for ours, theirs in _FIELDS.items():
        value = getattr(config.credentials, ours)
        if value:
            settings[theirs] = value
    if config.address:
        settings["walletAddress"] = config.address
    return settings


def _limits_of(exchange: Any) -> Limits:
    """ccxt documents a venue's limit as milliseconds per unit of weight.

    A burst of 15 seconds' worth, then three quarters of the rate: in no minute more than the venue allows.
    """
    per_second = 1000.0 / max(float(exchange.rateLimit), 1.0)
    return Limits(capacity=per_second * 15, per_second=per_second * 0.75)


def _point(exchange: Any, config: AccountConfig, urls: Mapping[str, Any] | None) -> None:
    """Choose the server: the venue's own, its testnet, or the base URL of a simulated account."""
    if config.environment is Environment.TESTNET:
        if not exchange.urls.get("test"):
            raise Unsupported(f"{config.venue} has no testnet")
        exchange.set_sandbox_mode(True)
    if config.base_url is not None:
        if config.environment is Environment.LIVE:
            raise Unsupported("a base URL belongs to accounts of the environment simulated or testnet")
        exchange.urls = {
            **exchange.urls,
            "api": dict(urls) if urls else rebased(exchange.urls["api"], config.base_url),
        }
    elif config.environment is Environment.SIMULATED:
        raise Unsupported("an account of the environment simulated needs a base URL")


def rebased(urls: Any, base_url: str) -> Any:
    """The venue's URL table with every scheme and host replaced; ws URLs get the ws scheme. Paths stay."""
    if isinstance(urls, dict):
        return {key: rebased(value, base_url) for key, value in urls.items()}
    if not isinstance(urls, str) or "://" not in urls:
        return urls
    scheme, _, rest = urls.partition("://")
    _, slash, path = rest.partition("/")
    target = base_url.rstrip("/")
    if scheme in ("ws", "wss"):
        target = target.replace("https://", "wss://", 1).replace("http://", "ws://", 1)
    return f"{target}{slash}{path}"
