"""Reads what a key may do from a venue's answer: a missing flag is unknown, neither yes nor no."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from positions.venues.base import Permissions
from positions.venues.decoding import ROW_ERRORS, corrupt, unexpected
from positions.venues.transport.client import Client

ANYWHERE = "the key is not restricted to IP addresses"
NOT_SAID = "the venue did not say what the key may do"
_YES, _NO = (True, "true", "True", 1, "1"), (False, "false", "False", 0, "0")


async def request_permissions(
    client: Client, method: str, read: Callable[[Mapping[str, Any]], Permissions], **params: Any
) -> Permissions:
    """Call a method of ccxt's and read its answer, an object. Raises VenueError."""
    answer, talk = await client.call(method, params)
    if not isinstance(answer, Mapping):
        raise unexpected("permissions", "an object", answer, talk)
    try:
        return read(answer)
    except ROW_ERRORS as error:
        raise corrupt("permissions", error, talk) from error


def flag(value: Any) -> bool | None:
    """Yes or no, as venues write it; None for anything else."""
    return True if value in _YES else False if value in _NO else None


def either(*flags: bool | None) -> bool | None:
    """Yes if any is; no only if all are said to be no."""
    return True if True in flags else None if None in flags else False
