"""What direct writes lean on inside the servers' libraries: each test fails when a library changes it."""

from __future__ import annotations

import asyncio
import functools

import pytest
from autobahn.websocket.protocol import WebSocketProtocol
from daphne.server import Server
from daphne.ws_protocol import WebSocketProtocol as DaphneProtocol
from twisted.internet import tcp
from twisted.internet.abstract import FileDescriptor
from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from portfolio.live.wires import DaphneWire, FrameBatch, UvicornWire, wire_of

FRAMES = FrameBatch([b"ab"]).wire


class Descriptor(FileDescriptor):
    """Twisted's own buffers over a kernel that takes `room` bytes."""

    def __init__(self, room):
        super().__init__(reactor=self)
        self.connected, self.room, self.kernel = 1, room, b""

    def writeSomeData(self, data):  # noqa: N802  Twisted's name
        written = bytes(data)[: self.room]
        self.room -= len(written)
        self.kernel += written
        return len(written)

    def addWriter(self, descriptor): ...  # noqa: N802  Twisted's name

    def removeWriter(self, descriptor): ...  # noqa: N802  Twisted's name


class OpenProtocol:
    STATE_OPEN = WebSocketProtocol.STATE_OPEN

    def __init__(self, room):
        self.state = self.STATE_OPEN
        self.transport = Descriptor(room)


class TestTwistedsTransport:
    def test_takes_frames_at_once_while_nothing_waits(self):
        protocol = OpenProtocol(room=100)
        assert DaphneWire(protocol).write(FRAMES)
        assert (protocol.transport.kernel, DaphneWire(protocol).unsent()) == (FRAMES, 0)

    def test_keeps_what_the_kernel_does_not_take_and_sends_it_in_order(self):
        protocol = OpenProtocol(room=3)
        wire = DaphneWire(protocol)
        assert wire.write(b"abcd")
        assert wire.write(b"ef")
        assert (protocol.transport.kernel, wire.unsent()) == (b"abc", 3)
        protocol.transport.room = 2
        protocol.transport.doWrite()
        assert (protocol.transport.kernel, wire.unsent()) == (b"abcde", 1)
        assert wire.write(b"g"), "behind what waits"
        protocol.transport.room = 10
        protocol.transport.doWrite()
        protocol.transport.doWrite()
        assert (protocol.transport.kernel, wire.unsent()) == (b"abcdefg", 0)

    def test_of_a_socket_has_what_a_wire_calls(self):
        assert tcp.Server.__module__ == "twisted.internet.tcp", "how wire_of knows it"
        for name in ("writeSomeData", "write", "abortConnection"):
            assert callable(getattr(tcp.Server, name)), name


class TestDaphne:
    def test_names_the_open_state_as_autobahn_does(self):
        assert DaphneProtocol.STATE_OPEN == WebSocketProtocol.STATE_OPEN

    async def test_hands_its_protocol_to_the_application_with_send(self):
        received = []

        async def application(scope, receive, send):
            received.append(send)

        server = Server(application=application, endpoints=["tcp:0"])
        protocol = object()
        server.connections = {protocol: {}}
        server.create_application(protocol, {"type": "websocket"})
        await server.connections[protocol]["application_instance"]
        (send,) = received
        assert isinstance(send, functools.partial)
        assert send.args[0] is protocol


class UvicornTransport(asyncio.Transport):
    def __init__(self):
        super().__init__()
        self.written = b""

    def write(self, data):
        self.written += data

    def is_closing(self):
        return False

    def get_write_buffer_size(self):
        return 7


@pytest.fixture
async def uvicorn_protocol():
    async def application(scope, receive, send): ...

    protocol = WebSocketsSansIOProtocol(Config(application), ServerState(), {})
    protocol.transport = UvicornTransport()
    return protocol


class TestUvicorn:
    async def test_is_known_by_the_send_it_gives_the_application(self, uvicorn_protocol):
        assert isinstance(wire_of(uvicorn_protocol.send), UvicornWire)

    async def test_is_written_to_only_between_the_handshake_and_the_close(self, uvicorn_protocol):
        wire = UvicornWire(uvicorn_protocol)
        assert not wire.write(FRAMES), "before the handshake"
        uvicorn_protocol.handshake_complete = True
        assert wire.write(FRAMES)
        uvicorn_protocol.close_sent = True
        assert not wire.write(FRAMES), "after the close"
        assert (uvicorn_protocol.transport.written, wire.unsent()) == (FRAMES, 7)

    async def test_is_not_written_to_while_its_transport_is_full(self, uvicorn_protocol):
        uvicorn_protocol.handshake_complete = True
        uvicorn_protocol.pause_writing()
        assert not UvicornWire(uvicorn_protocol).write(FRAMES)
        uvicorn_protocol.resume_writing()
        assert UvicornWire(uvicorn_protocol).write(FRAMES)


class TestTheSetting:
    async def test_off_leaves_every_server_to_write_by_itself(self, uvicorn_protocol, settings):
        settings.STREAM_DIRECT_WRITES = False
        assert wire_of(uvicorn_protocol.send) is None
