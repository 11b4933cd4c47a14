"""The newest marks: those on the live log, which Postgres gets only every few seconds."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from threading import Lock
from typing import Any

import orjson
import redis
import structlog

from core.storage.redis import client
from positions import live

KEPT_FOR = timedelta(seconds=10)
AT_MOST = 200

log = structlog.get_logger("alerts")

PriceAt = tuple[Decimal, datetime]
_newest: dict[int, PriceAt] = {}
_last_id = "0-0"
_lock = Lock()


def newest(*, now: datetime) -> dict[int, PriceAt]:
    """Return the marks of the last seconds by instrument; {} while Redis is away: Postgres has its own."""
    global _last_id
    with _lock:
        try:
            entries: list[Any] = client().xrange(live.MARKS, min=f"({_last_id}", count=AT_MOST) or []
        except redis.RedisError as error:
            log.warning("marks are those of Postgres: Redis does not answer", error=str(error))
            return {}
        for entry_id, fields in entries:
            _last_id = entry_id.decode()
            for row in orjson.loads(fields[b"frame"])["marks"]:
                _take(row)
        for instrument in [key for key, (_, at) in _newest.items() if now - at > KEPT_FOR]:
            del _newest[instrument]
        return dict(_newest)


def forget() -> None:
    """Forget what was read, as after Redis was emptied."""
    global _last_id
    with _lock:
        _newest.clear()
        _last_id = "0-0"


def _take(row: dict[str, str | None]) -> None:
    """Keep a mark as `price_board.row` writes it; one that is not believed any more is as old as it is."""
    price, at = row["price"], row["at"]
    if price is not None and at is not None:
        _newest[int(row["instrument"] or 0)] = (Decimal(price), datetime.fromisoformat(at))
