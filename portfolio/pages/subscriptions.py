"""One's own subscriptions, and the page that turns one off without a login."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST

from core.api.auth import principal_of_user
from core.security.scopes import Scope, scopes_of_user
from core.security.security_events import by_request
from portfolio.models import AlertKind, Channel, Recipient, Severity, Subscription
from portfolio.notify import audience, email, letters, outbox, state
from portfolio.pages.subscription_form import RecipientForm, SubscriptionForm
from positions.models import Account
from positions.queries import accounts_in_use


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule in words."""

    row: Subscription
    by: str
    kinds: str
    accounts: str
    severity: str


@require_http_methods(["GET", "HEAD", "POST"])
def subscriptions(request: HttpRequest) -> HttpResponse:
    """Show one's own rules; a POST saves how one is told, or adds a rule."""
    recipient = _recipient(request)
    about_me = RecipientForm(instance=recipient)
    new_rule = _rule_form(request, recipient)
    if request.method == "POST" and request.POST.get("form") == "recipient":
        about_me = RecipientForm(request.POST, instance=recipient)
        if about_me.is_valid():
            audience.save_recipient(recipient=about_me.instance, fields=RecipientForm.Meta.fields)
            messages.success(request, "Saved.")
            return redirect("alert-subscriptions")
        recipient = _recipient(request)
    elif request.method == "POST":
        new_rule = _rule_form(request, recipient, request.POST)
        if new_rule.is_valid():
            audience.subscribe(subscription=new_rule.subscription(created_at=timezone.now()))
            messages.success(request, "You are subscribed.")
            return redirect("alert-subscriptions")
    return _page(request, recipient, about_me, new_rule)


def _page(
    request: HttpRequest, recipient: Recipient, about_me: RecipientForm, new_rule: SubscriptionForm
) -> HttpResponse:
    found = Subscription.objects.filter(recipient=recipient).order_by("ended_at", "pk")
    accounts = {account.pk: account.label for account in _accounts(request)}
    shown = [in_words(rule, accounts) for rule in found]
    context: dict[str, Any] = {
        "recipient": recipient,
        "about_me": about_me,
        "new_rule": new_rule,
        "rules": [one for one in shown if one.row.is_on],
        "ended": [one for one in shown if not one.row.is_on],
        "unheard": state.nobody(),
        "where": email.where(),
        "reaches_people": email.leaves_the_house(),
        "now": timezone.now(),
    }
    bad = about_me.errors or new_rule.errors
    return render(request, "alerts/subscriptions.html", context, status=422 if bad else 200)


def in_words(rule: Subscription, accounts: dict[int, str]) -> Rule:
    """Return a rule as people read it. An account that this person may not see is not named."""
    by = rule.target_label if rule.channel == Channel.MESSENGER else Channel.EMAIL.label
    kinds = ", ".join(AlertKind(kind).label for kind in rule.kinds) or "every kind"
    if rule.accounts is None:
        named = "every account"
    else:
        named = (
            ", ".join(accounts[pk] for pk in rule.accounts if pk in accounts) or "no account that you may see"
        )
    severity = Severity(rule.min_severity)
    least = f"{severity.label} only" if severity == Severity.CRITICAL else f"{severity.label} and worse"
    return Rule(rule, by, kinds, named, least)


@require_POST
def switch(request: HttpRequest, pk: int) -> HttpResponse:
    """Turn one of one's own rules off or on, or send a test by it."""
    recipient = _recipient(request)
    rule = Subscription.objects.filter(pk=pk, recipient=recipient).select_related("recipient__user").first()
    if rule is None:
        raise Http404(f"no rule {pk} of yours")
    match request.POST.get("act"):
        case "end":
            turn_off(rule_id=rule.pk, who=by_request(request))
            messages.success(request, "Turned off. It is kept below, and can be turned on again.")
        case "resume":
            audience.resume(subscription_id=rule.pk)
            messages.success(request, "Turned on again.")
        case "test":
            outbox.queue_test(subscription=rule, now=timezone.now())
            messages.success(request, "A test is on its way: its fate stands in the list of mails.")
            return redirect("alert-mails")
    return redirect("alert-subscriptions")


def turn_off(*, rule_id: int, who: str) -> bool:
    """Turn a rule off, and what waits for it; return whether it was on."""
    done = audience.end(subscription_id=rule_id, who=who, now=timezone.now())
    outbox.end_waiting(subscription_id=rule_id)
    return done


@login_not_required
@csrf_exempt  # a mail program posts here without a page of ours: the signed token is what allows it
@require_http_methods(["GET", "HEAD", "POST"])
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """Turn off the rule that a mail's signed link names, by a POST; a GET only shows what it would do.

    Mail programs and scanners follow links by GET: those must change nothing. RFC 8058 makes them POST.
    """
    rule_id = letters.rule_of(token)
    rule = None if rule_id is None else Subscription.objects.filter(pk=rule_id).first()
    if rule is None:
        return render(request, "alerts/unsubscribe.html", {"unknown": True}, status=404)
    if request.method == "POST":
        turn_off(rule_id=rule.pk, who="the link in a mail")
        rule.refresh_from_db()
    accounts = dict(Account.objects.filter(pk__in=rule.accounts or []).values_list("pk", "label"))
    context = {"rule": in_words(rule, accounts), "done": request.method == "POST"}
    return render(request, "alerts/unsubscribe.html", context)


def _recipient(request: HttpRequest) -> Recipient:
    if not isinstance(request.user, User):
        raise PermissionDenied("Only people with a login have subscriptions.")
    return audience.recipient_of(request.user)


def _accounts(request: HttpRequest) -> list[Account]:
    seen = principal_of_user(request.user).accounts if isinstance(request.user, User) else frozenset()
    found = accounts_in_use(with_manual=False).order_by("label", "pk")
    return list(found if seen is None else found.filter(pk__in=seen))


def _rule_form(request: HttpRequest, recipient: Recipient, data: Any = None) -> SubscriptionForm:
    return SubscriptionForm(
        data,
        prefix="rule",
        accounts=_accounts(request),
        recipient=recipient,
        may_messenger=Scope.CORRECT in scopes_of_user(request.user),
    )
