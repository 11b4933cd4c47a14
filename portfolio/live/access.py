"""Who may open a socket, and whether they still may: by a session, an API key, or a one-time ticket.

A key is never taken from a URL, which ends up in logs. A browser that cannot set headers sends it as a
subprotocol (`key.…`, beside `plumbline`, with which we answer), or asks for a ticket over HTTP, which opens
one socket within 30 s.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from http.cookies import CookieError, SimpleCookie
from importlib import import_module
from typing import Any
from weakref import WeakKeyDictionary

from channels.db import DatabaseSyncToAsync
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.signing import BadSignature, TimestampSigner
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare

from core.api.auth import Principal, principal_of_key, principal_of_user
from core.models import ApiKey, find_key, keys_with_roles
from core.security.scopes import Scope, scopes_of_user
from core.security.security_events import Act, record_refusal
from core.signin import sessions
from core.storage.redis import client

TICKET_SECONDS = 30
ADMISSION_SECONDS = 0.5
KEY, TICKET, PROTOCOL = "key.", "ticket.", "plumbline"

Credential = tuple[str, Any]


@dataclass(frozen=True, slots=True)
class Admission:
    """Who connected, and the credential that must stay valid."""

    principal: Principal
    credential: Credential


def issue_ticket(*, principal: Principal, session_key: str | None) -> str:
    """Return a ticket for the caller; it opens one socket within TICKET_SECONDS."""
    ticket = secrets.token_urlsafe(32)
    if principal.key is not None:
        claim: dict[str, Any] = {"key": list(_key_credential(principal.key)[1])}
    else:
        claim = {"person": principal.user and principal.user.pk, "session": _digest(session_key or "")}
    place = _digest(ticket)
    signed = _signer().sign_object(claim | {"ticket": place})
    client().set(f"plumbline:ticket:{place}", signed, ex=TICKET_SECONDS)
    return ticket


def _signer() -> TimestampSigner:
    """Redis is not believed: who reads it learns no ticket and no session, and who writes it makes none."""
    return TimestampSigner(salt="plumbline.stream-ticket")


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def subprotocol_of(scope: dict[str, Any]) -> str | None:
    """Return the subprotocol to accept, if any was offered: browsers want one of theirs back."""
    offered = scope.get("subprotocols", [])
    if PROTOCOL in offered:
        return PROTOCOL
    # A ticket is worth nothing once it was used; a key would be written down by what stands in between.
    return next((one for one in offered if one.startswith(TICKET)), None)


async def admit(scope: dict[str, Any], now: datetime) -> Admission | None:
    """Return who opens a socket, by its handshake; None if they may not read, or the key is wrong.

    Sockets that come with the same key or session at the same moment, as all do after a cut, are looked up
    once; the answer is good for ADMISSION_SECONDS.
    """
    secret = _secret(scope)
    if secret is None:
        return None
    kind, _ = secret
    loop = asyncio.get_running_loop()
    waiting = _lookups.setdefault(loop, {})
    for old in [key for key, (_, until) in waiting.items() if until < loop.time()]:
        del waiting[old]
    if kind == "ticket":
        admission: Admission | None = await _look_up(secret, now)
        return admission  # for this socket alone
    if secret not in waiting:
        lookup = asyncio.ensure_future(_look_up(secret, now))
        waiting[secret] = lookup, loop.time() + ADMISSION_SECONDS
        lookup.add_done_callback(lambda done: waiting.pop(secret, None) if done.exception() else None)
    return await asyncio.shield(waiting[secret][0])


_Secret = tuple[str, str]
_Lookups = dict[_Secret, tuple["asyncio.Future[Admission | None]", float]]
_lookups: WeakKeyDictionary[asyncio.AbstractEventLoop, _Lookups] = WeakKeyDictionary()


def _secret(scope: dict[str, Any]) -> _Secret | None:
    """Return the secret in a handshake: ("key" | "ticket" | "session", text)."""
    headers = {name.decode("latin1"): value.decode("latin1") for name, value in scope.get("headers", [])}
    offered = scope.get("subprotocols", [])
    if "x-api-key" in headers:
        return "key", headers["x-api-key"]
    if key := _after(offered, KEY):
        return "key", key
    if ticket := _after(offered, TICKET):
        return "ticket", ticket
    cookie = _of_cookie(headers.get("cookie", ""))
    return None if cookie is None else ("session", cookie)


def _in_own_threads(read: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    """Run reads in threads of their own, as any request may hold the one that requests share."""
    wrapped: Callable[..., Awaitable[Any]] = DatabaseSyncToAsync(
        read, thread_sensitive=False, executor=_readers
    )
    return wrapped


_readers = ThreadPoolExecutor(2, "access")


@_in_own_threads
def _look_up(secret: _Secret, now: datetime) -> Admission | None:
    kind, text = secret
    credential: Credential | None = ("session", text)
    if kind == "key":
        credential = _of_key(text, now)
    elif kind == "ticket":
        credential = _of_ticket(text)
    principal = None if credential is None else _principal(credential, now)
    if principal is None or credential is None or Scope.READ not in principal.scopes:
        return None
    return Admission(principal, credential)


def _after(offered: Iterable[str], prefix: str) -> str | None:
    return next((one.removeprefix(prefix) for one in offered if one.startswith(prefix)), None)


def _of_key(text: str, now: datetime) -> Credential | None:
    key = find_key(text, now=now)
    return None if key is None else _key_credential(key)


def _key_credential(key: ApiKey) -> Credential:
    """Return a credential that includes the accounts: a key whose accounts change must connect again."""
    return "key", (key.pk, key.accounts is None, *sorted(key.accounts or ()))


def _of_ticket(ticket: str) -> Credential | None:
    place = _digest(ticket)
    kept = client().getdel(f"plumbline:ticket:{place}")
    if not isinstance(kept, bytes):
        return None
    try:
        claim = _signer().unsign_object(kept.decode(), max_age=TICKET_SECONDS)
    except (BadSignature, UnicodeDecodeError):
        reason = "a ticket in Redis is too old, or not signed by us"
        record_refusal(Act.TICKET_REFUSED, who="nobody", subject="socket", reason=reason)
        return None
    if claim["ticket"] != place:
        return None
    if "key" in claim:
        return "key", tuple(claim["key"])
    own = (row for row in sessions.of(claim["person"]) if _digest(row.session_key) == claim["session"])
    session = next(own, None)
    return None if session is None else ("session", session.session_key)


def _of_cookie(text: str) -> str | None:
    cookies: SimpleCookie = SimpleCookie()
    try:
        cookies.load(text)
    except CookieError:
        return None
    morsel = cookies.get(settings.SESSION_COOKIE_NAME)
    return None if morsel is None else morsel.value


def _principal(credential: Credential, now: datetime) -> Principal | None:
    kind, value = credential
    if kind == "key":
        key = keys_with_roles().filter(pk=value[0]).first()
        return principal_of_key(key) if key is not None and key.is_usable(now=now) else None
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(value)
    user = get_user(request)
    return principal_of_user(user) if isinstance(user, User) and user.is_authenticated else None


@_in_own_threads
def still_valid(credentials: Collection[Credential], *, now: datetime) -> set[Credential]:
    """Return the credentials that may still read: a few queries, and one for each person."""
    keys = {value[0] for kind, value in credentials if kind == "key"}
    valid: set[Credential] = {
        _key_credential(key)
        for key in keys_with_roles().filter(pk__in=keys)
        if key.is_usable(now=now) and Scope.READ in key.granted()
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
            valid.add(("session", session_key))
    return valid & set(credentials)
