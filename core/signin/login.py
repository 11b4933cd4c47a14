"""Signing in and out: one form for everybody, slowed for whoever guesses; sessions that end; confirmations.

django-axes pauses a name from an address after a few wrong passwords. That stops neither one address that
tries one password on many names, nor many addresses that try one name: each address has so many tries,
whatever the names (core.api.rates), and each name waits longer after every try, whatever the addresses
(core.signin.guesses). Without Redis nobody signs in: guesses could not be counted.
"""

from __future__ import annotations

import math
from typing import Any
from urllib.parse import quote

import redis
from django import forms
from django.conf import settings
from django.contrib.auth import authenticate
from django.contrib.auth import views as auth_views
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views import View

from core.api import rates
from core.security.security_events import Act, by_request, record
from core.signin import guesses, sessions
from core.tracing.addresses import client_network

CONFIRMED_AT = "confirmed_at"


class Login(auth_views.LoginView):
    """The login page. A try that succeeds does not count."""

    redirect_authenticated_user = True

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        refused = _refused(request, request.POST.get("username", ""))
        return refused or super().post(request, *args, **kwargs)

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        name = form.get_user().get_username()
        # One transaction: no session without its security event.
        with transaction.atomic():
            answer = super().form_valid(form)
            moment = timezone.now().timestamp()
            # Of this moment, so that the first page need not write them (core.http.middleware.SessionAges).
            self.request.session.update({CONFIRMED_AT: moment, "began_at": moment, "renewed_at": moment})
            record(Act.SIGNED_IN, who=f"user:{name}", subject=name)
        _forget_try(self.request, name)
        return answer

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        _record_failure(form.cleaned_data.get("username", "") if form.is_bound else "")
        return super().form_invalid(form)


def _refused(request: HttpRequest, name: str) -> HttpResponse | None:
    """Count a try; return the page that refuses it, if it is one too many or cannot be counted."""
    of_address = _take_of_address(request, 1)
    if of_address is None:
        return not_now(request)
    if not of_address.allowed:
        _record_pause("an address tries too often")
        return too_many_tries(request, seconds=of_address.retry_after)
    seconds = guesses.take(name=name, network=client_network(request))
    if seconds is None:
        return not_now(request)
    if seconds:
        _record_pause(_known(name))
        return _paused(request, name=name, seconds=seconds)
    return None


def _forget_try(request: HttpRequest, name: str) -> None:
    """Count a try that succeeded no longer. Without Redis it stays counted, which harms nobody."""
    try:
        guesses.succeeded(name=name, network=client_network(request))
        _take_of_address(request, -1)
    except redis.RedisError as error:
        guesses.log.warning("a successful try stays counted", error=str(error))


def _take_of_address(request: HttpRequest, wanted: int) -> rates.RateDecision | None:
    """At most LOGIN_TRIES_PER_ADDRESS at once, and as many again within LOGIN_LOCK_SECONDS."""
    tries = settings.LOGIN_TRIES_PER_ADDRESS
    refill = settings.AXES_COOLOFF_TIME.total_seconds()
    limit = rates.Limit(per_minute=max(1, math.ceil(60 * tries / refill)), burst=tries)
    return rates.take(name=f"login:{client_network(request)}", limit=limit, wanted=wanted)


def _known(name: str) -> str:
    """Return a name that somebody has; what else is typed into that field may be a password."""
    known = "\0" not in name and User.objects.filter(username=name).exists()
    return name if known else "an unknown name"


def _record_failure(name: str) -> None:
    # One transaction, because `record` asks for one: a failure changes nothing else.
    with transaction.atomic():
        record(Act.SIGN_IN_FAILED, who="nobody", subject=_known(name))


def _record_wrong_confirmation(request: HttpRequest) -> None:
    """Keep that somebody in a session did not know the password of the person whose session it is."""
    # One transaction, because `record` asks for one: a failure changes nothing else.
    with transaction.atomic():
        name = request.user.get_username()
        record(Act.CONFIRMATION_FAILED, who=by_request(request), subject=name)


def _record_pause(subject: str) -> None:
    # One transaction, because `record` asks for one: a refusal changes nothing else.
    with transaction.atomic():
        record(Act.SIGN_IN_PAUSED, who="nobody", subject=subject)


def too_many_tries(request: HttpRequest, *, seconds: int) -> HttpResponse:
    """The page for an address that has tried too much, whatever names it gave."""
    return _locked(request, {"address_wide": True}, seconds)


def _paused(request: HttpRequest, *, name: str, seconds: int) -> HttpResponse:
    """The page for a name that was tried too much, whatever the addresses."""
    return _locked(request, {"name_wide": True, "username": name}, seconds)


def _locked(request: HttpRequest, context: dict[str, Any], seconds: int) -> HttpResponse:
    answer = render(request, "locked_out.html", context | {"wait_seconds": seconds}, status=429)
    answer["Retry-After"] = str(seconds)
    return answer


