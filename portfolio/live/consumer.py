"""The socket at /api/v1/positions/stream: who may connect, and its commands. Frames come from the hub.

A plain ASGI application: Channels' consumers cost a thread hop per message and a receive loop per socket.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import redis
import structlog
from django.conf import settings
from django.db import DatabaseError
from django.http.request import split_domain_port, validate_host
from django.utils import timezone

from portfolio.live import access, frames
from portfolio.live.hub import NO_LONGER_ALLOWED, TooManySockets, hub
from portfolio.live.sockets import Socket, SocketFilter

Receive = Callable[[], Awaitable[dict[str, Any]]]

NOT_SIGNED_IN = NO_LONGER_ALLOWED
# Codes from 4000 only: Daphne sends no others, and would leave the socket open.
FOREIGN_ORIGIN, TOO_LONG, TOO_MANY, TOO_OFTEN, TRY_LATER = 4403, 4413, 4429, 4430, 4503
LONGEST = 4096  # characters of a command
COMMANDS_A_SECOND = 20

log = structlog.get_logger("stream")


async def position_stream(scope: dict[str, Any], receive: Receive, send: Any) -> None:
    """Serve one socket until it closes."""
    await receive()  # websocket.connect
    if not _same_origin(scope):
        # A browser's script can read the code only of a socket that was accepted.
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": FOREIGN_ORIGIN})
        return
    # Before access is checked: a server gives up on a handshake after seconds, and a thousand may come.
    await send({"type": "websocket.accept", "subprotocol": access.subprotocol_of(scope)})
    try:
        admission = await access.admit(scope, timezone.now())
    except (DatabaseError, redis.RedisError) as error:
        log.warning("a socket could not be admitted", error=str(error))
        await send({"type": "websocket.close", "code": TRY_LATER})
        return
    if admission is None:
        await send({"type": "websocket.close", "code": NOT_SIGNED_IN})
        return
    query = parse_qs(scope.get("query_string", b"").decode("latin1"))
    chosen = query.get("format", [frames.NAMED])[0]
    form = chosen if chosen in frames.FORMATS else frames.NAMED
    who, accounts = admission.principal.name, admission.principal.accounts
    socket = Socket(send, SocketFilter(accounts, form), who, admission.credential)
    try:
        await hub().join(socket, resume=query.get("resume", [None])[0])
        await _Commands(socket, may_see=accounts).serve(receive)
    except TooManySockets:
        socket.close(TOO_MANY)
    finally:
        hub().leave(socket)


def _same_origin(scope: dict[str, Any]) -> bool:
    """Return whether our own page or a program connects: browsers always send an origin, programs none.

    An origin is scheme, host and port: another program on this host may serve pages too. Ours is the one that
    the handshake came to, or one of CSRF_TRUSTED_ORIGINS.
    """
    headers = dict(reversed(scope.get("headers", [])))
    origin, host = (headers.get(name) for name in (b"origin", b"host"))
    if origin is None:
        return True
    told = _origin(origin.decode("latin1"))
    if told is None:
        return False
    if told in {_origin(trusted) for trusted in settings.CSRF_TRUSTED_ORIGINS}:
        return True
    name = "" if host is None else host.decode("latin1")
    allowed = settings.ALLOWED_HOSTS or ["localhost", "127.0.0.1", "[::1]"]
    if not validate_host(split_domain_port(name)[0], allowed):
        return False
    scheme = "https" if settings.HTTPS or scope.get("scheme") == "wss" else "http"
    return told == _origin(f"{scheme}://{name}")


def _origin(text: str) -> tuple[str, str, int] | None:
    """Return scheme, host and port of an origin; None for what is none, such as "null"."""
    try:
        parts = urlsplit(text)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (ValueError, KeyError):
        return None
    return (parts.scheme, parts.hostname, port) if parts.hostname else None


class _Commands:
    """The commands of one client: ping, resume, subscribe, get_summary."""

    def __init__(self, socket: Socket, *, may_see: frozenset[int] | None) -> None:
        self._socket = socket
        self._may_see = may_see
        self._second = 0
        self._this_second = 0
        self._known: dict[str, Callable[[dict[str, Any]], None]] = {
            "ping": self._ping,
            "resume": self._resume,
            "subscribe": self._subscribe,
            "get_summary": self._get_summary,
        }

    async def serve(self, receive: Receive) -> None:
        """Answer commands until the socket closes."""
        while not self._socket.closed:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            if len(text or message.get("bytes") or "") > LONGEST:
                self._socket.close(TOO_LONG)
            elif self._is_too_often():
                self._socket.close(TOO_OFTEN)
            else:
                self._take(text)

    def _is_too_often(self) -> bool:
        second = int(time.monotonic())
        self._this_second = 1 if second != self._second else self._this_second + 1
        self._second = second
        return self._this_second > COMMANDS_A_SECOND

    def _take(self, text: str | None) -> None:
        try:
            command = orjson.loads(text or "")
            known = self._known.get(command["type"])
        except (ValueError, TypeError, KeyError):
            self._answer("error", code="malformed", detail='send JSON such as {"type": "ping"}')
            return
        if known is None:
            names = ", ".join(self._known)
            self._answer("error", code="unknown-command", detail=f"{command['type']!r} is none of: {names}")
            return
        known(command)

    def _ping(self, command: dict[str, Any]) -> None:
        self._socket.pinged_at = time.monotonic()
        self._answer("pong", server_time=timezone.now().isoformat(), token=hub().token)

    def _resume(self, command: dict[str, Any]) -> None:
        token = command.get("token")
        hub().show(self._socket, resume=token if isinstance(token, str) else None)

    def _subscribe(self, command: dict[str, Any]) -> None:
        """Choose the format, and some of the accounts that may be seen (null: all of them)."""
        form = command.get("format", self._socket.filter.format)
        accounts = command.get("accounts")
        good = accounts is None or (isinstance(accounts, list) and all(type(one) is int for one in accounts))
        if form not in frames.FORMATS or not good:
            detail = f"accounts is a list of ids or null, format one of {', '.join(frames.FORMATS)}"
            self._answer("error", code="malformed", detail=detail)
            return
        wanted = self._may_see
        if accounts is not None:
            wanted = frozenset(accounts) if wanted is None else wanted & frozenset(accounts)
        hub().move(self._socket, SocketFilter(wanted, form))

    def _get_summary(self, command: dict[str, Any]) -> None:
        totals = hub().totals.of(self._socket.filter.accounts)
        self._answer("portfolio", token=hub().token, totals=totals)

    def _answer(self, kind: str, **parts: Any) -> None:
        self._socket.send_one(frames.frame(kind, **parts))
