"""Sends what is due: claimed with a lease, at least once, the same message on every try.

Note [At least once]: a row is claimed by one worker at a time (FOR UPDATE SKIP LOCKED) and for LEASE. The
message is made and kept before it is handed over, so a worker that dies in between leaves a row whose lease
runs out, and the next one sends the same bytes under the same Message-ID: a mail program shows it once. What
was surely not accepted is made anew, so that it says how things stand by then.

Note [Outcomes together]: that mails were accepted is written for a few at once, as a commit for each would
take longer than handing it over. A worker that dies before it has written sends those few again.
"""

from __future__ import annotations

import random
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from django.db import connection, transaction
from django.db.models import Q

from portfolio.models import (
    DELIVERY_MOVES,
    Channel,
    Delivery,
    DeliveryState,
    Mail,
    Purpose,
    Subscription,
)
from portfolio.notify import audience, backoff, grouping, letters, outbox
from portfolio.notify.channel import NotSent, Refused, Sender, TryLater
from portfolio.notify.email import EmailSender
from portfolio.notify.messenger import MessengerSender
from portfolio.notify.shared import Shared

LEASE = timedelta(minutes=3)
LONGEST_MESSAGE = timedelta(minutes=1)
"""No message is begun so shortly before a lease ends: each step of SMTP has EMAIL_TIMEOUT."""
BATCH = 100
WRITTEN_TOGETHER, WRITTEN_WITHIN = 25, timedelta(milliseconds=200)
"""So many accepted mails, or those of so long, are one transaction of outcomes."""
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
    leased_until: datetime = field(init=False)
    stuck: set[tuple[int, int | None]] = field(default_factory=set)
    accepted: list[tuple[Delivery, datetime]] = field(default_factory=list)
    shared: Shared = field(default_factory=Shared)

    def __post_init__(self) -> None:
        self.started = self.leased_until = self.clock()

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
        work.leased_until = now + LEASE
        _move(ids, DeliveryState.CLAIMED, lease=work.lease, lease_until=work.leased_until)
    claimed = Delivery.objects.filter(pk__in=ids, lease=work.lease).order_by("pk")
    return list(
        claimed.select_related(
            "recipient__user", "subscription", "transition", "alert__account", "alert__instrument", "mail"
        ).prefetch_related("recipient__user__groups")
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


# One channel ------------------------------------------------------------------------------------------------


def _send_channel(work: _Pass, sender: Sender, rows: Sequence[Delivery]) -> None:
    """Send one channel's rows over one connection; where it cannot be had, all of them wait."""
    wanted, loaded = _wanted(work, rows), False
    try:
        with sender:
            loads, loaded = _loads(work, wanted), True
            for load in loads:
                if work.is_over:
                    break
                work.alive()
                _send(work, sender, load)
                if _is_time_to_write(work):
                    _settle(work)
    except TryLater as error:
        _settle(work)
        left = _ours(work, wanted)
        _unmake(left)
        _postpone(work, left, error, counted=loaded)
    finally:
        _settle(work)
    left = _ours(work, wanted)
    _unmake(left)
    _move([row.pk for row in left], DeliveryState.QUEUED)


def _wanted(work: _Pass, rows: Sequence[Delivery]) -> list[Delivery]:
    """Skip what the person may not, or does not want to, hear by now."""
    wanted = []
    for row in rows:
        why = _unwanted(work, row)
        if why:
            work.outcome.skipped += _move([row.pk], DeliveryState.SKIPPED, why=why)
        else:
            wanted.append(row)
    return wanted


def _unwanted(work: _Pass, row: Delivery) -> str:
    account_id = None if row.alert is None else row.alert.account_id
    if not audience.is_heard(principal=work.shared.principal(row.recipient.user), account_id=account_id):
        return "this person may not see the account any more"
    rule: Subscription | None = row.subscription
    if rule is not None and not rule.is_on and row.purpose == Purpose.ALERT:
        return "the rule was turned off"
    if row.channel == Channel.EMAIL and not row.recipient.mail_address:
        return "this person has no e-mail address"
    return ""


# Making the messages ----------------------------------------------------------------------------------------


@dataclass
class _Load:
    """One message, and the deliveries that it carries."""

    told: list[Delivery]
    mail: Mail


def _loads(work: _Pass, rows: Sequence[Delivery]) -> list[_Load]:
    """Return the messages of these rows, each made and kept before any is sent, the oldest first."""
    if not rows:
        return []
    by_id = {row.pk: row for row in rows}
    parcels = _parcels(work, rows)
    work.shared.sent = outbox.sent_about(rows)
    loads: list[_Load] = []
    fresh: list[_Load] = []
    outdated: list[int] = []
    for parcel in parcels:
        told = [by_id[pk] for pk in parcel.told]
        made = told[0].mail
        mail = made or _composed(work, told)
        if mail is None:
            continue
        loads.append(_Load(told, mail))
        outdated += parcel.outdated
        if made is None:
            fresh.append(loads[-1])
    _keep(work, loads, fresh, outdated)
    return loads


def _parcels(work: _Pass, rows: Sequence[Delivery]) -> list[grouping.Parcel]:
    by_way: dict[tuple[int, int | None], list[grouping.Waiting]] = defaultdict(list)
    for row in rows:
        by_way[outbox.way(row)].append(
            grouping.Waiting(
                id=row.pk,
                alert=row.alert_id,
                batch=row.transition.batch if row.transition else row.pk,
                held=bool(row.held),
                mail=row.mail_id,
            )
        )
    since, recipients = work.clock() - timedelta(minutes=1), {row.recipient_id for row in rows}
    made = Mail.objects.filter(recipient__in=recipients, channel=rows[0].channel, made_at__gt=since)
    lately = Counter(made.order_by().values_list("recipient", flat=True))
    return [
        parcel
        for way, waiting in by_way.items()
        for parcel in grouping.parcels(waiting, mails_in_the_last_minute=lately[way[0]])
    ]


def _composed(work: _Pass, told: list[Delivery]) -> Mail | None:
    """Return the message of these rows, not yet saved; None, and they wait, where it cannot be written."""
    try:
        return letters.compose(told, now=work.clock(), shared=work.shared)
    except Exception as error:
        log.exception("a message could not be made", deliveries=[row.pk for row in told])
        problem = TryLater(f"it could not be written: {type(error).__name__}: {error}")
        _postpone(work, told, problem, counted=False)
        return None


def _keep(work: _Pass, loads: Sequence[_Load], fresh: Sequence[_Load], outdated: Sequence[int]) -> None:
    """Keep the messages, and count an attempt of each row: who finds it later must know that it was begun."""
    # One transaction: what is skipped is in a message that is kept.
    with transaction.atomic():
        Mail.objects.bulk_create([load.mail for load in fresh])
        for load in loads:
            attempts = max(row.attempts for row in load.told) + 1
            for row in load.told:
                row.mail, row.attempts, row.address = load.mail, attempts, letters.shown_address(row)
        _note_attempts([row for load in loads for row in load.told])
        why = "the next message says how it stands"
        work.outcome.skipped += _move(outdated, DeliveryState.SKIPPED, why=why)


_ATTEMPTS = """
UPDATE portfolio_delivery d SET mail_id = n.mail, attempts = n.attempts, address = n.address
FROM unnest(%s::bigint[], %s::bigint[], %s::int[], %s::text[]) AS n(id, mail, attempts, address)
WHERE d.id = n.id
"""


def _note_attempts(rows: Sequence[Delivery]) -> None:
    """Keep each row's message, where it goes and how often that was tried, in one statement."""
    with connection.cursor() as cursor:
        columns = ([getattr(row, name) for row in rows] for name in ("pk", "mail_id", "attempts", "address"))
        cursor.execute(_ATTEMPTS, list(columns))


def _unmake(rows: Sequence[Delivery]) -> None:
    """Drop the messages that surely nobody has: the next try writes how things stand by then."""
    made = {row.mail_id for row in rows if row.mail_id is not None}
    Mail.objects.filter(pk__in=made, may_have_arrived=False).delete()


# Sending ----------------------------------------------------------------------------------------------------


def _send(work: _Pass, sender: Sender, load: _Load) -> None:
    told = load.told
    # Nobody reads how it was after how it is.
    if any((row.recipient_id, row.alert_id) in work.stuck for row in told):
        _unmake(told)
        _postpone(work, told, TryLater("an earlier message of this thread was not accepted yet"))
        return
    if work.clock() >= work.leased_until - LONGEST_MESSAGE:
        return  # we were too slow: somebody else may take over before it would be sent
    try:
        sender.send(letters.letter_of(load.mail, told[0]))
    except Refused as error:
        _give_up(work, told, error)
    except TryLater as error:
        if not error.certain:
            Mail.objects.filter(pk=load.mail.pk).update(may_have_arrived=True)
        _unmake(told)
        _postpone(work, told, error)
        if error.whole:
            raise
    else:
        work.accepted += [(row, work.clock()) for row in told]


# What came of it --------------------------------------------------------------------------------------------


def _is_time_to_write(work: _Pass) -> bool:
    if not work.accepted:
        return False
    return len(work.accepted) >= WRITTEN_TOGETHER or work.clock() - work.accepted[0][1] >= WRITTEN_WITHIN


def _settle(work: _Pass) -> None:
    """Write which mails were accepted, see Note [Outcomes together]."""
    rows, work.accepted = [row for row, _ in work.accepted], []
    if not rows:
        return
    marked = [row for row in rows if row.channel == Channel.EMAIL and row.recipient.refused_at is not None]
    # One transaction: an address is good again because of mails that count as sent.
    with transaction.atomic():
        now = work.clock()
        work.outcome.sent += _move(
            [row.pk for row in rows], DeliveryState.SENT, sent_at=now, last_error="", held=""
        )
        if marked:
            audience.mark_accepted(recipient_ids=[row.recipient_id for row in marked])


def _postpone(work: _Pass, rows: Sequence[Delivery], error: NotSent, *, counted: bool = True) -> None:
    """Try again later, or give up what is too old. `counted`: this attempt stands on the rows already."""
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
    if rows:
        log.warning("not sent, tried again later", count=len(rows), error=said)


def _give_up(work: _Pass, told: Sequence[Delivery], error: Refused) -> None:
    now, said = work.clock(), str(error)[:500]
    work.outcome.dead += _move([row.pk for row in told], DeliveryState.DEAD, why=said, last_error=said)
    first = told[0]
    if first.channel == Channel.EMAIL:
        audience.mark_refused(recipient_id=first.recipient_id, address=first.address, why=said, now=now)
    log.error("refused for good", recipient=first.recipient_id, channel=first.channel, error=said)


def _ours(work: _Pass, rows: Sequence[Delivery]) -> list[Delivery]:
    """Return the rows that this pass holds still."""
    held = Delivery.objects.filter(
        pk__in=[row.pk for row in rows], lease=work.lease, state=DeliveryState.CLAIMED
    )
    ids = set(held.values_list("pk", flat=True))
    return [row for row in rows if row.pk in ids]
