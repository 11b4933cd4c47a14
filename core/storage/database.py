"""The database's connections: given back before a wait, and a clear answer when none is free."""

from __future__ import annotations

import time

from django.db import InterfaceError, OperationalError, connection


def give_back() -> None:
    """Give this thread's connection back to the pool before it waits for something else; the next query takes
    one again. Inside a transaction it stays.
    """
    if not connection.in_atomic_block:
        connection.close()


def rest(seconds: float) -> None:
    """Sleep without holding a connection."""
    give_back()
    time.sleep(seconds)


def is_busy(error: BaseException | None) -> bool:
    """Return whether an error says that the database cannot serve now: no free connection, or no server.

    A constraint, a value or a statement that is wrong is not: those are faults of ours.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, OperationalError | InterfaceError):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False
