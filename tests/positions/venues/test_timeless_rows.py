"""One row without a time costs itself: in every list recorded, and in every list of every exchange."""

from __future__ import annotations

import copy
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from ccxt import async_support

from positions.venues.base import EntryBatch
from positions.venues.transport.conversation import Conversation, conversation
from positions.venues.transport.instrumentation import instrumented_class
from tests.positions.venues.reading import LISTS, read
from tests.positions.venues.replay import Case, recorded_cases

_TIME = re.compile(r"1[0-9]{9}([0-9]{3}){0,3}(\.\d+)?\Z|20\d\d-\d\d-\d\d")
_GONE = {"missing": None, "empty": "", "zero": 0, "a word": "yesterday"}


def rows_of(answer: Any) -> list[Any]:
    """The first list of objects in an answer."""
    if isinstance(answer, list) and answer and isinstance(answer[0], dict):
        return answer
    inside = answer.values() if isinstance(answer, dict) else answer if isinstance(answer, list) else ()
    return next((found for one in inside if (found := rows_of(one))), [])


def undated(row: Any, gone: Any) -> Any:
    """A row with every time in it gone, and its identifiers others (it is no repeat of the row it was)."""
    if isinstance(row, dict):
        return {name: undated(value, gone) for name, value in row.items()}
    if isinstance(row, list):
        return [undated(value, gone) for value in row]
    return gone if _TIME.match(str(row)) else row


LISTED = [
    case
    for case in recorded_cases()
    if case.method in LISTS and case.status == 200 and rows_of(case.response)
]


@pytest.mark.parametrize("gone", _GONE.values(), ids=_GONE.keys())
@pytest.mark.parametrize("case", LISTED, ids=lambda case: case.id)
class TestARowWhoseTimeIs:
    async def test_takes_no_other_row_along(self, case: Case, gone: Any) -> None:
        whole = await read(case)
        for at in (0, 1):
            response = copy.deepcopy(case.response)
            rows = rows_of(response)
            rows.insert(at, undated(copy.deepcopy(rows[0]), gone))
            damaged = await read(replace(case, response=response))
            assert isinstance(whole, EntryBatch)
            assert isinstance(damaged, EntryBatch)
            assert {one.venue_ref for one in whole.entries} <= {one.venue_ref for one in damaged.entries}
            assert all(one.time.year >= 2009 for one in damaged.entries)
            assert len(damaged.unreadable) >= max(1, len(whole.unreadable)), "the row is reported"
            assert not damaged.complete


EXCHANGES = sorted(
    module.name for module in pkgutil.iter_modules(async_support.__path__) if module.name not in ("base",)
)
BAD_ROWS: tuple[Any, ...] = ({}, {"id": "1", "amount": "2"}, None, "row", 7)


def parsers(exchange: Any) -> Iterator[tuple[str, Any]]:
    for name in ("parse_trades", "parse_transactions", "parse_ledger", "parse_incomes"):
        yield name, getattr(exchange, name)
    # Only some exchanges have it, each with parameters of its own.
    if hasattr(exchange, "parse_funding_histories"):
        yield "parse_funding_histories", lambda rows: exchange.parse_funding_histories(rows, None, 1, None)


@pytest.mark.parametrize("name", EXCHANGES)
async def test_no_list_of_any_exchange_fails_for_one_bad_row(name: str) -> None:
    exchange = instrumented_class(name)({})
    try:
        for parser, parse in parsers(exchange):
            for row in BAD_ROWS[:2]:
                talk = Conversation()
                token = conversation.set(talk)
                try:
                    parse([row, dict(row)])
                except Exception as error:  # noqa: BLE001  whichever it raises, the list is lost
                    if "not supported yet" in str(error):
                        continue
                    pytest.fail(f"{name}.{parser} of {row}: {type(error).__name__}: {error}")
                finally:
                    conversation.reset(token)
                assert len(talk.unparsed) >= 1, (parser, row)
    finally:
        await exchange.close()
