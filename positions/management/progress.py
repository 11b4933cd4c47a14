"""A progress bar for commands that take a while: drawn on a terminal, silent in logs and pipes."""

from __future__ import annotations

import time
from typing import TextIO

WIDTH = 30
EVERY_SECONDS = 0.1


class Bar:
    """Call it with how many more are done; close it when finished."""

    def __init__(self, out: TextIO, *, total: int, label: str) -> None:
        self._out, self._total, self._label = out, max(total, 1), label
        self._done = 0
        self._drawn = 0.0
        self._shown = out.isatty()

    def __call__(self, more: int) -> None:
        self._done += more
        now = time.monotonic()
        if self._shown and now - self._drawn >= EVERY_SECONDS:
            self._drawn = now
            self._draw()

    def _draw(self) -> None:
        share = min(self._done / self._total, 1)
        filled = "█" * round(share * WIDTH)
        self._out.write(f"\r{self._label} {filled:░<{WIDTH}} {share:4.0%} {self._done:,} of {self._total:,}")
        self._out.flush()

    def close(self) -> None:
        if self._shown:
            self._draw()
            self._out.write("\n")
