"""File handles: each socket takes one. As many as the system allows, and a clear line when there are no more.

A server that has none left cannot accept: browsers are turned away, and the servers say so in words of their
own (Twisted: "EMFILE encountered"). Everything that is open goes on, and accepting too once some are closed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import structlog

LOOK_EVERY = 1.0
SAY_EVERY = 10.0
REMEMBERED = 60.0
SCARCE = 0.9
ADVICE = "raise the limit (LimitNOFILE=, ulimits: nofile, ulimit -n) or run another copy"

log = structlog.get_logger("handles")


@dataclass(slots=True)
class _Seen:
    """What the watch saw last. `out_at` is monotonic, of the last time that there were none."""

    watched: bool = False
    used: int = 0
    out_at: float = float("-inf")


_seen = _Seen()


def raise_limit() -> int:
    """Allow this process as many handles as the system lets it; returns how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):  # a limit of the kernel's stands below the hard one
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def watch() -> None:
    """Raise the limit, and from here on say when handles run out. Once per process."""
    if _seen.watched:
        return
    _seen.watched = True
    raise_limit()
    threading.Thread(target=_keep_looking, name="handles", daemon=True).start()


def problem() -> str:
    """Return what is wrong, in words; "" while there are enough."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if time.monotonic() - _seen.out_at < REMEMBERED:
        return f"out of file handles (limit {limit}): connections were turned away; {ADVICE}"
    if _seen.used > SCARCE * limit:
        return f"{_seen.used} of {limit} file handles in use; {ADVICE}"
    return ""


def look() -> None:
    """Count the handles in use; none left to count with is the answer too."""
    try:
        _seen.used = len(os.listdir(_where()))
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            _seen.out_at = time.monotonic()


def _where() -> Path:
    linux = Path("/proc/self/fd")
    return linux if linux.exists() else Path("/dev/fd")


def _keep_looking() -> None:
    said_at, said = float("-inf"), ""
    while True:
        time.sleep(LOOK_EVERY)
        look()
        wrong = problem()
        if wrong and (not said or time.monotonic() - said_at >= SAY_EVERY):
            said_at = time.monotonic()
            log.error(wrong, used=_seen.used)
        elif said and not wrong:
            log.info("enough file handles again", used=_seen.used)
        said = wrong
