"""Who watches the watcher: DEADMAN_URL is pinged while evaluation, delivery and reconciliation all go on.

A service elsewhere (healthchecks.io, or one of your own) says so when pings stay away. A process that only
says "I live" would ping on while nothing is evaluated any more, so each ping needs progress of all three
since the last.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from urllib.error import URLError
from urllib.request import Request, urlopen

import orjson
import structlog
from django.conf import settings
from django.db.models import Max, Min

from core.storage.redis import client
from portfolio.models import AlertEvaluation, Delivery, DeliveryState
from positions.venues.redaction import scrub
from reconciliation.models import Run

PINGED = "plumbline:notify:deadman"
DELIVERED = "plumbline:notify:delivered"
LATE = timedelta(minutes=5)
"""A delivery that waits for longer than this, though it is due, means that delivering does not go on."""
_ANSWER_SECONDS = 10

log = structlog.get_logger("deadman")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far each part has come; None: it has not begun."""

    evaluation: str | None
    delivery: str | None
    reconciliation: str | None

    def behind(self, before: Progress) -> list[str]:
        """Return the parts that have not gone on since `before`."""
        return [
            name for name, now in asdict(self).items() if now is None or now <= (getattr(before, name) or "")
        ]


def note_delivery(*, now: datetime) -> None:
    """Note that the outbox was gone through to its end. Raises redis.RedisError."""
    client().set(DELIVERED, now.isoformat(), ex=86_400)


def progress(*, now: datetime) -> Progress:
    """Return how far evaluation, delivery and reconciliation are. Raises DatabaseError, redis.RedisError."""
    evaluated = AlertEvaluation.objects.aggregate(at=Max("at"))["at"]
    # A run that could not read its venue proves nothing: it is no progress.
    compared = Run.objects.filter(finished_at__isnull=False, problem="").aggregate(at=Max("finished_at"))[
        "at"
    ]
    noted = client().get(DELIVERED)
    delivered = noted.decode() if isinstance(noted, bytes) and not _is_late(now) else None
    return Progress(_text(evaluated), delivered, _text(compared))


def ping(*, now: datetime) -> str:
    """Ping DEADMAN_URL if all three went on since the last ping; return why not, "" when it was done.

    The first call only notes where they are. Raises DatabaseError, redis.RedisError.
    """
    if not settings.DEADMAN_URL:
        return "DEADMAN_URL is not set"
    reached, before = progress(now=now), _before()
    if before is None:
        _keep(reached)
        return "this is the first look"
    if stuck := reached.behind(before):
        log.warning("no ping", behind=stuck)
        return f"no progress of {', '.join(stuck)}"
    try:
        request = Request(settings.DEADMAN_URL, method="POST", data=b"")
        with urlopen(request, timeout=_ANSWER_SECONDS):
            pass
    except (URLError, OSError, ValueError) as error:
        log.warning("the dead man's switch does not answer", error=scrub(str(error)))
        return "it does not answer"
    _keep(reached)
    return ""


def _is_late(now: datetime) -> bool:
    waiting = Delivery.objects.filter(state__in=[DeliveryState.QUEUED, DeliveryState.CLAIMED])
    oldest = waiting.filter(held="").aggregate(at=Min("queued_at"))["at"]
    return oldest is not None and now - oldest > LATE


def _before() -> Progress | None:
    kept = client().get(PINGED)
    return Progress(**orjson.loads(kept)) if isinstance(kept, bytes) else None


def _keep(reached: Progress) -> None:
    client().set(PINGED, orjson.dumps(asdict(reached)))


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
