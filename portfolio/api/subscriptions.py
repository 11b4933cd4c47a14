"""One's own subscriptions over HTTP: who hears what, by which channel."""

from __future__ import annotations

from typing import Annotated, Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router, Schema, Status
from pydantic import Field

from core.api.auth import Principal, needs, principal_of
from core.api.idempotency import IdempotencyKey, KeyText, once
from core.http.inputs import Id, Text
from core.http.problems import Problem
from core.security.scopes import Scope
from portfolio.models import AlertKind, Channel, Recipient, Severity, Subscription
from portfolio.notify import audience, messenger, outbox
from positions.api.schemas import Instant
from positions.queries import accounts_in_use

router = Router(tags=["alerts"], auth=needs(Scope.READ))
AREA = "subscriptions"
MAX_ACCOUNTS = 500


class SubscriptionOut(Schema):
    """One rule. `kinds` [] is every kind, `accounts` null every account that the person may see.

    `target` says by which service, never its address. A rule that is off is kept.
    """

    id: int
    channel: Channel
    kinds: list[AlertKind]
    accounts: list[int] | None
    min_severity: Severity
    target: str
    on: bool
    ended_by: str
    created_at: Instant


class SubscriptionList(Schema):
    items: list[SubscriptionOut]


class SubscriptionIn(Schema):
    """A new rule. `target` is the address of a messenger, as `apprise` writes it; empty for e-mail."""

    channel: Channel = Channel.EMAIL
    kinds: Annotated[list[AlertKind], Field(max_length=len(AlertKind))] = []
    accounts: Annotated[list[Id], Field(max_length=MAX_ACCOUNTS)] | None = None
    min_severity: Severity = Severity.WARNING
    target: Annotated[Text, Field(max_length=messenger.MAX_URL)] = ""


class SubscriptionChange(Schema):
    """What is to be changed; what is left out stays. `on` false turns the rule off, and deletes nothing."""

    kinds: Annotated[list[AlertKind], Field(max_length=len(AlertKind))] | None = None
    accounts: Annotated[list[Id], Field(max_length=MAX_ACCOUNTS)] | None = None
    min_severity: Severity | None = None
    on: bool | None = None


class TestSent(Schema):
    """A test on its way; its fate stands in the list of mails."""

    delivery_id: int


@router.get("/alerts/subscriptions", response=SubscriptionList, summary="Your rules: who hears what")
def subscription_list(request: HttpRequest) -> dict[str, Any]:
    """The rules of the person who calls, or who owns the key; those that are off, too."""
    principal = _person(request)
    rules = Subscription.objects.filter(recipient__user=principal.user).order_by("pk")
    return {"items": [_out(rule, principal) for rule in rules]}


@router.post("/alerts/subscriptions", response={201: SubscriptionOut}, summary="Subscribe")
def subscribe(
    request: HttpRequest, body: SubscriptionIn, idempotency_key: KeyText | None = IdempotencyKey
) -> Status[dict[str, Any]]:
    """Add a rule. A key needs the scope `admin` for it; accounts are those that the caller may see."""
    principal = _writer(request)
    _check_accounts(principal, body.accounts)
    return Status(
        201,
        once(request, area=AREA, key=idempotency_key, body=body, act=lambda: _subscribe(principal, body)),
    )


@router.patch(
    "/alerts/subscriptions/{int:pk}", response=SubscriptionOut, summary="Change a rule, or turn it off"
)
def change(request: HttpRequest, pk: Id, body: SubscriptionChange) -> dict[str, Any]:
    rule = _rule(_writer(request), pk)
    given = body.model_dump(exclude_unset=True)
    on = given.pop("on", None)
    if "accounts" in given:
        _check_accounts(principal_of(request), given["accounts"])
    fields = [name for name, value in given.items() if value is not None or name == "accounts"]
    for name in fields:
        setattr(rule, name, given[name])
    if fields:
        audience.change(subscription=rule, fields=fields)
    if on is True:
        audience.resume(subscription_id=rule.pk)
    elif on is False:
        audience.end(subscription_id=rule.pk, who=principal_of(request).name, now=timezone.now())
        outbox.end_waiting(subscription_id=rule.pk)
    rule.refresh_from_db()
    return _out(rule, principal_of(request))


