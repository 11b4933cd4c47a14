"""Files that only their owner reads: what leaves the database is as private as what stays."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, Any


def private_file(path: Path, *, binary: bool = False) -> IO[Any]:
    """Open a file for writing, emptied, that only its owner reads and writes, also where it was there before.

    Raises OSError.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
    except BaseException:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "wb") if binary else os.fdopen(descriptor, "w", newline="", encoding="utf-8")
