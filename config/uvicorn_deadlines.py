"""A time limit for the headers of requests on uvicorn, which has none of its own.

It bounds what is between two requests (`--timeout-keep-alive`), yet a first line or a header may come a byte
a minute. Here a connection has IDLE_SECONDS until a request's first byte, and HEADER_SECONDS from there until
its headers are complete, as on Daphne (config.bodies); from then on `BoundedBodies` holds.

This leans on the inside of uvicorn: tests/config/test_bodies.py fails when that changes.
"""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from typing import Any

from config import bodies

# Each engine's module: its class, and the package that it needs.
_ENGINES = {
    "uvicorn.protocols.http.h11_impl": ("H11Protocol", "h11"),
    "uvicorn.protocols.http.httptools_impl": ("HttpToolsProtocol", "httptools"),
}
# Kept on a connection: the timer that ends it, and whether a request's first byte has come.
_DEADLINE, _BEGUN = "_plumbline_deadline", "_plumbline_begun"


def bound_uvicorn() -> None:
    """Make uvicorn's connections of this process end where headers are slow; nothing on other servers.

    Raises ImportError or AttributeError for a uvicorn that is another inside.
    """
    if "uvicorn" not in sys.modules:
        return
    for module, (name, needs) in _ENGINES.items():
        if importlib.util.find_spec(needs) is not None:
            _bound(getattr(importlib.import_module(module), name))


def _bound(protocol_class: Any) -> None:
    if hasattr(protocol_class, _DEADLINE):
        return
    setattr(protocol_class, _DEADLINE, None)
    setattr(protocol_class, _BEGUN, False)
    made, received = protocol_class.connection_made, protocol_class.data_received
    lost = protocol_class.connection_lost

    def connection_made(protocol: Any, transport: asyncio.Transport) -> None:
        made(protocol, transport)
        _arm(protocol, bodies.IDLE_SECONDS)

    def data_received(protocol: Any, data: bytes) -> None:
        if _awaits_headers(protocol) and not getattr(protocol, _BEGUN):
            setattr(protocol, _BEGUN, True)
            _arm(protocol, bodies.HEADER_SECONDS)
        before = protocol.cycle
        received(protocol, data)
        if protocol.cycle is not before or _is_handed_on(protocol):
            setattr(protocol, _BEGUN, False)
            _disarm(protocol)

    def connection_lost(protocol: Any, error: Exception | None) -> None:
        _disarm(protocol)
        lost(protocol, error)

    protocol_class.connection_made = connection_made
    protocol_class.data_received = data_received
    protocol_class.connection_lost = connection_lost


def _awaits_headers(protocol: Any) -> bool:
    """Return whether no request is under way on this connection."""
    return protocol.cycle is None or bool(protocol.cycle.response_complete)


def _is_handed_on(protocol: Any) -> bool:
    """Return whether a WebSocket's protocol has the connection now."""
    return protocol.transport.get_protocol() is not protocol


def _arm(protocol: Any, seconds: float) -> None:
    _disarm(protocol)
    loop = asyncio.get_running_loop()
    setattr(protocol, _DEADLINE, loop.call_later(seconds, protocol.transport.abort))


def _disarm(protocol: Any) -> None:
    timer = getattr(protocol, _DEADLINE)
    if timer is not None:
        timer.cancel()
        setattr(protocol, _DEADLINE, None)
