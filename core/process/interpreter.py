"""How the interpreter runs a process that moves fills: what it collects, and how soon threads take turns.

Both are knobs of CPython, not of Python. Each has a setting that leaves it alone (docs/configuration.md).
"""

from __future__ import annotations

import gc
import sys

from django.conf import settings


def tune() -> None:
    """Set this process up to let a fill through quickly. Call it once all modules are loaded."""
    if settings.GC_FREEZE:
        # What is loaded by now stays: the collector need not look through it while a fill is on its way.
        gc.collect()
        gc.freeze()
    if settings.SWITCH_INTERVAL_US:
        # A thread that reads Postgres or a list lets the event loop or a writer through sooner.
        sys.setswitchinterval(settings.SWITCH_INTERVAL_US / 1_000_000)