@router.post("/alerts/subscriptions/{int:pk}/test", response={202: TestSent}, summary="Send a test by a rule")
def send_test(
    request: HttpRequest, pk: Id, idempotency_key: KeyText | None = IdempotencyKey
) -> Status[dict[str, Any]]:
    rule = _rule(_writer(request), pk)

    def act() -> dict[str, Any]:
        return {"delivery_id": outbox.queue_test(subscription=rule, now=timezone.now()).pk}

    return Status(202, once(request, area=AREA, key=idempotency_key, body=None, act=act))


def _subscribe(principal: Principal, body: SubscriptionIn) -> dict[str, Any]:
    recipient = _recipient(principal)
    target = _target(principal, body)
    if body.channel == Channel.EMAIL and not recipient.mail_address:
        raise Problem(422, "no_address", "This person has no e-mail address: see /alerts/subscriptions/.")
    rule = Subscription(
        recipient=recipient,
        channel=body.channel,
        kinds=[kind.value for kind in dict.fromkeys(body.kinds)],
        accounts=None if body.accounts is None else sorted(set(body.accounts)),
        min_severity=body.min_severity,
        target=messenger.encrypted(target) if target else "",
        target_label=messenger.label_of(target) if target else "",
        created_at=timezone.now(),
    )
    return _out(audience.subscribe(subscription=rule), principal)


def _target(principal: Principal, body: SubscriptionIn) -> str:
    if body.channel == Channel.EMAIL:
        if body.target:
            raise Problem(422, "bad_target", "An e-mail rule has no target: leave it out.")
        return ""
    if Scope.CORRECT not in principal.scopes:
        raise Problem(403, "missing_scope", "A messenger needs the scope 'correct': figures leave.")
    try:
        return messenger.checked(body.target)
    except messenger.AddressRefused as error:
        raise Problem(422, "bad_target", str(error)) from error


def _person(request: HttpRequest) -> Principal:
    principal = principal_of(request)
    if principal.user is None:
        raise Problem(403, "no_person", "This key has no owner: subscriptions belong to people.")
    return principal


def _writer(request: HttpRequest) -> Principal:
    """Return who may change rules: a person their own; a key with `admin` those of its owner."""
    principal = _person(request)
    if principal.key is not None and Scope.ADMIN not in principal.scopes:
        detail = f"Changing who is told needs the scope 'admin' for a key, which {principal.name} has not."
        raise Problem(403, "missing_scope", detail)
    return principal


def _recipient(principal: Principal) -> Recipient:
    if principal.user is None:
        raise Problem(403, "no_person", "This key has no owner: subscriptions belong to people.")
    return audience.recipient_of(principal.user)


def _rule(principal: Principal, pk: int) -> Subscription:
    rules = Subscription.objects.filter(pk=pk, recipient__user=principal.user)
    rule = rules.select_related("recipient__user").first()
    if rule is None:
        raise Problem(404, "subscription_not_found", f"You have no subscription {pk}.")
    return rule


def _check_accounts(principal: Principal, accounts: list[int] | None) -> None:
    """Refuse accounts that the caller may not see, as if they did not exist."""
    if accounts is None:
        if principal.accounts is not None:
            raise Problem(422, "bad_accounts", "This key sees some accounts only: name them in `accounts`.")
        return
    known = set(accounts_in_use(with_manual=True).values_list("pk", flat=True))
    unknown = [pk for pk in accounts if pk not in known or not principal.may_see(pk)]
    if unknown:
        raise Problem(422, "bad_accounts", f"There is no account {unknown[0]}.")


def _out(rule: Subscription, principal: Principal) -> dict[str, Any]:
    """Return a rule; accounts that the caller may not see are left out of it."""
    accounts = None if rule.accounts is None else [pk for pk in rule.accounts if principal.may_see(pk)]
    return {
        "id": rule.pk,
        "channel": str(rule.channel),
        "kinds": list(rule.kinds),
        "accounts": accounts,
        "min_severity": str(rule.min_severity),
        "target": rule.target_label,
        "on": rule.is_on,
        "ended_by": rule.ended_by,
        "created_at": rule.created_at.isoformat(),
    }
