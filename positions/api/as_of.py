"""Reads as of a moment: the rows of episodes at that moment, computed from all facts known now.

An episode that had opened by then is copied with the fold's figures of the moment. Past prices and venue
states are not kept, so everything that depends on them is unknown (None) and not taken from today.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, cast

from django.db.models import Field, Q, QuerySet
from ninja import Query
from pydantic import AwareDatetime, TypeAdapter, ValidationError

from core.http.inputs import Text, id_of
from core.http.problems import Problem
from positions import queries
from positions.api import queries as api_queries
from positions.api.queries import NotFound
from positions.book import Contract
from positions.ledger import serialise
from positions.ledger.instruments import contract_of
from positions.models import Account, Position, Status

AsOf = Annotated[
    Text | None,
    Query(
        None,
        description="The state at this moment of venue time, from all facts known now: ISO 8601 with a zone, "
        "not in the future. Marks of the past are not kept: what depends on one is null.",
        examples=["2026-01-15T12:00:00Z"],
    ),
]

_TIME = TypeAdapter(AwareDatetime)
_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d", re.ASCII)


def moment(text: str | None, *, now: datetime) -> datetime | None:
    """Return the moment in a request's `as_of`; None without one. Raises Problem 422."""
    if text is None:
        return None
    if not _ISO.match(text):
        raise _bad("write it as 2026-01-15T12:00:00Z")
    written = re.sub(r" (\d\d:?\d\d)$", r"+\1", text)  # a plus that was not written as %2B
    try:
        at = _TIME.validate_python(written).astimezone(UTC)
    except (ValidationError, OverflowError) as error:
        naive = isinstance(error, ValidationError) and error.errors()[0]["type"] == "timezone_aware"
        raise _bad("say in which zone: add Z for UTC" if naive else "this is no date and time") from error
    if at > now:
        raise _bad(f"lies in the future: it is {now.astimezone(UTC).isoformat(timespec='seconds')}")
    return at


def _bad(problem: str) -> Problem:
    errors = [{"field": "as_of", "problem": problem}]
    return Problem(422, "invalid_input", f"Check: as_of {problem}.", errors=errors)


def standing(rows: QuerySet[Position], *, at: datetime) -> QuerySet[Position]:
    """Return those episodes that were open at a moment."""
    return rows.filter(_open_at(at)).exclude(status=Status.VOID)


def _open_at(at: datetime) -> Q:
    return Q(opened_at__lte=at) & (Q(closed_at__isnull=True) | Q(closed_at__gt=at))


def rows(positions: Iterable[Position], *, at: datetime) -> list[Position]:
    """Return copies of episodes (read with account and instrument) at a moment, without those not opened yet.

    The copies are for reading: they must not be saved.
    """
    return [found for one in positions if (found := row(one, at=at)) is not None]


def row(position: Position, *, at: datetime) -> Position | None:
    """Return a copy of one episode as it stood at a moment; None if it had not opened by then."""
    if position.opened_at > at:
        return None
    held = queries.position_as_of(
        account=position.account, instrument=position.instrument_id, leg=position.leg, at=at
    )
    then = copy.copy(position)
    then.venue_state = None  # type: ignore[attr-defined]  # what the venue says, it says of now
    if held.state.opened_by != position.opening_ref:
        return then  # ended by then: its last figures are those of the row
    for name, value in _figures(held.state, contract_of(position.instrument)).items():
        setattr(then, name, value)
    return then


def _figures(episode: Any, contract: Contract) -> dict[str, Any]:
    columns = serialise.columns(episode)
    figures = {name: _field(name).to_python(value) for name, value in columns.items()}
    return figures | {"state": serialise.dumps(episode), "status": str(Status(episode.status.value))}


def _field(name: str) -> Field[Any, Any]:
    return cast("Field[Any, Any]", Position._meta.get_field(name))


def position(*, ref: str, accounts: frozenset[int] | None, at: datetime) -> Position:
    """Return a position at a moment, by id, symbol or asset; a symbol means one that was open then.

    Raises NotFound and Ambiguous.
    """
    seen = api_queries.seen_by(queries.board(), accounts=accounts)
    if id_of(ref) is not None:
        found = row(api_queries.position(ref=ref, accounts=accounts), at=at)
    else:
        found = row(api_queries.named(ref, standing(seen, at=at)), at=at)
    if found is None:
        raise NotFound(f"position {ref} had not been opened by {at.isoformat()}")
    return found


def balances(
    *, accounts: Iterable[Account], asset: str | None, at: datetime
) -> list[tuple[Account, str, str, Decimal, int]]:
    """Return (account, wallet, asset, amount, number of unknown entries left out) at a moment."""
    found = []
    for account in accounts:
        for (wallet, coin), (amount, unknown) in sorted(
            queries.book_as_of(account=account, at=at).balances.items()
        ):
            if (amount or unknown) and asset in (None, "", coin):
                found.append((account, wallet, coin, amount, unknown))
    return found
