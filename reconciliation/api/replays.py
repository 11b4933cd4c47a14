"""Idempotency-Key of reconciliation's requests: the same request under the same key is answered as before.

Redis keeps the answer for a day. While the first one is being worked on, a second one is told so; one that
failed may be tried again under its key. Without Redis the rules of what is asked guard alone: one run of an
account at a time, a preview's token, references made from the case.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import orjson
import redis
import structlog

from core.idempotency import KEEP_SECONDS, WELL_FORMED, BadKey, KeyReused
from core.redis import client

WORKED_ON_SECONDS = 300

log = structlog.get_logger("reconciliation")


class UnderWay(RuntimeError):
    """The same request under the same key is being worked on."""


def once(*, who: str, key: str | None, request: object, act: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what `act` answers, or what it answered to the same request under this key before.

    Answers are JSON types. Raises BadKey, KeyReused (for another request), UnderWay, and what `act` raises.
    """
    if key is None:
        return act()
    if not WELL_FORMED.fullmatch(key):
        raise BadKey("an Idempotency-Key has 1 to 200 printable characters without spaces")
    name = "plumbline:replay:" + hashlib.sha256(f"{who}\n{key}".encode()).hexdigest()
    asked = hashlib.sha256(orjson.dumps(request, option=orjson.OPT_SORT_KEYS)).hexdigest()
    try:
        known = _claim(name, asked)
    except redis.RedisError as error:
        log.warning("a repeat cannot be looked up", error=str(error))
        return act()
    if known is not None:
        return known
    try:
        answer = act()
    except BaseException:
        _store(name, None)
        raise
    _store(name, orjson.dumps([asked, answer]))
    return answer


def _claim(name: str, asked: str) -> dict[str, Any] | None:
    if client().set(name, orjson.dumps([asked, None]), nx=True, ex=WORKED_ON_SECONDS):
        return None
    kept = client().get(name)
    if kept is None:  # given back in this very moment
        raise UnderWay("this request failed just now: send it again")
    before, answer = orjson.loads(kept)
    if before != asked:
        raise KeyReused("this Idempotency-Key was used for another request: take a new one")
    if answer is None:
        raise UnderWay("this request is being worked on")
    return dict(answer)


def _store(name: str, content: bytes | None) -> None:
    try:
        if content is None:
            client().delete(name)
        else:
            client().set(name, content, ex=KEEP_SECONDS)
    except redis.RedisError as error:
        log.warning("a repeat cannot be noted", error=str(error))
