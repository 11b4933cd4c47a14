"""One evaluation of all alerts: read, judge, write, publish. Whoever comes first does it, and nobody twice.

Note [Crashes]: alerts follow from state: an evaluation that dies before its commit leaves nothing, and the
next one finds the same. One that dies after it has not published: open alerts, and those that were
cleared lately, are published again every few seconds.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from datetime import datetime

import redis
import structlog
from django.db import transaction

from portfolio.alerts import inputs, marks, open_alerts, parts, publishing, store
from portfolio.alerts.conditions import AlertKey, Condition, OpenAlert
from portfolio.alerts.judging import conditions
from portfolio.alerts.lifecycle import decide
from portfolio.alerts.limit_breaches import limit_breaches
from portfolio.alerts.snapshot import Breach
from portfolio.models import Alert
from portfolio.totals import totals_store

PUBLISHED_AGAIN_EVERY = 10

log = structlog.get_logger("alerts")


def evaluate(now: datetime, *, limits: tuple[Breach, ...] | None = None) -> list[Alert] | None:
    """Judge everything as of now; return the alerts that changed. None: somebody else has just done it.

    `limits` are those that are not kept now; None: as the last refresh measured them, which any process can
    read: whoever evaluates knows the same. Raises DatabaseError.
    """
    last = store.last_evaluation()
    if last is not None and now < last + store.EVALUATED_AT_MOST_EVERY:
        return None
    around, prices = parts.read(now=now), marks.newest(now=now)
    limits = _measured(now) if limits is None else limits
    began = time.perf_counter()
    # One transaction: the row of evaluations stays locked from the reading to the writing, so that two
    # processes cannot judge at once; and a transition commits with the mails that it causes, or not at all.
    with transaction.atomic():
        before = store.lock_evaluation(now=now)
        if before is None:
            return None
        publish_all = _tens(now) != _tens(before)
        open_now = open_alerts.read()
        snapshot = inputs.read(now=now, around=around, marks=prices, open_alerts=open_now, limits=limits)
        found, failures = conditions(snapshot)
        outcomes = decide(
            open_alerts=open_now,
            conditions=found,
            recent=open_alerts.recently_cleared(of=_opening(found, open_now), now=now),
            muted=_muted(found, open_now.values(), now),
            now=now,
        )
        changed = store.apply(outcomes, now=now)
        took = (time.perf_counter() - began) * 1000
        unread = snapshot.unread | {failure.rule for failure in failures}
        store.note_evaluation(now=now, took_ms=took, unread=unread)
    for failure in failures:
        log.error("a rule of alerts failed", rule=failure.rule, exc_info=failure.error)
    _publish(changed, everything=publish_all, now=now)
    return changed


def _measured(now: datetime) -> tuple[Breach, ...] | None:
    """Return the limits that were not kept at the last refresh; None: that is too long ago, or not known."""
    try:
        found = totals_store.limits(now=now)
    except redis.RedisError as error:
        log.warning("limits are not known: Redis does not answer", error=str(error))
        return None
    return None if found is None else limit_breaches(found[0], labels=found[1])


def _opening(found: Iterable[Condition], open_now: Collection[AlertKey]) -> list[AlertKey]:
    return [one.key for one in found if one.holds and one.key not in open_now]


def _tens(at: datetime) -> int:
    return int(at.timestamp()) // PUBLISHED_AGAIN_EVERY


def _muted(found: Iterable[Condition], open_now: Iterable[OpenAlert], now: datetime) -> set[AlertKey]:
    subjects: dict[tuple[str, str], int | None] = {}
    subjects |= {(one.kind, one.subject): one.account for one in open_now}
    subjects |= {(one.kind, one.subject): one.account for one in found}
    mutes = open_alerts.mutes(now=now) if subjects else ()
    return {
        AlertKey(kind, subject)
        for (kind, subject), account in subjects.items()
        if any(mute.covers(kind=kind, subject=subject, account=account) for mute in mutes)
    }


def _publish(changed: Collection[Alert], *, everything: bool, now: datetime) -> None:
    try:
        publishing.publish(changed, now=now)
        if everything:
            publishing.publish_again(but=[one.pk for one in changed], now=now)
    except redis.RedisError as error:
        log.warning("alerts are kept and not published: Redis does not answer", error=str(error))
