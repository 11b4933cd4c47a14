"""Sends what is due: claimed with a lease, at least once, the same message on every try.

Note [At least once]: a row is claimed by one worker at a time (FOR UPDATE SKIP LOCKED) and for LEASE. The
message is made and kept before it is handed over, so a worker that dies in between leaves a row whose lease
runs out, and the next one sends the same bytes under the same Message-ID: a mail program shows it once. What
was surely not accepted is made anew, so that it says how things stand by then.
"""

from __future__ import annotations

import random
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from django.db import transaction
from django.db.models import Q

from core.storage import database
from portfolio.models import (
    DELIVERY_MOVES,
    Channel,
    Delivery,
    DeliveryState,
    Mail,
    Purpose,
    Subscription,
)
from portfolio.notify import audience, backoff, grouping, letters
from portfolio.notify.channel import NotSent, Refused, Sender, TryLater
from portfolio.notify.email import EmailSender
from portfolio.notify.messenger import MessengerSender

LEASE = timedelta(minutes=3)
"""Longer than any one message takes: each step of SMTP has EMAIL_TIMEOUT."""
BATCH = 100
PASS = timedelta(seconds=45)
"""After it a pass ends and gives back what it has not begun: a worker is not ours alone."""
SENDERS: dict[str, Callable[[], Sender]] = {
    Channel.EMAIL: EmailSender,
    Channel.MESSENGER: MessengerSender,
}
Clock = Callable[[], datetime]

log = structlog.get_logger("notify")


@dataclass
class Outcome:
    """What one pass did."""

    sent: int = 0
    postponed: int = 0
    dead: int = 0
    skipped: int = 0


