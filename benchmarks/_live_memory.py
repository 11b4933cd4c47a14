"""What a web process keeps of positions, counted exactly: what was allocated and is still held."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc


def of_positions() -> tuple[float, int]:
    """Bytes that a hub keeps for each open position of the book, and how many there are."""
    from django.utils import timezone

    from portfolio.live.hub import Hub

    async def read() -> tuple[float, int]:
        warm = Hub()
        warm.send(await warm.board.refresh(now=timezone.now()))  # what the code itself keeps, once
        del warm
        gc.collect()
        tracemalloc.start()
        hub = Hub()
        hub.send(await hub.board.refresh(now=timezone.now()))
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return held, len(hub.board.keys())

    held, positions = asyncio.run(read())
    return held / positions, positions
