"""Finished WebSocket frames, written to the server's transport as they are.

Note [Finished frames]: what the server sends is not masked, so a text frame is the same bytes for everybody:
a head of 2 to 10 bytes and the text. They are made once and handed to each socket's transport; of ASGI's
`send`, which makes them anew for each socket, 5 to 10 µs are saved, and several frames leave in one write.
A frame that is not compressed is valid also where compression was agreed (RFC 7692, 6.1). Only servers that
are known here are written to like this, and only while the socket is open and has room; everything else goes
through `send` as usual, and so does closing.

This leans on the inside of Twisted, Daphne and uvicorn: tests/portfolio/live/test_wires.py fails when that
changes, and STREAM_DIRECT_WRITES=off does without it.
"""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import struct
from collections.abc import Sequence
from typing import Any, Protocol

from django.conf import settings

TEXT_AT_ONCE = 0x81  # the whole message in one frame of text


class FrameBatch:
    """Text frames that are sent together: `texts` one by one, `wire` as the bytes of all of them."""

    __slots__ = ("texts", "wire")

    def __init__(self, texts: Sequence[bytes]) -> None:
        self.texts = texts
        self.wire = b"".join([part for text in texts for part in (_head(len(text)), text)])

    def __len__(self) -> int:
        return len(self.wire)


def _head(size: int) -> bytes:
    if size < 126:
        return bytes((TEXT_AT_ONCE, size))
    if size < 1 << 16:
        return bytes((TEXT_AT_ONCE, 126)) + size.to_bytes(2, "big")
    return bytes((TEXT_AT_ONCE, 127)) + size.to_bytes(8, "big")


class Wire(Protocol):
    """A server's side of one socket."""

    def write(self, data: bytes) -> bool:
        """Send finished frames; return False, with nothing sent, where ASGI's `send` must do it."""
        ...

    def unsent(self) -> int:
        """Return the bytes that are kept for a client that does not read."""
        ...

    def cut(self) -> None:
        """End the connection at once."""
        ...


class DaphneWire:
    """Twisted's transport, written to at once: its own `write` waits for the next turn of the loop."""

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol

    def write(self, data: bytes) -> bool:
        """See Wire."""
        protocol = self._protocol
        transport = protocol.transport
        if protocol.state != protocol.STATE_OPEN or not transport.connected or transport.disconnecting:
            return False
        if not transport._tempDataBuffer and transport.offset == len(transport.dataBuffer):
            sent = transport.writeSomeData(data)
            if isinstance(sent, int):  # else the connection is lost, which the transport finds out by itself
                if sent == len(data):
                    return True
                data = data[sent:]
        transport.write(data)
        return True

    def unsent(self) -> int:
        """See Wire."""
        transport = self._protocol.transport
        held = len(getattr(transport, "dataBuffer", b"")) - int(getattr(transport, "offset", 0))
        return held + int(getattr(transport, "_tempDataLen", 0))

    def cut(self) -> None:
        """See Wire."""
        self._protocol.transport.abortConnection()


class UvicornWire:
    """The transport under uvicorn's `websockets-sansio`; uvicorn pauses writing when it is full."""

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol

    def write(self, data: bytes) -> bool:
        """See Wire."""
        protocol = self._protocol
        ready = protocol.handshake_complete and protocol.writable.is_set()
        if not ready or protocol.close_sent or protocol.disconnected or protocol.transport.is_closing():
            return False
        protocol.transport.write(data)
        return True

    def unsent(self) -> int:
        """See Wire."""
        return int(self._protocol.transport.get_write_buffer_size())

    def cut(self) -> None:
        """See Wire."""
        transport = self._protocol.transport
        # Reset rather than ended: else the kernel would keep what was not read until it is.
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(_handle(transport))) as same:
            same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()


def _handle(transport: Any) -> int:
    return int(transport.get_extra_info("socket").fileno())


def wire_of(send: Any) -> Wire | None:
    """Return the wire behind an ASGI `send`; None where the server is not known, or encrypts by itself."""
    if not settings.STREAM_DIRECT_WRITES:
        return None
    if isinstance(send, functools.partial) and send.args:
        protocol = send.args[0]
        if type(getattr(protocol, "transport", None)).__module__ == "twisted.internet.tcp":
            return DaphneWire(protocol)
        return None
    protocol = getattr(send, "__self__", None)
    if type(protocol).__name__ == "WebSocketsSansIOProtocol":
        return UvicornWire(protocol)
    return None
