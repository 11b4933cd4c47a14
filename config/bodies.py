"""How large and how slow a request may be, before anything of ours reads it and before anybody is known.

Two nets. `BoundedBodies` wraps the application on any ASGI server: a body above MAX_BODY_BYTES is refused
(413) by its declared length, or as soon as more has come; one that takes longer than BODY_SECONDS gets 408.
`bound_daphne` does the same inside Daphne, which would read a whole body, of any size and slowness, before it
calls an application; there headers have HEADER_SECONDS too, as on uvicorn (config.uvicorn_deadlines).

Note [Deadlines]: Twisted starts a connection's time-out anew with every byte, so a byte a minute holds it for
ever. Without that restart the same time-out is a deadline for a whole request; each stage sets its own.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from daphne import http_protocol
from twisted.internet import reactor

MAX_BODY_BYTES = 3_000_000
IDLE_SECONDS = 30  # from a connection, or the last answer, to a request's first line
HEADER_SECONDS = 10
BODY_SECONDS = 30
LINGER_SECONDS = 2.0  # for a refused client to read why, while what it sends is thrown away

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

_WHY = {
    413: ("Content Too Large", "too_large", f"A request has at most {MAX_BODY_BYTES} bytes."),
    408: ("Request Timeout", "too_slow", f"A request's body must come within {BODY_SECONDS} s."),
}


def _problem(status: int) -> bytes:
    title, code, detail = _WHY[status]
    return json.dumps(
        {"type": "about:blank", "title": title, "status": status, "code": code, "detail": detail}
    ).encode()


class BoundedBodies:
    """An ASGI application in front of another one."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve a request whose body is small and quick enough; refuse others."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
        elif _declared(scope) > MAX_BODY_BYTES:
            await _refuse(send, 413)
        else:
            body = _Body(receive, send)
            await self._application(scope, body.receive, body.send)


def _declared(scope: Message) -> int:
    """Return the declared length of a body; 0 where there is none, or the server let nonsense pass."""
    value = next((value for name, value in scope.get("headers", ()) if name == b"content-length"), b"0")
    return int(value) if value.isdigit() and len(value) < 20 else MAX_BODY_BYTES + value.isdigit()


async def _refuse(send: Send, status: int) -> None:
    body = _problem(status)
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class _Body:
    """The body of one request as it arrives: counted, and within its time."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self._size = 0
        self._complete = self._refused = False
        self._until = asyncio.get_running_loop().time() + BODY_SECONDS

    async def receive(self) -> Message:
        """Return the next message; of a refused request only that it has ended."""
        if self._complete:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError:
            return await self._end(408)
        self._size += len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        return await self._end(413) if self._size > MAX_BODY_BYTES else message

    async def send(self, message: Message) -> None:
        if not self._refused:
            await self._send(message)

    async def _end(self, status: int) -> Message:
        self._complete = self._refused = True
        await _refuse(self._send, status)
        return {"type": "http.disconnect"}


class BoundedRequest(http_protocol.WebRequest):  # type: ignore[misc]  # Daphne has no types
    """Daphne's request, with a deadline for each stage, and refused where its body is too large."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._size, self._refused = 0, False
        self.channel.setTimeout(HEADER_SECONDS)

    def gotLength(self, length: int | None) -> None:  # noqa: N802  Twisted's name
        """Take note that the headers are complete."""
        self.channel.setTimeout(BODY_SECONDS)
        super().gotLength(min(length or 0, MAX_BODY_BYTES))
        if length is not None and length > MAX_BODY_BYTES:
            self._refuse()

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802  Twisted's name
        """Keep a part of the body, unless there is too much of it."""
        self._size += len(data)
        if self._refused:
            return
        if self._size > MAX_BODY_BYTES:
            self._refuse()
        else:
            super().handleContentChunk(data)

    def requestReceived(self, *request: Any) -> None:  # noqa: N802  Twisted's name
        """Hand a whole request on."""
        if not self._refused:
            super().requestReceived(*request)

    def _refuse(self) -> None:
        """Answer 413 at once; the connection ends when the client has had time to read that."""
        self._refused = True
        body = _problem(413)
        head = (
            "HTTP/1.1 413 Content Too Large\r\nContent-Type: application/problem+json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        transport = self.channel.transport
        transport.write(head.encode() + body)
        if hasattr(transport, "loseWriteConnection"):
            transport.loseWriteConnection()
        reactor.callLater(LINGER_SECONDS, transport.abortConnection)  # type: ignore[arg-type]  # wrong in Twisted


def bound_daphne() -> None:
    """Make Daphne's servers of this process use these requests. Call it before one serves."""
    if http_protocol.WebRequest is BoundedRequest:
        return
    http_protocol.WebRequest = BoundedRequest
    build = http_protocol.HTTPFactory.buildProtocol

    def bounded(factory: Any, address: Any) -> Any:
        protocol = build(factory, address)
        protocol.timeOut = IDLE_SECONDS
        protocol._channel.resetTimeout = lambda: None  # see Note [Deadlines]
        return protocol

    http_protocol.HTTPFactory.buildProtocol = bounded
