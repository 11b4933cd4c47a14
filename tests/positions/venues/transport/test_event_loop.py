"""The background loop that synchronous code reaches venues through."""

from __future__ import annotations

import asyncio
import os

import pytest

from positions.venues.base import Transient
from positions.venues.transport.event_loop import BackgroundLoop


async def answer() -> int:
    await asyncio.sleep(0)
    return 42


class TestTheBackgroundLoop:
    def test_runs_a_coroutine_and_gives_its_result(self) -> None:
        loop = BackgroundLoop()
        assert loop.run(answer()) == 42
        loop.close()

    def test_passes_an_error_on(self) -> None:
        async def fail() -> None:
            raise Transient("no")

        loop = BackgroundLoop()
        with pytest.raises(Transient):
            loop.run(fail())
        loop.close()

    def test_gives_up_after_its_time(self) -> None:
        loop = BackgroundLoop()
        with pytest.raises(Transient, match="no answer within"):
            loop.run(asyncio.sleep(5), timeout=0.05)
        loop.close()

    def test_a_timeout_of_the_work_itself_is_not_ours(self) -> None:
        async def fail() -> None:
            raise TimeoutError("theirs")

        loop = BackgroundLoop()
        with pytest.raises(TimeoutError, match="theirs"):
            loop.run(fail())
        loop.close()

    def test_closes_clients_on_the_loop_they_lived_on(self) -> None:
        loop = BackgroundLoop()
        seen: list[object] = []

        async def closer() -> None:
            seen.append(asyncio.get_running_loop())

        held = loop.loop
        loop.on_close(closer)
        loop.on_close(closer)
        loop.close()
        assert seen == [held]

    def test_refuses_to_wait_for_itself(self) -> None:
        loop = BackgroundLoop()

        async def nested() -> None:
            loop.run(answer())

        with pytest.raises(RuntimeError, match="await the coroutine"):
            loop.run(nested())
        loop.close()

    def test_a_forked_child_gets_a_loop_of_its_own(self) -> None:
        loop = BackgroundLoop()
        loop.run(answer())
        child = os.fork()
        if child == 0:
            os._exit(0 if loop.run(answer(), timeout=60) == 42 else 1)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        loop.close()
