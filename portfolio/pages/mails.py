"""What was sent to whom and what came of it; one mail as it was sent, in a frame that can do nothing."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import BadRequest, PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_POST, require_safe

from core.api import paging
from core.api.auth import principal_of_user
from core.http.problems import Problem
from core.security.scopes import Scope, scopes_of_user
from portfolio.models import Delivery, DeliveryState, Mail
from portfolio.notify import email, outbox, state
from positions.models import Account

LEVELS = {
    DeliveryState.QUEUED: "watch",
    DeliveryState.CLAIMED: "watch",
    DeliveryState.SENT: "ok",
    DeliveryState.DEAD: "act",
    DeliveryState.SKIPPED: "",
}
PAGE = 50
FRAME_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'; sandbox"
"""A mail is shown with its own styles, and without scripts, forms, pictures and links that open."""


@require_safe
def mails(request: HttpRequest) -> HttpResponse:
    """Show deliveries with their fate, the newest first: one's own, and everybody's to an admin."""
    wanted = request.GET.get("state", "")
    rows = _visible(request).select_related("recipient__user", "alert", "transition", "subscription", "mail")
    if wanted in DeliveryState.values:
        rows = rows.filter(state=wanted)
    try:
        found, older = paging.page(rows, order=("-id",), cursor=request.GET.get("after"), limit=PAGE)
    except Problem as problem:
        raise BadRequest(str(problem)) from problem
    context: dict[str, Any] = {
        "deliveries": [(row, LEVELS[DeliveryState(row.state)]) for row in found],
        "older": older,
        "states": DeliveryState.choices,
        "wanted": wanted,
        "problems": state.problems(now=timezone.now()),
        "where": email.where(),
        "is_admin": _is_admin(request),
        "now": timezone.now(),
    }
    return render(request, "alerts/mails.html", context)


@require_safe
def mail(request: HttpRequest, pk: int) -> HttpResponse:
    """Show one mail: its headers, its text, and the HTML in a frame."""
    found = _mail(request, pk)
    carried = found.deliveries.select_related("alert", "transition").order_by("pk")
    return render(request, "alerts/mail.html", {"mail": found, "deliveries": carried, "now": timezone.now()})


@require_safe
@xframe_options_sameorigin
def mail_frame(request: HttpRequest, pk: int) -> HttpResponse:
    """Answer one mail's HTML by itself, for the frame of its page."""
    answer = HttpResponse(_mail(request, pk).html or "<p>This message has text only.</p>")
    answer["Content-Security-Policy"] = FRAME_POLICY
    return answer


@require_POST
def retry(request: HttpRequest, pk: int) -> HttpResponse:
    """Try a delivery again that was given up."""
    if not _is_admin(request):
        raise PermissionDenied("Trying again is for the admin role.")
    if outbox.retry(delivery_id=pk, now=timezone.now()):
        messages.success(request, "It is tried again.")
    else:
        messages.warning(request, "It was not given up: nothing to try again.")
    return redirect("alert-mails")


def _is_admin(request: HttpRequest) -> bool:
    return Scope.ADMIN in scopes_of_user(request.user)


def _visible(request: HttpRequest) -> QuerySet[Delivery]:
    """Return the deliveries that somebody may look at; never about an account they may not see."""
    if not isinstance(request.user, User):
        raise PermissionDenied("Only people with a login have mails.")
    rows = Delivery.objects.all()
    accounts = principal_of_user(request.user).accounts
    if accounts is not None:
        rows = rows.exclude(alert__account__isnull=False, alert__account__in=_others(accounts))
    return rows if _is_admin(request) else rows.filter(recipient__user=request.user)


def _others(accounts: frozenset[int]) -> QuerySet[Any]:
    return Account.objects.exclude(pk__in=accounts)


def _mail(request: HttpRequest, pk: int) -> Mail:
    visible = _visible(request).filter(mail=pk)
    found = (
        Mail.objects.filter(pk=pk, pk__in=visible.values("mail")).select_related("recipient__user").first()
    )
    if found is None:
        raise Http404(f"no mail {pk}")
    return found
