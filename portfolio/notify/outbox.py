"""What people are to be told: queued in the transaction that writes the alert's transition."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import date, datetime

import redis
import structlog
from celery import current_app
from celery.exceptions import OperationalError
from django.db import connection, transaction
from django.db.models import Q

from core.storage.redis import client
from portfolio.models import (
    WAITING,
    AlertTransition,
    Channel,
    Delivery,
    DeliveryState,
    Purpose,
    Recipient,
    Subscription,
)
from portfolio.notify import audience, email, threads
from portfolio.notify.audience import Listener

SEND_TASK = "portfolio.tasks.send_deliveries"
_WOKEN = "plumbline:notify:woken"
_WOKEN_MS = 100  # what is queued within it is one wake-up

log = structlog.get_logger("notify")


def queue(*, transition: AlertTransition, now: datetime) -> int:
    """Queue a transition to all who are to hear of it, in the caller's transaction; return how many do.

    Who is muted or has no address gets a row too, which says why nothing is sent. What waits about the same
    alert comes along, so that nobody reads an older state after a newer one. The sender is woken after the
    commit. Raises TransactionManagementError outside of a transaction, DatabaseError.
    """
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError(
            "what people are told belongs into the alert's transaction"
        )
    audience.ensure_defaults(now=now)
    found = audience.listeners(transition=transition, now=now)
    rows = [_delivery(transition, one, now) for one in found]
    waiting = [row for row in _insert(rows) if row.state == DeliveryState.QUEUED]
    for row in waiting:
        _bring_along(row)
    if not found:
        log.warning(
            "nobody is told", alert=transition.alert_id, kind=transition.kind, title=transition.alert.title
        )
    _wake_after_commit()
    return len(waiting)


def _delivery(transition: AlertTransition, one: Listener, now: datetime) -> Delivery:
    recipient, _, rule = one.key
    message_id = threads.delivery_id(
        alert=transition.alert_id,
        transition=transition.pk,
        recipient=recipient,
        rule=rule,
        domain=email.domain(),
    )
    return Delivery(
        alert_id=transition.alert_id,
        transition=transition,
        recipient=one.recipient,
        channel=one.channel,
        subscription=one.rule,
        message_id=message_id,
        state=DeliveryState.SKIPPED if one.skipped else DeliveryState.QUEUED,
        why=one.skipped,
        held="quiet hours" if one.held_until else "",
        queued_at=now,
        next_at=one.held_until or now,
    )


def _insert(rows: Sequence[Delivery]) -> list[Delivery]:
    """Insert what is not there yet, by Message-ID; return what was inserted."""
    wanted = [row.message_id for row in rows]
    known = set(Delivery.objects.filter(message_id__in=wanted).values_list("message_id", flat=True))
    fresh = [row for row in rows if row.message_id not in known]
    Delivery.objects.bulk_create(fresh, ignore_conflicts=True)
    return fresh


def _bring_along(row: Delivery) -> None:
    """Let what waits about the same alert be sent with `row`: an older state must not come after it."""
    before = Delivery.objects.filter(alert=row.alert_id, recipient=row.recipient_id, channel=row.channel)
    before = before.filter(state=DeliveryState.QUEUED, next_at__gt=row.next_at)
    if row.channel == Channel.MESSENGER:
        before = before.filter(subscription=row.subscription_id)
    before.update(next_at=row.next_at, held=row.held)


def queue_digest(*, recipient: Recipient, day: date, now: datetime) -> bool:
    """Queue a person's digest of a day; return False where that was done before."""
    message_id = threads.digest_id(day=day.isoformat(), recipient=recipient.pk, domain=email.domain())
    row = Delivery(
        purpose=Purpose.DIGEST,
        recipient=recipient,
        channel=Channel.EMAIL,
        message_id=message_id,
        queued_at=now,
        next_at=now,
    )
    return bool(_insert([row]))


def queue_test(*, subscription: Subscription, now: datetime) -> Delivery:
    """Queue a test of one rule's way, as somebody asked for, and wake the sender."""
    message_id = threads.test_id(
        nonce=uuid.uuid4().hex[:12], recipient=subscription.recipient_id, domain=email.domain()
    )
    row = Delivery.objects.create(
        purpose=Purpose.TEST,
        recipient=subscription.recipient,
        channel=subscription.channel,
        subscription=subscription,
        message_id=message_id,
        queued_at=now,
        next_at=now,
    )
    _wake_after_commit()
    return row


def retry(*, delivery_id: int, now: datetime) -> bool:
    """Try a dead delivery again, with the message that was made; return False where it is not dead."""
    dead = Delivery.objects.filter(pk=delivery_id, state=DeliveryState.DEAD)
    done = dead.update(state=DeliveryState.QUEUED, why="", attempts=0, queued_at=now, next_at=now)
    if done:
        _wake_after_commit()
    return bool(done)


def end_waiting(*, subscription_id: int) -> int:
    """Skip what still waits for a rule that was turned off; return how many."""
    waiting = Delivery.objects.filter(subscription=subscription_id, state=DeliveryState.QUEUED)
    return waiting.update(state=DeliveryState.SKIPPED, why="the rule was turned off")


def sent_about(rows: Sequence[Delivery]) -> list[Delivery]:
    """Return what the recipients of these rows were sent about the same alerts, with the mail of each, the
    oldest first. What may have arrived counts as sent.
    """
    made = Q(state=DeliveryState.SENT) | Q(state__in=WAITING, mail__may_have_arrived=True)
    found = Delivery.objects.filter(
        made,
        alert__in={row.alert_id for row in rows if row.alert_id is not None},
        recipient__in={row.recipient_id for row in rows},
        channel__in={row.channel for row in rows},
    )
    return list(found.exclude(mail=None).select_related("mail").order_by("mail_id", "pk"))


def way(row: Delivery) -> tuple[int, int | None]:
    """Return what tells mailboxes apart: a person has one, and any number of messengers."""
    return row.recipient_id, row.subscription_id if row.channel == Channel.MESSENGER else None


def _wake_after_commit() -> None:
    # robust: a broker that is away must not turn what is committed into an error; beat wakes the sender too.
    transaction.on_commit(lambda: wake(), robust=True)


def wake() -> None:
    """Have a worker send what is due, now. Without a broker it waits for the beat."""
    try:
        if client().set(_WOKEN, b"1", nx=True, px=_WOKEN_MS):
            current_app.send_task(SEND_TASK, expires=30)
    except (redis.RedisError, OperationalError) as error:
        log.warning("the sender was not woken", error=str(error))
