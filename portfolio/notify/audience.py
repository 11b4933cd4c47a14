"""Who hears of what: rules, rights, mutes, quiet hours and the order of escalation.

The only writer of Recipient and Subscription. Nobody is told of an account that they may not see, whatever
the rules say: that is asked when something is queued, and again when it is sent.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, time
from zoneinfo import ZoneInfo

from django.contrib.auth.models import User
from django.db.models import Q

from core.api.auth import Principal, principal_of_user
from core.security.scopes import Scope
from portfolio.models import (
    WAITING,
    Alert,
    AlertKind,
    AlertTransition,
    AlertTransitionKind,
    Channel,
    Delivery,
    DeliveryState,
    Mute,
    Recipient,
    Severity,
    Subscription,
)
from portfolio.notify.quiet import quiet_until
from positions.queries import accounts_in_use

RANK = {severity: rank for rank, severity in enumerate(Severity)}
"""The most urgent first."""
FOLLOW_UPS = frozenset(
    {AlertTransitionKind.CLEARED, AlertTransitionKind.ACKNOWLEDGED, AlertTransitionKind.UNJUDGED}
)
"""Only for those who were told before: nobody hears that something is over that they never heard of."""
WITHOUT_ACCOUNT = frozenset({AlertKind.COMPONENT_DOWN, AlertKind.ALLOCATION, AlertKind.LIMIT})
DIGEST_AT = time(7, 0)


@dataclass(frozen=True, slots=True)
class Listener:
    """One person who is to hear something by one channel, by which rule (None: by escalation).

    `skipped` says why nothing is sent after all, `held_until` when quiet hours are over.
    """

    recipient: Recipient
    channel: str
    rule: Subscription | None
    skipped: str = ""
    held_until: datetime | None = None

    @property
    def key(self) -> tuple[int, str, int | None]:
        """Return what tells two ways apart: a person has one mailbox, and any number of messengers."""
        by_rule = self.rule.pk if self.rule and self.channel == Channel.MESSENGER else None
        return self.recipient.pk, self.channel, by_rule


def listeners(*, transition: AlertTransition, now: datetime) -> list[Listener]:
    """Return who hears of a transition, each way once."""
    alert = transition.alert
    told = _told_before(alert)
    found: dict[tuple[int, str, int | None], Listener] = {}
    if transition.kind == AlertTransitionKind.ESCALATED:
        candidates = _next_in_line(alert, {one.recipient.pk for one in told}) or told
    elif transition.kind in FOLLOW_UPS:
        candidates = told
    else:
        candidates = [*told, *_matching(alert, transition.severity)]
    muted = mute_of(alert=alert, now=now)
    for one in candidates:
        if may_hear(user=one.recipient.user, account_id=alert.account_id):
            found.setdefault(one.key, _judged(one, transition, muted, now))
    return list(found.values())


def may_hear(*, user: User, account_id: int | None) -> bool:
    """Return whether a person may hear of an account (None: of what is about no account)."""
    return is_heard(principal=principal_of_user(user), account_id=account_id)


def is_heard(*, principal: Principal, account_id: int | None) -> bool:
    """Return whether whoever this is may hear of an account; somebody without a role hears nothing."""
    if Scope.READ not in principal.scopes:
        return False
    return account_id is None or principal.may_see(account_id)


def mute_of(*, alert: Alert, now: datetime) -> Mute | None:
    """Return the mute that is in force for an alert and lasts longest."""
    mutes = Mute.objects.filter(kind=alert.kind, ended_at=None, until__gt=now, created_at__lte=now)
    return next((one for one in mutes.order_by("-until", "pk") if _covers(one, alert)), None)


def _covers(mute: Mute, alert: Alert) -> bool:
    return mute.covers(kind=alert.kind, subject=alert.subject, account=alert.account_id)


def rules() -> Iterable[Subscription]:
    """Return all rules that are on, with their recipients."""
    on = Subscription.objects.filter(ended_at=None).select_related("recipient__user").order_by("pk")
    return on.prefetch_related("recipient__user__groups")


def covers(*, rule: Subscription, kind: str, account_id: int | None, severity: str) -> bool:
    """Return whether a rule is about something. A test concerns every rule."""
    if kind == AlertKind.TEST:
        return True
    if rule.kinds and kind not in rule.kinds:
        return False
    if rule.accounts is not None and account_id is not None and account_id not in rule.accounts:
        return False
    return RANK[Severity(severity)] <= RANK[Severity(rule.min_severity)]


def zone_of(recipient: Recipient) -> ZoneInfo:
    return ZoneInfo(recipient.zone)


def _matching(alert: Alert, severity: str) -> list[Listener]:
    return [
        Listener(rule.recipient, rule.channel, rule)
        for rule in rules()
        if covers(rule=rule, kind=alert.kind, account_id=alert.account_id, severity=severity)
    ]


def _told_before(alert: Alert) -> list[Listener]:
    """Return who was told of an alert, or is about to be, as far as their rule is still on."""
    rows = (
        Delivery.objects.filter(alert=alert, state__in=[*WAITING, DeliveryState.SENT])
        .filter(Q(subscription=None) | Q(subscription__ended_at=None))
        .select_related("recipient__user", "subscription")
        .prefetch_related("recipient__user__groups")
        .order_by("pk")
    )
    return [Listener(row.recipient, row.channel, row.subscription) for row in rows]


def _next_in_line(alert: Alert, told: Collection[int]) -> list[Listener]:
    """Return the first in the order of escalation who was not told yet; [] when all were."""
    for recipient in escalation_order(account_id=alert.account_id):
        if recipient.pk not in told:
            return [Listener(recipient, Channel.EMAIL, None)]
    return []


def escalation_order(*, account_id: int | None) -> list[Recipient]:
    """Return who is told when nobody acknowledges, in order: by rank, else admins with an address."""
    ranked = Recipient.objects.exclude(escalation_rank=None).select_related("user")
    found = list(ranked.order_by("escalation_rank", "pk")) or [recipient_of(user) for user in _admins()]
    return [one for one in found if one.mail_address and may_hear(user=one.user, account_id=account_id)]


def _judged(one: Listener, transition: AlertTransition, muted: Mute | None, now: datetime) -> Listener:
    skipped, held = "", None
    if muted is not None and transition.alert.kind != AlertKind.TEST:
        skipped = f"muted until {muted.until:%-d %b %H:%M} UTC: {muted.reason}"
    elif one.channel == Channel.EMAIL and not one.recipient.mail_address:
        skipped = "this person has no e-mail address"
    elif transition.severity != Severity.CRITICAL and transition.alert.kind != AlertKind.TEST:
        recipient = one.recipient
        held = quiet_until(
            now=now, zone=zone_of(recipient), start=recipient.quiet_from, end=recipient.quiet_until
        )
    return Listener(one.recipient, one.channel, one.rule, skipped, held)


# Defaults, and what nobody hears ----------------------------------------------------------------------------


def recipient_of(user: User) -> Recipient:
    """Return how a person is told; made with the defaults at the first time."""
    found, _ = Recipient.objects.select_related("user").get_or_create(
        user=user, defaults={"digest_at": DIGEST_AT}
    )
    return found


def ensure_defaults(*, now: datetime) -> int:
    """Give each admin with an address a rule for critical and warnings, if there never was any rule."""
    if Subscription.objects.exists():
        return 0
    made = [
        Subscription(recipient=recipient_of(user), min_severity=Severity.WARNING, created_at=now)
        for user in _admins()
    ]
    return len(Subscription.objects.bulk_create(made))


def _admins() -> list[User]:
    users = User.objects.filter(is_active=True).exclude(email="").order_by("pk")
    return [user for user in users if Scope.ADMIN in principal_of_user(user).scopes]


def unheard(*, highest: dict[str, str] | None = None) -> list[str]:
    """Return which kinds nobody would be told of, in words: "Drift of main".

    `highest` is the highest severity that a kind has, where that is not critical: a rule that asks for more
    does not hear it. An address that a server refused counts as nobody.
    """
    usable = [rule for rule in rules() if _reaches_somebody(rule)]
    heard_by = {rule.pk: principal_of_user(rule.recipient.user) for rule in usable}
    accounts = dict(accounts_in_use(with_manual=False).values_list("pk", "label"))
    found = []
    for kind in AlertKind:
        if kind == AlertKind.TEST:
            continue
        severity = (highest or {}).get(kind, Severity.CRITICAL)
        ids = [None] if kind in WITHOUT_ACCOUNT or not accounts else list(accounts)
        deaf = [
            pk
            for pk in ids
            if not any(_hears(rule, heard_by[rule.pk], kind, pk, severity) for rule in usable)
        ]
        if deaf and len(deaf) == len(ids):
            found.append(kind.label)
        else:
            found += [f"{kind.label} of {accounts[pk]}" for pk in deaf if pk is not None]
    return found


def _hears(
    rule: Subscription, principal: Principal, kind: str, account_id: int | None, severity: str
) -> bool:
    heard = covers(rule=rule, kind=kind, account_id=account_id, severity=severity)
    return heard and is_heard(principal=principal, account_id=account_id)


def _reaches_somebody(rule: Subscription) -> bool:
    if rule.channel == Channel.MESSENGER:
        return True
    return bool(rule.recipient.mail_address) and not rule.recipient.is_refused


# Writing ----------------------------------------------------------------------------------------------------


def subscribe(*, subscription: Subscription) -> Subscription:
    """Keep a new rule."""
    subscription.save(force_insert=True)
    return subscription


def change(*, subscription: Subscription, fields: Collection[str]) -> None:
    """Write these fields of a rule as they are on it."""
    subscription.save(update_fields=fields)


def end(*, subscription_id: int, who: str, now: datetime) -> bool:
    """Turn a rule off; return whether it was on. Nothing is deleted."""
    on = Subscription.objects.filter(pk=subscription_id, ended_at=None)
    return bool(on.update(ended_at=now, ended_by=who[:150]))


def resume(*, subscription_id: int) -> bool:
    """Turn a rule on again; return whether it was off."""
    off = Subscription.objects.filter(pk=subscription_id, ended_at__isnull=False)
    return bool(off.update(ended_at=None, ended_by=""))


def save_recipient(*, recipient: Recipient, fields: Collection[str]) -> None:
    """Write these fields of a recipient as they are on it."""
    recipient.save(update_fields=fields)


def mark_refused(*, recipient_id: int, address: str, why: str, now: datetime) -> None:
    """Note that a server refused an address for good."""
    Recipient.objects.filter(pk=recipient_id).update(
        refused_address=address, refused_at=now, refused_why=why[:500]
    )


def mark_accepted(*, recipient_ids: Collection[int]) -> None:
    """Take the mark away from recipients to whose address a mail was accepted."""
    Recipient.objects.filter(pk__in=recipient_ids, refused_at__isnull=False).update(
        refused_address="", refused_at=None, refused_why=""
    )


def recrypt(*, subscription: Subscription, target: str) -> None:
    """Keep a messenger's address encrypted anew."""
    Subscription.objects.filter(pk=subscription.pk).update(target=target)
