"""Servers to compare with: `python -m benchmarks._live_servers floor|stock SIZE`. Spoken to by lines.

    floor   bare `websockets.broadcast`: the frame is made once and written to each transport
    stock   Channels as its tutorial has it, on Daphne: a consumer each, a group, the in-memory layer (kinder
            than Redis)

A line "N" on stdin sends N frames to all that are connected; the answer says when it began.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

Send = Callable[[], Awaitable[None]]


def text_of(size: int) -> str:
    """A frame of so many bytes."""
    start = '{"type":"feed","x":"'
    return start + "x" * (size - len(start) - 2) + '"}'


async def lines() -> asyncio.StreamReader:
    """Standard input."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    return reader


async def obey(send: Send) -> None:
    """Send as many frames as each line says."""
    reader = await lines()
    while line := await reader.readline():
        print(json.dumps({"began": time.monotonic()}), flush=True)
        for _ in range(int(line)):
            await send()


async def floor(size: int) -> None:
    """Bare broadcast."""
    from websockets.asyncio.server import ServerConnection, broadcast, serve

    text = text_of(size)
    connected: set[ServerConnection] = set()

    async def keep(connection: ServerConnection) -> None:
        connected.add(connection)
        await connection.wait_closed()
        connected.discard(connection)

    async def send() -> None:
        broadcast(connected, text)
        await asyncio.sleep(0)

    async with serve(keep, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        print(json.dumps({"port": next(iter(server.sockets)).getsockname()[1]}), flush=True)
        await obey(send)


def stock(size: int) -> None:
    """Channels on Daphne."""
    from daphne.server import Server
    from django.conf import settings

    settings.configure(CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}})
    import django

    django.setup()
    from channels.generic.websocket import AsyncWebsocketConsumer
    from channels.layers import get_channel_layer

    text = text_of(size)

    class Consumer(AsyncWebsocketConsumer):  # type: ignore[misc]
        async def connect(self) -> None:
            await self.channel_layer.group_add("all", self.channel_name)
            await self.accept()

        async def told(self, event: dict[str, Any]) -> None:
            await self.send(text_data=event["text"])

    async def send() -> None:
        await get_channel_layer().group_send("all", {"type": "told", "text": text})
        await asyncio.sleep(0)

    server = Server(Consumer.as_asgi(), endpoints=["tcp:port=0:interface=127.0.0.1"], signal_handlers=False)

    def ready() -> None:
        print(json.dumps({"port": server.listening_addresses[0][1]}), flush=True)
        server.obeying = asyncio.get_event_loop().create_task(obey(send))

    server.ready_callable = ready
    server.run()


if __name__ == "__main__":
    if sys.argv[1] == "floor":
        asyncio.run(floor(int(sys.argv[2])))
    else:
        stock(int(sys.argv[2]))
