"""The browser's socket: a pipe from the hub."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer
from django.utils import timezone

from portfolio.hub import Frames, hub

NOT_SIGNED_IN = 4401
TOO_SLOW = 4008


class PositionStream(AsyncWebsocketConsumer):  # type: ignore[misc]
    """hello, snapshot, then every change. People only (the session); the origin is checked in config.asgi."""

    pump: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        await self.accept()
        user = self.scope.get("user")
        if user is None or not user.is_authenticated:
            await self.close(code=NOT_SIGNED_IN)
            return
        self.pump = asyncio.create_task(self._forward())

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        try:
            command = json.loads(text_data or "")["type"]
        except (ValueError, TypeError, KeyError):
            await self._answer("error", code="malformed", detail='send {"type": "ping"}')
            return
        if command == "ping":
            await self._answer("pong", server_time=timezone.now().isoformat())
        else:
            await self._answer("error", code="unknown-command", detail=f"{command!r} is none of: ping")

    async def disconnect(self, code: int) -> None:
        if self.pump:
            self.pump.cancel()

    async def _forward(self) -> None:
        source = hub()
        queue: Frames = await source.subscribe()
        try:
            while (frame := await queue.get()) is not None:
                await self.send(text_data=frame)
            await self.close(code=TOO_SLOW)
        finally:
            source.unsubscribe(queue)

    async def _answer(self, kind: str, **parts: Any) -> None:
        await self.send(text_data=json.dumps({"type": kind, **parts}))
