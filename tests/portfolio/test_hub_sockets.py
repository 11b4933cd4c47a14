"""One browser's socket: what stands in line, and that it blocks nobody."""

import asyncio
from functools import partial

from portfolio.sockets import MOST_WAITING, TOO_SLOW, Audience, Socket


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
    return Socket(send, Audience(None, "named"), "user:vera", ("session", "s"))


class TestASocket:
    async def test_sends_at_once(self):
        wire = Wire()
        socket(wire.send).send("a")
        assert wire.sent == ["a"]

    async def test_that_must_wait_keeps_frames_in_order(self):
        wire = Wire()
        slow = socket(wire.send)
        wire.room.clear()
        for text in "abc":
            slow.send(text)
        assert wire.sent == []
        wire.room.set()
        await asyncio.sleep(0.01)
        slow.send("d")
        assert wire.sent == ["a", "b", "c", "d"]

    async def test_that_must_wait_keeps_nobody_waiting(self):
        stalled, quick = Wire(), Wire()
        stalled.room.clear()
        sockets = [socket(stalled.send), socket(quick.send)]
        for n in range(100):
            for one in sockets:
                one.send(str(n))
        assert len(quick.sent) == 100

    async def test_that_is_too_far_behind_is_closed(self):
        wire = Wire()
        slow = socket(wire.send)
        wire.room.clear()
        for _ in range(12):
            slow.send("x" * (MOST_WAITING // 10))
        assert slow.closed
        wire.room.set()
        await asyncio.sleep(0.01)
        assert wire.sent[-1] == TOO_SLOW
        assert len(wire.sent) <= 2

    async def test_whose_other_side_has_gone_is_left_alone(self):
        async def gone(message):
            raise ConnectionResetError

        one = socket(gone)
        one.send("a")
        one.send("b")
        assert one.closed

    async def test_whose_other_side_goes_while_it_waits_is_left_alone(self):
        wire = Wire()

        async def breaks(message):
            await wire._wait()
            raise ConnectionResetError

        wire.room.clear()
        one = socket(breaks)
        one.send("a")
        wire.room.set()
        await asyncio.sleep(0.01)
        assert one.closed

    async def test_closed_twice_is_closed_once(self):
        wire = Wire()
        one = socket(wire.send)
        one.close(4001)
        one.close(4002)
        one.send("late")
        assert wire.sent == [4001]


class Transport:
    """Twisted's: what is kept for a browser that does not read."""

    def __init__(self, held):
        self.dataBuffer, self.offset, self._tempDataLen = b"x" * held, 0, 0
        self.cut = False

    def abortConnection(self):  # noqa: N802  Twisted's name
        self.cut = True


class Protocol:
    def __init__(self, held):
        self.transport = Transport(held)


class TestOnDaphne:
    async def _reply(self, protocol, message):
        raise AssertionError("a close that would wait behind a megabyte is not sent")

    async def test_what_the_transport_keeps_is_counted(self):
        assert socket(partial(self._reply, Protocol(123))).unsent() == 123

    async def test_one_that_does_not_read_is_cut_off(self):
        protocol = Protocol(MOST_WAITING + 1)
        socket(partial(self._reply, protocol)).close(TOO_SLOW)
        assert protocol.transport.cut