@dataclass
class _Pass:
    """One pass of one worker: its lease, its clock, what it found that must wait."""

    clock: Clock
    lease: uuid.UUID = field(default_factory=uuid.uuid4)
    outcome: Outcome = field(default_factory=Outcome)
    chance: Callable[[], float] = random.random
    alive: Callable[[], object] = lambda: None
    started: datetime = field(init=False)
    stuck: set[tuple[int, int | None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.started = self.clock()

    @property
    def is_over(self) -> bool:
        return self.clock() - self.started > PASS


def deliver(
    *,
    clock: Clock,
    chance: Callable[[], float] = random.random,
    alive: Callable[[], object] = lambda: None,
) -> Outcome:
    """Send all that is due by `clock`, batch by batch; return what came of it. `alive` is called between two.

    Raises DatabaseError. What channels raise is kept on the rows.
    """
    work = _Pass(clock, chance=chance, alive=alive)
    while rows := _claim(work):
        for channel, ours in _by_channel(rows).items():
            _send_channel(work, SENDERS[channel](), ours)
        if work.is_over or len(rows) < BATCH:
            break
    return work.outcome


# Claiming ---------------------------------------------------------------------------------------------------


def _claim(work: _Pass) -> list[Delivery]:
    """Take up to BATCH rows that are due, or whose worker died."""
    now = work.clock()
    due = Q(state=DeliveryState.QUEUED, next_at__lte=now) | Q(
        state=DeliveryState.CLAIMED, lease_until__lte=now
    )
    # One transaction: what is seen as free is ours before anybody else looks.
    with transaction.atomic():
        rows = Delivery.objects.filter(due).order_by("next_at", "pk")
        ids = list(rows.select_for_update(skip_locked=True).values_list("pk", flat=True)[:BATCH])
        left_behind = Delivery.objects.filter(pk__in=ids, state=DeliveryState.CLAIMED, attempts__gt=0)
        Mail.objects.filter(pk__in=left_behind.values("mail")).update(may_have_arrived=True)
        _move(ids, DeliveryState.CLAIMED, lease=work.lease, lease_until=now + LEASE)
    claimed = Delivery.objects.filter(pk__in=ids, lease=work.lease).order_by("pk")
    return list(
        claimed.select_related(
            "recipient__user", "subscription", "transition", "alert__account", "alert__instrument", "mail"
        )
    )


def _move(ids: Sequence[int], to: DeliveryState, *, lease: uuid.UUID | None = None, **fields: object) -> int:
    """Move rows that may go there; return how many did. A lease is kept only by what is CLAIMED."""
    legal = [state for state, following in DELIVERY_MOVES.items() if to in following]
    rows = Delivery.objects.filter(pk__in=ids, state__in=legal)
    fields |= {"lease": lease} if to == DeliveryState.CLAIMED else {"lease": None, "lease_until": None}
    return rows.update(state=to, **fields)


def _by_channel(rows: Iterable[Delivery]) -> dict[str, list[Delivery]]:
    found: dict[str, list[Delivery]] = defaultdict(list)
    for row in rows:
        found[row.channel].append(row)
    return found


# Sending ----------------------------------------------------------------------------------------------------


def _send_channel(work: _Pass, sender: Sender, rows: Sequence[Delivery]) -> None:
    """Send one channel's rows over one connection; where it cannot be had, all of them wait."""
    left = _wanted(work, rows)
    try:
        with sender:
            while left and not work.is_over:
                ours, left = _of_first_recipient(left)
                for parcel in _parcels(work, ours):
                    work.alive()
                    _send_parcel(work, sender, parcel, {row.pk: row for row in ours})
    except TryLater as error:
        _postpone(work, _ours(work, rows), error, counted=False)
    _move([row.pk for row in _ours(work, left)], DeliveryState.QUEUED)


def _of_first_recipient(rows: Sequence[Delivery]) -> tuple[list[Delivery], list[Delivery]]:
    key = _way(rows[0])
    return [row for row in rows if _way(row) == key], [row for row in rows if _way(row) != key]


def _way(row: Delivery) -> tuple[int, int | None]:
    """Return what tells mailboxes apart: a person has one, and any number of messengers."""
    return row.recipient_id, row.subscription_id if row.channel == Channel.MESSENGER else None


def _wanted(work: _Pass, rows: Sequence[Delivery]) -> list[Delivery]:
    """Skip what the person may not, or does not want to, hear by now."""
    wanted = []
    for row in rows:
        why = _unwanted(row)
        if why:
            work.outcome.skipped += _move([row.pk], DeliveryState.SKIPPED, why=why)
        else:
            wanted.append(row)
    return wanted


def _unwanted(row: Delivery) -> str:
    account_id = None if row.alert is None else row.alert.account_id
    if not audience.may_hear(user=row.recipient.user, account_id=account_id):
        return "this person may not see the account any more"
    rule: Subscription | None = row.subscription
    if rule is not None and not rule.is_on and row.purpose == Purpose.ALERT:
        return "the rule was turned off"
    if row.channel == Channel.EMAIL and not row.recipient.mail_address:
        return "this person has no e-mail address"
    return ""


def _parcels(work: _Pass, rows: Sequence[Delivery]) -> list[grouping.Parcel]:
    first = rows[0]
    since = work.clock() - timedelta(minutes=1)
    lately = Mail.objects.filter(recipient=first.recipient_id, channel=first.channel, made_at__gt=since)
    waiting = [
        grouping.Waiting(
            id=row.pk,
            alert=row.alert_id,
            batch=row.transition.batch if row.transition else row.pk,
            held=bool(row.held),
            mail=row.mail_id,
        )
        for row in rows
    ]
    return grouping.parcels(waiting, mails_in_the_last_minute=lately.count())


def _send_parcel(work: _Pass, sender: Sender, parcel: grouping.Parcel, rows: dict[int, Delivery]) -> None:
    told = [rows[pk] for pk in parcel.told]
    # Nobody reads how it was after how it is.
    if any((row.recipient_id, row.alert_id) in work.stuck for row in told):
        _postpone(work, told, TryLater("an earlier message of this thread was not accepted yet"))
        return
    outdated = [rows[pk] for pk in parcel.outdated]
    try:
        mail = _made(work, told, outdated)
    except Exception as error:
        log.exception("a message could not be made", deliveries=[row.pk for row in told])
        problem = TryLater(f"it could not be written: {type(error).__name__}: {error}")
        _postpone(work, [*told, *outdated], problem, counted=False)
        return
    address = letters.shown_address(told[0])
    if not _begin(work, told, address):
        return  # somebody else took over what we were too slow for
    try:
        letter = letters.letter_of(mail, told[0])
        database.give_back()
        sender.send(letter)
    except Refused as error:
        _give_up(work, told, address, error)
    except TryLater as error:
        _postpone(work, told, error, unmake=mail if error.certain and not mail.may_have_arrived else None)
        if not error.certain:
            Mail.objects.filter(pk=mail.pk).update(may_have_arrived=True)
        if error.whole:
            raise
    else:
        _settle(work, told)


def _made(work: _Pass, told: Sequence[Delivery], outdated: Sequence[Delivery]) -> Mail:
    """Return the message of a parcel, made and kept before it is sent; what it replaces is skipped."""
    mail = told[0].mail
    if mail is not None:
        return mail
    made = letters.compose(told, now=work.clock())
    # One transaction: what is skipped is in the message that is kept.
    with transaction.atomic():
        made.save()
        Delivery.objects.filter(pk__in=[row.pk for row in told]).update(mail=made)
        why = "the next message says how it stands"
        work.outcome.skipped += _move([row.pk for row in outdated], DeliveryState.SKIPPED, why=why)
    for row in told:
        row.mail = made
    return made


def _begin(work: _Pass, told: Sequence[Delivery], address: str) -> bool:
    """Count an attempt and renew the lease; return False where the rows are not ours any more."""
    attempts = max(row.attempts for row in told) + 1
    ours = Delivery.objects.filter(pk__in=[row.pk for row in told], lease=work.lease)
    ours = ours.filter(state=DeliveryState.CLAIMED)
    begun = ours.update(attempts=attempts, address=address, lease_until=work.clock() + LEASE)
    for row in told:
        row.attempts = attempts
    return begun == len(told)


# What came of it --------------------------------------------------------------------------------------------


def _settle(work: _Pass, told: Sequence[Delivery]) -> None:
    now = work.clock()
    sent = _move([row.pk for row in told], DeliveryState.SENT, sent_at=now, last_error="", held="")
    if told[0].channel == Channel.EMAIL and told[0].recipient.refused_at is not None:
        audience.mark_accepted(recipient_ids=[told[0].recipient_id])
    work.outcome.sent += sent


def _postpone(
    work: _Pass,
    rows: Sequence[Delivery],
    error: NotSent,
    *,
    unmake: Mail | None = None,
    counted: bool = True,
) -> None:
    """Try again later, or give up what is too old. `unmake`: nobody has it, so the next try makes it anew.
    `counted`: this attempt stands on the rows already.
    """
    now, said = work.clock(), str(error)[:500]
    for row in rows if not counted else ():
        row.attempts += 1
    for row in rows:
        if now - row.queued_at >= backoff.GIVEN_UP_AFTER:
            work.outcome.dead += _move(
                [row.pk], DeliveryState.DEAD, why=f"not accepted for a day: {said}", last_error=said
            )
            continue
        again = now + backoff.wait(attempts=row.attempts, chance=work.chance())
        work.outcome.postponed += _move(
            [row.pk], DeliveryState.QUEUED, next_at=again, last_error=said, attempts=row.attempts
        )
        if row.alert_id is not None:
            work.stuck.add((row.recipient_id, row.alert_id))
    if unmake is not None:
        Mail.objects.filter(pk=unmake.pk).delete()
    if rows:
        log.warning("not sent, tried again later", count=len(rows), error=said)


def _give_up(work: _Pass, told: Sequence[Delivery], address: str, error: Refused) -> None:
    now, said = work.clock(), str(error)[:500]
    work.outcome.dead += _move([row.pk for row in told], DeliveryState.DEAD, why=said, last_error=said)
    first = told[0]
    if first.channel == Channel.EMAIL:
        audience.mark_refused(recipient_id=first.recipient_id, address=address, why=said, now=now)
    log.error("refused for good", recipient=first.recipient_id, channel=first.channel, error=said)


def _ours(work: _Pass, rows: Sequence[Delivery]) -> list[Delivery]:
    """Return the rows that this pass holds still."""
    held = Delivery.objects.filter(
        pk__in=[row.pk for row in rows], lease=work.lease, state=DeliveryState.CLAIMED
    )
    ids = set(held.values_list("pk", flat=True))
    return [row for row in rows if row.pk in ids]
