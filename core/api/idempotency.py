"""Idempotency-Key: a request that is sent again does nothing again, and a key means one request only.

Redis remembers for a day what a key was used for and with what result. Two kinds of operation use it:

- one whose effect is an entry of the ledger: `KeyedRequest.reference` names the entry, so the ledger refuses
  a second one for ever. The operation claims the key and remembers which position the entry went to;
- any other one: `once` does it and replays its answer. While the first request runs, a second one gets 409;
  one that failed may be tried again under its key.

Without Redis the rules of the operation itself are the only guard.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import orjson
import redis
import structlog
from django.http import HttpRequest
from ninja.params.functions import Header
from pydantic import BaseModel, WithJsonSchema

from core.api.auth import principal_of
from core.http.problems import Problem
from core.storage.redis import client

KEEP_SECONDS = 24 * 60 * 60
RUNNING_SECONDS = 300  # a process that died leaves its claim no longer than this
WELL_FORMED = re.compile(r"[\x21-\x7e]{1,200}")

KeyText = Annotated[str, WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 200})]
IdempotencyKey = Header(
    None,
    alias="Idempotency-Key",
    description="The same request under the same key is done once.",
)

log = structlog.get_logger("idempotency")


@dataclass(frozen=True, slots=True)
class Claim:
    """What Redis knows of a key: whether this request is its first, and the result that was remembered."""

    first: bool
    result: Any = None


class KeyedRequest:
    """One caller's request, under an Idempotency-Key or (None) without one.

    `area` is the part of the API that the key counts in. `reference` identifies caller, key and request in
    32 hex digits; None without a key. Raises Problem 400 for a malformed key.
    """

    def __init__(self, *, area: str, who: str, key: str | None, request: object) -> None:
        if key is not None and not WELL_FORMED.fullmatch(key):
            detail = "an Idempotency-Key has 1 to 200 printable characters without spaces"
            raise Problem(400, "bad_idempotency_key", detail)
        self._fingerprint = _digest(orjson.dumps(request, option=orjson.OPT_SORT_KEYS))
        owner = _digest(f"{who}\n{key}".encode())
        self._name = f"plumbline:idempotency:{area}:{owner}"
        self.has_key = key is not None
        self.reference = _digest(f"{owner}{self._fingerprint}".encode())[:32] if self.has_key else None

    def claim(self, *, seconds: int = KEEP_SECONDS) -> Claim | None:
        """Claim the key for so long, unless it is claimed; None without a key or without Redis.

        Raises Problem 422 when the key was used for another request.
        """
        if not self.has_key:
            return None
        try:
            if client().set(self._name, orjson.dumps([self._fingerprint, None]), nx=True, ex=seconds):
                return Claim(first=True)
            kept = client().get(self._name)
        except redis.RedisError as error:
            log.warning("an Idempotency-Key cannot be looked up", error=str(error))
            return None
        if kept is None:  # expired or forgotten between the two commands
            return Claim(first=False)
        fingerprint, result = orjson.loads(kept)
        if fingerprint != self._fingerprint:
            detail = "this Idempotency-Key was used for another request: take a new one"
            raise Problem(422, "idempotency_key_reused", detail)
        return Claim(first=False, result=result)

    def remember(self, result: Any) -> None:
        """Keep the result (JSON types) for a day."""
        if self.has_key:
            content = orjson.dumps([self._fingerprint, result])
            _best_effort(lambda: client().set(self._name, content, ex=KEEP_SECONDS))

    def forget(self) -> None:
        """Give the key back: the request failed and may be sent again."""
        if self.has_key:
            _best_effort(lambda: client().delete(self._name))


def once(
    request: HttpRequest,
    *,
    area: str,
    key: str | None,
    body: BaseModel | None,
    act: Callable[[], dict[str, Any]],
) -> dict[str, Any]:
    """Return what `act` answers, or what it answered to the same request under this key before.

    Answers are JSON types. Raises Problem 400, 422 (see KeyedRequest), 409 while the first request runs, and
    what `act` raises.
    """
    content = [request.method, request.path, None if body is None else body.model_dump(mode="json")]
    keyed = KeyedRequest(area=area, who=principal_of(request).name, key=key, request=content)
    claim = keyed.claim(seconds=RUNNING_SECONDS)
    if claim is None:
        return act()
    if not claim.first:
        if claim.result is None:
            raise Problem(
                409, "under_way", "this request is being worked on, or failed just now: send it again later."
            )
        return dict(claim.result)
    try:
        answer = act()
    except BaseException:
        keyed.forget()
        raise
    keyed.remember(answer)
    return answer


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _best_effort(command: Callable[[], object]) -> None:
    """Run a command; without Redis only log that the key is not kept."""
    try:
        command()
    except redis.RedisError as error:
        log.warning("an Idempotency-Key cannot be kept", error=str(error))
