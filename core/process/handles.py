"""File handles: raise the limit to the system's maximum, and log clearly when none is left.

Each socket takes one. A server without a free handle accepts no connection and logs it in its own way
(Twisted: "EMFILE encountered"). Open connections go on, and accepting resumes once some are closed.
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
class _HandleCount:
    """The last count of handles. `out_at` is the monotonic time at which there was last none left."""

    watched: bool = False
    used: int = 0
    out_at: float = float("-inf")


_seen = _HandleCount()


def raise_limit() -> int:
    """Allow this process as many handles as the system lets it; returns how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):  # a limit of the kernel's stands below the hard one
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def watch() -> None:
    """Raise the limit and log from now on when handles run out. Call it once per process."""
    if _seen.watched:
        return
    _seen.watched = True
    raise_limit()
    threading.Thread(target=_keep_looking, name="handles", daemon=True).start()


def problem() -> str:
    """Return a sentence about a lack of handles; "" while there are enough."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if time.monotonic() - _seen.out_at < REMEMBERED:
        return f"out of file handles (limit {limit}): connections were turned away; {ADVICE}"
    if _seen.used > SCARCE * limit:
        return f"{_seen.used} of {limit} file handles in use; {ADVICE}"
    return ""


def look() -> None:
    """Count the handles in use, the one for counting too. Where one or none is left, note that they ran out.

    A server that was refused a handle rests before it accepts again: meanwhile one may be free.
    """
    try:
        _seen.used = len(os.listdir(_where()))
        out = _seen.used >= resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 1
    except OSError as error:
        out = error.errno in (errno.EMFILE, errno.ENFILE)
    if out:
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
