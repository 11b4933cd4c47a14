"""Late, repeated, busted and amended fills, in the order they arrived."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from positions.book import Contract, ContractKind, Entry, Leg, by_asset, fold_facts, resolve
from tests.positions.book.vectors import Book, Checkpoint, Report, Tolerance, cases, contract_of, entry_of


def run_corrections(name: str) -> Report:
    """Events in arrival order, folded, are bit-equal to the true sequence, which the source confirms."""
    report = Report(name)
    for case in cases(name):
        contract = contract_of(case)
        empty = Book(contract).position(Leg.NET)
        true = Book(contract)
        for row in case["fills"]:
            true.book(replace(entry_of(row, index=0), time=instant(row)))
        facts = resolve(correction(event, index) for index, event in enumerate(case["events"]))
        parts = [part for fact in facts.effective for part in settled(fact, contract)]
        found = [f"{conflict.venue_ref} conflicts" for conflict in facts.conflicts]
        folded = fold_facts(parts, start=empty)
        if repr(folded.position) != repr(true.position(Leg.NET)):
            found.append(f"{folded.position} is not {true.position(Leg.NET)}")
        if sum(change.realized or 0 for change in folded.changes) != true.realized[Leg.NET]:
            found.append("realized differs")
        last = folded.changes[-1]
        tolerance = Tolerance(average=Decimal("1e-9"), money=Decimal("1e-8"))
        for checkpoint in case["checkpoints"]:
            steps = len(case["fills"]) + true.flips
            expect, entry = checkpoint["expect"], folded.effective[-1]
            found += Checkpoint(
                expect, true, Leg.NET, entry, Decimal(0), last, steps, tolerance, case
            ).check()
        report.add(case["id"], found)
    return report


def settled(entry: Entry, contract: Contract) -> tuple[Entry, ...]:
    """The entry of the one position that a case of fills is about."""
    if contract.kind is not ContractKind.SPOT:
        return (entry,)
    parts = by_asset(entry, contract, par=frozenset({contract.quote}))
    return tuple(part for part in parts if part.instrument == contract.base)


def correction(event: dict[str, Any], index: int) -> Entry:
    """An event by its place of arrival: a fill has the venue's time, a correction the time it was said."""
    if event["type"] == "fill":
        return replace(entry_of(event, index=index), time=instant(event))
    return entry_of(event, index=index, kind=event["type"])


def instant(row: dict[str, Any]) -> datetime:
    return datetime.fromtimestamp(0, tz=UTC) + timedelta(microseconds=row["ts"] // 1000)