def not_now(request: HttpRequest) -> HttpResponse:
    """The page while Redis is away: guesses cannot be counted, so nobody may try."""
    answer = render(request, "sign_in_closed.html", status=503)
    answer["Retry-After"] = "10"
    return answer


def locked_out(
    request: HttpRequest, original: HttpResponse | None = None, credentials: dict[str, Any] | None = None
) -> HttpResponse:
    """What django-axes answers for a name that is paused (AXES_LOCKOUT_CALLABLE)."""
    seconds = int(settings.AXES_COOLOFF_TIME.total_seconds())
    name = (credentials or {}).get("username") or request.POST.get("username", "")
    _record_pause(_known(name))
    return _locked(request, {"failure_limit": settings.AXES_FAILURE_LIMIT, "username": name}, seconds)


class Logout(auth_views.LogoutView):
    """Ends this session."""

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        # One transaction: the session ends with its security event.
        with transaction.atomic():
            if request.user.is_authenticated:
                record(Act.SIGNED_OUT, who=by_request(request), subject=request.user.get_username())
            return super().post(request, *args, **kwargs)


class PasswordChange(auth_views.PasswordChangeView):
    """Changes one's own password; all other sessions end with it. A wrong old one counts as a guess."""

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        refused = _refused(request, request.user.get_username())
        return refused or super().post(request, *args, **kwargs)

    def form_invalid(self, form: PasswordChangeForm) -> HttpResponse:
        if "old_password" in form.errors:
            _record_wrong_confirmation(self.request)
        else:
            _forget_try(self.request, form.user.get_username())
        return super().form_invalid(form)

    def form_valid(self, form: PasswordChangeForm) -> HttpResponse:
        # One transaction: no new password without its security event.
        with transaction.atomic():
            record(Act.PASSWORD_CHANGED, who=by_request(self.request), subject=form.user.get_username())
            answer = super().form_valid(form)
        _forget_try(self.request, form.user.get_username())
        return answer


# Confirmations ----------------------------------------------------------------------------------------------


def is_confirmed(request: HttpRequest) -> bool:
    """Return whether the password was given in this session within CONFIRMATION_SECONDS."""
    at = request.session.get(CONFIRMED_AT, 0)
    return bool(timezone.now().timestamp() - at < settings.CONFIRMATION_SECONDS)


def confirmation_url(request: HttpRequest) -> str:
    """Return where the password is asked for again, and from where one comes back."""
    return f"{reverse('confirm')}?next={quote(request.get_full_path())}"


class ConfirmationForm(forms.Form):
    """The password of whoever is signed in."""

    password = forms.CharField(
        strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "current-password", "autofocus": True})
    )


class Confirmation(View):
    """Asks for the password again before keys and people are changed: a browser left open is not enough."""

    def get(self, request: HttpRequest) -> HttpResponse:
        return self._page(request, ConfirmationForm())

    def post(self, request: HttpRequest) -> HttpResponse:
        name = request.user.get_username()
        if refused := _refused(request, name):
            return refused
        form = ConfirmationForm(request.POST)
        if form.is_valid():
            user = authenticate(request, username=name, password=form.cleaned_data["password"])
            if user is not None and user.pk == request.user.pk:
                return self._confirmed(request, name)
            form.add_error("password", "This is not your password.")
            _record_wrong_confirmation(request)
        return self._page(request, form)

    def _confirmed(self, request: HttpRequest, name: str) -> HttpResponse:
        # One transaction: the confirmation is kept with its security event.
        with transaction.atomic():
            request.session[CONFIRMED_AT] = timezone.now().timestamp()
            record(Act.CONFIRMED, who=by_request(request), subject=name)
        _forget_try(request, name)
        wanted = request.GET.get("next", "")
        inside = url_has_allowed_host_and_scheme(
            wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
        )
        return redirect(wanted if inside else "admin:index")

    def _page(self, request: HttpRequest, form: ConfirmationForm) -> HttpResponse:
        return render(request, "registration/confirm.html", {"form": form})


# Sessions ---------------------------------------------------------------------------------------------------


class OtherSessions(View):
    """Ends all other sessions of whoever is signed in; their sockets close within seconds."""

    def get(self, request: HttpRequest) -> HttpResponse:
        return render(request, "registration/sessions.html", {"others": len(self._others(request))})

    def post(self, request: HttpRequest) -> HttpResponse:
        # One transaction: the sessions end with their security event.
        with transaction.atomic():
            others = self._others(request)
            Session.objects.filter(pk__in=others).delete()
            record(
                Act.SESSIONS_ENDED,
                who=by_request(request),
                subject=request.user.get_username(),
                after={"ended": len(others)},
            )
        return render(request, "registration/sessions.html", {"others": 0, "ended": len(others)})

    def _others(self, request: HttpRequest) -> list[str]:
        own = request.session.session_key
        return [row.pk for row in sessions.of(request.user.pk) if row.pk != own]
