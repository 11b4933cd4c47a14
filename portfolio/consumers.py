"""The browser's socket: a pipe from the hub."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import structlog
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.contrib.auth import get_user
from django.db import DatabaseError
from django.http import HttpRequest
from django.utils import timezone

from portfolio.hub import Frames, hub

log = structlog.get_logger("stream")

NOT_SIGNED_IN = 4401
TOO_SLOW = 4008
SESSION_CHECK_SECONDS = 15.0


def still_signed_in(key: str) -> bool:
    """Whether a session still stands for an active person with the password of then."""
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(key)
    return get_user(request).is_authenticated


class PositionStream(AsyncWebsocketConsumer):  # type: ignore[misc]
    """hello, snapshot, then every change. People only (the session); the origin is checked in config.asgi."""

    tasks: Sequence[asyncio.Task[None]] = ()

    async def connect(self) -> None:
        await self.accept()
        user = self.scope.get("user")
        if user is None or not user.is_authenticated:
            await self.close(code=NOT_SIGNED_IN)
            return
        self.tasks = [asyncio.create_task(self._forward()), asyncio.create_task(self._watch_session())]

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
        for task in self.tasks:
            task.cancel()

    async def _forward(self) -> None:
        source = hub()
        queue: Frames = await source.subscribe()
        try:
            while (frame := await queue.get()) is not None:
                await self.send(text_data=frame)
            await self.close(code=TOO_SLOW)
        finally:
            source.unsubscribe(queue)

    async def _watch_session(self) -> None:
        """Who logs out, changes the password elsewhere or is switched off stops seeing the book."""
        key = getattr(self.scope.get("session"), "session_key", None)
        while key:
            await asyncio.sleep(SESSION_CHECK_SECONDS)
            try:
                stands = await database_sync_to_async(still_signed_in)(key)
            except DatabaseError as error:
                log.warning("a session could not be checked", error=str(error))
                continue
            if not stands:
                await self.close(code=NOT_SIGNED_IN)
                return

    async def _answer(self, kind: str, **parts: Any) -> None:
        await self.send(text_data=json.dumps({"type": kind, **parts}))
