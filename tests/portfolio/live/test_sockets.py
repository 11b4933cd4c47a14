"""One browser's socket: what stands in line, and that it blocks nobody."""

import asyncio
from functools import partial
from types import SimpleNamespace

from websockets.protocol import Protocol, Side

from portfolio.live.sockets import MOST_WAITING, TOO_SLOW, Socket, SocketFilter
from portfolio.live.wires import DaphneWire, FrameBatch, wire_of


class Wire:
    """What a server makes of our messages; while `full` a send waits, as uvicorn's do."""

    def __init__(self):
        self.sent = []
        self.room = asyncio.Event()
        self.room.set()

    async def send(self, message):
        await self._wait()
        self.sent.append(message.get("text", message.get("code")))

    async def _wait(self):
        if not self.room.is_set():
            await self.room.wait()


def socket(send):
    return Socket(send, SocketFilter(None, "named"), "user:vera", ("session", "s"))


class TestASocket:
    async def test_sends_at_once(self):
        wire = Wire()
        socket(wire.send).send_one(b"a")
        assert wire.sent == ["a"]

    async def test_that_must_wait_keeps_frames_in_order(self):
        wire = Wire()
        slow = socket(wire.send)
        wire.room.clear()
        for text in "abc":
            slow.send_one(text.encode())
        assert wire.sent == []
        wire.room.set()
        await asyncio.sleep(0.01)
        slow.send_one(b"d")
        assert wire.sent == ["a", "b", "c", "d"]

    async def test_that_must_wait_keeps_nobody_waiting(self):
        stalled, quick = Wire(), Wire()
        stalled.room.clear()
        sockets = [socket(stalled.send), socket(quick.send)]
        for n in range(100):
            for one in sockets:
                one.send_one(str(n).encode())
        assert len(quick.sent) == 100

    async def test_that_is_too_far_behind_is_closed(self):
        wire = Wire()
        slow = socket(wire.send)
        wire.room.clear()
        for _ in range(12):
            slow.send_one(b"x" * (MOST_WAITING // 10))
        assert slow.closed
        wire.room.set()
        await asyncio.sleep(0.01)
        assert wire.sent[-1] == TOO_SLOW
        assert len(wire.sent) <= 2

    async def test_whose_client_has_gone_is_left_alone(self):
        async def gone(message):
            raise ConnectionResetError

        one = socket(gone)
        one.send_one(b"a")
        one.send_one(b"b")
        assert one.closed

    async def test_whose_client_goes_while_it_waits_is_left_alone(self):
        wire = Wire()

        async def breaks(message):
            await wire._wait()
            raise ConnectionResetError

        wire.room.clear()
        one = socket(breaks)
        one.send_one(b"a")
        wire.room.set()
        await asyncio.sleep(0.01)
        assert one.closed

    async def test_closed_twice_is_closed_once(self):
        wire = Wire()
        one = socket(wire.send)
        one.close(4001)
        one.close(4002)
        one.send_one(b"late")
        assert wire.sent == [4001]


class TestFrames:
    def test_are_written_as_rfc_6455_asks(self):
        """RFC 6455, 5.2: final and text, no mask, the length in 7 bits, 16 or 64."""
        assert FrameBatch([b"ab"]).wire == b"\x81\x02ab"
        assert FrameBatch([b"a" * 126]).wire[:4] == b"\x81\x7e\x00\x7e"
        assert FrameBatch([b"a" * 65536]).wire[:10] == b"\x81\x7f" + (65536).to_bytes(8, "big")

    def test_that_leave_together_are_read_one_by_one(self):
        client = Protocol(Side.CLIENT)
        texts = [b"x" * size for size in (0, 1, 125, 126, 65535, 65536)]
        client.receive_data(FrameBatch(texts).wire)
        assert [frame.data for frame in client.events_received()] == texts


class DaphneTransport:
    """Twisted's: `room` is what the kernel takes at once, the rest is kept for who does not read."""

    def __init__(self, *, held=0, room=0):
        self.dataBuffer, self.offset = b"x" * held, 0
        self._tempDataBuffer, self._tempDataLen = [], 0
        self.connected, self.disconnecting = True, False
        self.room, self.sent, self.cut = room, b"", False

    def writeSomeData(self, data):  # noqa: N802  Twisted's name
        taken, self.room = data[: self.room], max(0, self.room - len(data))
        self.sent += taken
        return len(taken)

    def write(self, data):
        self._tempDataBuffer.append(data)
        self._tempDataLen += len(data)

    def abortConnection(self):  # noqa: N802  Twisted's name
        self.cut = True


class DaphneProtocol:
    STATE_OPEN = 3

    def __init__(self, **given):
        self.state = self.STATE_OPEN
        self.transport = DaphneTransport(**given)


def on_daphne(**given):
    """The socket, its transport, and what was given to ASGI's send instead."""
    asked = []

    async def reply(protocol, message):
        asked.append(message)

    protocol = DaphneProtocol(**given)
    one = socket(partial(reply, protocol))
    one._wire = DaphneWire(protocol)
    return one, protocol, asked


class TestASocketOnDaphne:
    async def test_sends_frames_straight_to_the_kernel(self):
        one, protocol, asked = on_daphne(room=1000)
        one.send_one(b"ab")
        assert (protocol.transport.sent, asked, one.unsent()) == (b"\x81\x02ab", [], 0)

    async def test_keeps_in_order_what_the_kernel_does_not_take(self):
        one, protocol, _ = on_daphne(room=3)
        one.send_one(b"ab")
        one.send_one(b"c")
        assert (
            protocol.transport.sent + b"".join(protocol.transport._tempDataBuffer) == b"\x81\x02ab\x81\x01c"
        )

    async def test_counts_what_the_transport_keeps(self):
        assert on_daphne(held=123)[0].unsent() == 123

    async def test_that_is_not_open_is_left_to_the_server(self):
        one, protocol, asked = on_daphne(room=1000)
        protocol.state = 1
        one.send_one(b"ab")
        assert (protocol.transport.sent, asked) == (b"", [{"type": "websocket.send", "text": "ab"}])

    async def test_that_does_not_read_is_cut_off(self):
        one, protocol, asked = on_daphne(held=MOST_WAITING + 1)
        assert one.is_behind()
        one.close(TOO_SLOW)
        assert (protocol.transport.cut, asked) == (True, [])

    async def test_on_a_slow_line_gets_its_time_for_a_large_snapshot(self):
        one, _, _ = on_daphne()
        one.start_over(b"x" * MOST_WAITING * 3)
        assert not one.is_behind()
        one.send_one(b"x" * MOST_WAITING)
        assert one.is_behind()

    async def test_must_keep_up_after_the_snapshot(self):
        one, protocol, _ = on_daphne()
        one.start_over(b"x" * MOST_WAITING * 3)
        protocol.transport = DaphneTransport()
        assert not one.is_behind()
        one.send_one(b"x" * (MOST_WAITING + 1))
        assert one.is_behind()


class TestASocketOnUvicorn:
    async def test_whose_send_waits_for_room_is_cut_off(self):
        """Its close would wait for the same room."""
        wire, cut = Wire(), []
        one = socket(wire.send)
        one._wire = SimpleNamespace(
            write=lambda data: False, unsent=lambda: 70_000, cut=lambda: cut.append(1)
        )
        wire.room.clear()
        for _ in range(12):
            one.send_one(b"x" * (MOST_WAITING // 10))
        assert (one.closed, cut) == (True, [1])


class TestTheWire:
    def test_of_an_unknown_server_is_not_touched(self):
        async def send(message): ...

        assert wire_of(send) is None
        assert wire_of(partial(send, DaphneProtocol())) is None  # not Twisted's own transport: TLS, or a test
