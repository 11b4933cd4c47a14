"""A hub on a book that the test writes by hand, and short ways to wait and to join."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from portfolio.live import board_updater
from portfolio.live import hub as hub_module
from portfolio.live.hub import Hub
from positions import live
from tests.portfolio.live.hub_book import Book, Browser


@pytest.fixture
def book(monkeypatch):
    book = Book()
    book.install(monkeypatch)

    async def still_valid(credentials: Any, *, now: Any) -> Any:
        return set(credentials)

    monkeypatch.setattr(hub_module.access, "still_valid", still_valid)
    monkeypatch.setattr(board_updater, "REFRESH_SECONDS", 0.05)
    monkeypatch.setattr(board_updater, "EVERYTHING_POLLED_SECONDS", 0.0)
    monkeypatch.setattr(board_updater.feeds, "known", lambda now: {})
    monkeypatch.setattr(hub_module, "TOTALS_SECONDS", 0.05)
    monkeypatch.setattr(hub_module, "WATCH_SECONDS", 0.05)
    monkeypatch.setattr(hub_module, "HEARTBEAT_SECONDS", 0.1)
    return book


@pytest.fixture
async def hub(book):
    hub = Hub()
    yield hub
    for socket in hub.sockets:
        hub.leave(socket)


async def until(true: Any) -> None:
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110  what is waited for is many things
            await asyncio.sleep(0.01)


async def joined(hub: Hub, resume: str | None = None, **given: Any) -> Browser:
    browser = Browser(**given)
    await hub.join(browser.socket, resume=resume)
    return browser


async def append(book: Book, *keys: int, **more: Any) -> None:
    """What ingest says of these positions after its commit."""
    frame = book.frame(*keys) | more
    await asyncio.to_thread(live.append, kind="book", account=frame["account"], frame=frame)


def soon(seconds: float = 1) -> datetime:
    return timezone.now() + timedelta(seconds=seconds)
