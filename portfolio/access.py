"""Who may open a socket, and whether that still stands: a session, an API key, or a one-time ticket for one.

A key is never taken from a URL, which ends up in logs. A browser that cannot set headers sends it as a
subprotocol (`key.…`), or asks for a ticket over HTTP, which opens one socket within 30 s.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from http.cookies import CookieError, SimpleCookie
from importlib import import_module
from typing import Any

import orjson
from channels.db import database_sync_to_async
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare

from core.auth import Principal, principal_of_key, principal_of_user
from core.models import ApiKey, find_key
from core.redis import client
from core.scopes import Scope, scopes_of_user

TICKET_SECONDS = 30
KEY, TICKET, PROTOCOL = "key.", "ticket.", "plumbline"

Credential = tuple[str, Any]


@dataclass(frozen=True, slots=True)
class Admitted:
    """Who it is, and what must go on standing. `subprotocol` is the one to accept, if any was offered."""

    principal: Principal
    credential: Credential
    subprotocol: str | None


def issue_ticket(*, principal: Principal, session_key: str | None) -> str:
    """Return a ticket for whoever calls; it opens one socket within TICKET_SECONDS."""
    ticket = secrets.token_urlsafe(32)
    credential = ["session", session_key] if principal.key is None else _key_credential(principal.key)
    client().set(f"plumbline:ticket:{ticket}", orjson.dumps(credential), ex=TICKET_SECONDS)
    return ticket


@database_sync_to_async  # type: ignore[untyped-decorator]
def admit(scope: dict[str, Any], now: datetime) -> Admitted | None:
    """Return who a socket's handshake speaks for, if they may read; a wrong key is nobody."""
    headers = {name.decode("latin1"): value.decode("latin1") for name, value in scope.get("headers", [])}
    offered = scope.get("subprotocols", [])
    accepted = PROTOCOL if PROTOCOL in offered else None
    credential: Credential | None = None
    if "x-api-key" in headers:
        credential = _of_key(headers["x-api-key"], now)
    elif key := _after(offered, KEY):
        credential = _of_key(key, now)
        accepted = accepted or KEY + key
    elif ticket := _after(offered, TICKET):
        credential = _of_ticket(ticket)
        accepted = accepted or TICKET + ticket
    else:
        credential = _of_cookie(headers.get("cookie", ""))
    principal = None if credential is None else _principal(credential, now)
    if principal is None or credential is None or Scope.READ not in principal.scopes:
        return None
    return Admitted(principal, credential, accepted)


def _after(offered: Iterable[str], prefix: str) -> str | None:
    return next((one.removeprefix(prefix) for one in offered if one.startswith(prefix)), None)


def _of_key(text: str, now: datetime) -> Credential | None:
    key = find_key(text, now=now)
    return None if key is None else _key_credential(key)


def _key_credential(key: ApiKey) -> Credential:
    """With what it may see: a key whose accounts are changed must come in again."""
    return "key", (key.pk, *sorted(key.accounts))


def _of_ticket(ticket: str) -> Credential | None:
    kept = client().getdel(f"plumbline:ticket:{ticket}")
    if not isinstance(kept, bytes):
        return None
    kind, value = orjson.loads(kept)
    return kind, tuple(value) if kind == "key" else value


def _of_cookie(text: str) -> Credential | None:
    cookies: SimpleCookie = SimpleCookie()
    try:
        cookies.load(text)
    except CookieError:
        return None
    morsel = cookies.get(settings.SESSION_COOKIE_NAME)
    return None if morsel is None else ("session", morsel.value)


def _principal(credential: Credential, now: datetime) -> Principal | None:
    kind, value = credential
    if kind == "key":
        key = ApiKey.objects.select_related("owner").filter(pk=value[0]).first()
        return principal_of_key(key) if key is not None and _usable(key, now) else None
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(value)
    user = get_user(request)
    return principal_of_user(user) if isinstance(user, User) and user.is_authenticated else None


def _usable(key: ApiKey, now: datetime) -> bool:
    return key.is_usable(now=now) and (key.owner is None or key.owner.is_active)


@database_sync_to_async  # type: ignore[untyped-decorator]
def standing(credentials: Collection[Credential], *, now: datetime) -> set[Credential]:
    """Return those that still stand and may still read: a few queries, and one for each person."""
    keys = {value[0] for kind, value in credentials if kind == "key"}
    found: set[Credential] = {
        _key_credential(key)
        for key in ApiKey.objects.select_related("owner").filter(pk__in=keys)
        if _usable(key, now) and Scope.READ in key.scopes
    }
    wanted = {value for kind, value in credentials if kind == "session"}
    sessions = {
        row.session_key: row.get_decoded()
        for row in Session.objects.filter(session_key__in=wanted, expire_date__gt=now)
    }
    ids = {str(data[SESSION_KEY]) for data in sessions.values() if data.get(BACKEND_SESSION_KEY)}
    people = {
        str(user.pk): user
        for user in User.objects.filter(pk__in=ids, is_active=True)
        if Scope.READ in scopes_of_user(user)
    }
    for session_key, data in sessions.items():
        user = people.get(str(data.get(SESSION_KEY)))
        if user is not None and constant_time_compare(
            data.get(HASH_SESSION_KEY, ""), user.get_session_auth_hash()
        ):
            found.add(("session", session_key))
    return found & set(credentials)
