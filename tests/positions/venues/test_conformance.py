"""Conformance: what exchanges really answered, put in at the transport, against expectations written by hand.

Ours are in tests/data/venues/<exchange>/<oddity>.json. With VENUE_FIXTURES_DIR set, answers of any exchange
in the reference format ({exchange, markets, options, cases}) must go through `generic`: no crash, and every
row either normalised by the rules or reported as unreadable.
"""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from positions.book.entries import Kind
from positions.venues.base import EntryBatch, Report, VenueError
from positions.venues.generic.adapter import Generic
from positions.venues.transport.lazy_ccxt import UnknownExchange

from .reading import LISTS, STATES, differences, plain_rows, read
from .replay import DATA, Case, flat_cases, market, recorded_cases

RECORDED = list(recorded_cases())
FOREIGN = [
    case
    for case in flat_cases(Path(os.environ.get("VENUE_FIXTURES_DIR") or DATA))
    if case.method in (*STATES, "fetchBalance", *LISTS)
]


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: case.id)
class TestConformanceOfRecordedAnswers:
    async def test_is_read_as_the_venue_meant_it(self, case: Case) -> None:
        assert case.expected is not None
        result = await read(case)

        assert len(result.unreadable) == case.expected["unreadable"], result.unreadable
        if isinstance(result, Report):
            _check_report(case.expected, result)
        else:
            _check_batch(case.expected, result)


def _check_report(expected: Any, report: Report) -> None:
    if "positions" in expected:
        assert len(report.positions) == len(expected["positions"]), report.positions
        for wanted, found in zip(expected["positions"], report.positions, strict=True):
            assert differences(wanted, found, {"symbol": "venue_symbol"}) == []
        assert report.zero_rows == expected["zero_rows"]
    if "balances" in expected:
        found_by_asset = {row.asset: row for row in report.balances}
        assert set(found_by_asset) == {row["asset"] for row in expected["balances"]}
        for wanted in expected["balances"]:
            assert differences(wanted, found_by_asset[wanted["asset"]]) == []
    if "balances_complete" in expected:
        assert report.balances_complete is expected["balances_complete"]
    if expected.get("as_of"):
        assert differences({"as_of": expected["as_of"], "as_of_source": "venue"}, report) == []


def _check_batch(expected: Any, batch: EntryBatch) -> None:
    notices = sum(count for name, count in batch.counts.items() if name.endswith(".notices"))
    assert notices == expected["notices"]
    if "count" in expected:
        assert len(batch.entries) == expected["count"]
        assert len({entry.venue_ref for entry in batch.entries}) == expected["distinct_refs"]
        fees = [entry.fee for entry in batch.entries if entry.fee is not None]
        assert sum(fees, Decimal(0)) == Decimal(expected["fee_total"])
        assert any(differences(expected["first"], entry) == [] for entry in batch.entries)
        return
    assert len(batch.entries) == len(expected["entries"]), batch.entries
    unmatched = list(batch.entries)
    for wanted in expected["entries"]:
        match = next((entry for entry in unmatched if differences(wanted, entry) == []), None)
        assert match is not None, f"nothing is {wanted}; left are {unmatched}"
        unmatched.remove(match)


@pytest.mark.parametrize("case", FOREIGN, ids=lambda case: case.id)
class TestConformanceOfExchangesNeverSeen:
    async def test_every_row_is_normalised_by_the_rules_or_reported(self, case: Case) -> None:
        try:
            result = await read(case, adapter=Generic)
        except VenueError:
            return  # a typed error is an answer too: nothing was concluded
        except UnknownExchange:
            pytest.skip(f"ccxt has no exchange {case.exchange!r}")

        if isinstance(result, Report):
            await _check_positions(case, result)
            assert all(row.asset for row in result.balances)
        else:
            _check_batch_of_rules(case, result)


async def _check_positions(case: Case, report: Report) -> None:
    """Signed units = ccxt's contracts x the contract size given with the case; settle currency named."""
    sizes = {row["symbol"]: row for row in map(market, case.markets)}
    expected: dict[str, Decimal] = {}
    for row in await plain_rows(case):
        given = sizes.get(row["symbol"])
        if given is None or row["contracts"] is None or not is_contract(given):
            continue  # a margin position on a spot pair is no leg
        units = Decimal(str(row["contracts"])) * Decimal(str(given["contractSize"] or 1))
        signed = -units if row["side"] == "short" else units
        expected[row["symbol"]] = expected.get(row["symbol"], Decimal(0)) + signed
    found: dict[str, Decimal] = {}
    for position in report.positions:
        given = sizes[position.venue_symbol]
        assert is_contract(given)
        assert position.currency == (given.get("settle") or given["quote"])
        found[position.venue_symbol] = found.get(position.venue_symbol, Decimal(0)) + position.quantity
    told = {row.venue_symbol for row in report.unreadable}
    for symbol, units in expected.items():
        if symbol not in told and None not in told:
            assert found.get(symbol, Decimal(0)) == units
    assert set(found) <= set(expected) or None in told


def is_contract(given: Any) -> bool:
    """Whether a market of a case is a contract; a spot market may say nothing of it, nor have a settle."""
    return bool(given.get("contract"))


def _check_batch_of_rules(case: Case, batch: EntryBatch) -> None:
    """No row is missing: it is entries, a notice, or reported."""
    sizes = {row["symbol"]: row for row in map(market, case.markets)}
    counted = {name.partition(".")[2]: 0 for name in batch.counts}
    for name, count in batch.counts.items():
        counted[name.partition(".")[2]] += count
    stems = {entry.venue_ref.partition(":fee")[0] for entry in batch.entries}
    assert (
        len(stems) + counted["unreadable"] + counted["notices"] + counted["duplicate"] == counted["received"]
    )
    for entry in batch.entries:
        if entry.kind is Kind.FILL:
            assert entry.quantity is not None
            assert entry.quantity > 0
            given = sizes[entry.instrument]
            assert given.get("contractSize") or not is_contract(given)
