"""What Hyperliquid itself computed for real fills, and the sign of what it paid as funding."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import ROUND_DOWN, Decimal
from typing import Any

from positions.book import (
    BaseFee,
    Cause,
    ContractKind,
    Entry,
    Kind,
    Leg,
    PositionChange,
    PositionState,
    Side,
    apply,
)
from tests.positions.book.vectors import START, Book, Report, cases, contract_of, entry_of

CHAIN = Decimal("2e-9")  # the file keeps 10 digits: a chain of positions agrees to this, relative


@dataclass
class Tally:
    """Rows that close; of them those the venue's truncation rule reproduces, and those marked `edge`."""

    closing: int = 0
    by_rule: int = 0
    edge: int = 0

    def __str__(self) -> str:
        return f"{self.closing} closing fills: {self.by_rule} by the truncation rule, {self.edge} edge rows"


def run_fills(name: str = "hyperliquid_fills") -> Report:
    """closedPnl of every row within one entry tick × quantity, and by the truncation rule within
    the file's digits.
    """
    report, tally = Report(name), Tally()
    for case in cases(name):
        report.add(case["id"], _run(case, tally, report.notes))
    report.notes.append(str(tally))
    return report


def _run(case: dict[str, Any], tally: Tally, notes: list[str]) -> list[str]:
    book = Book(contract_of(case, BaseFee.CAPITALISED))
    if Decimal(case["opening_size"]):
        book.book(_opening(case))
    found: list[str] = []
    for index, row in enumerate(case["fills"]):
        before = book.position(Leg.NET)
        stated = Decimal(row["start_position"])
        if abs(before.size - stated) > CHAIN * abs(stated):
            found.append(f"row {index}: size {before.size} is not {stated}")
        change = book.book(entry_of({**row, "id": f"{index:06}"}, index=index + 1))
        found += [f"row {index}: {problem}" for problem in _closed(case, row, before, change, tally)]
        if row.get("edge"):
            notes.append(f"{case['id']} row {index}: edge")
    return found


def _opening(case: dict[str, Any]) -> Entry:
    size = Decimal(case["opening_size"])
    return Entry(
        kind=Kind.FILL,
        cause=Cause.OPENING,
        venue_ref="opening",
        time=START,
        instrument="X",
        side=Side.BUY if size > 0 else Side.SELL,
        quantity=abs(size),
        price=Decimal(case["opening_notional"]) / abs(size),
    )


def _closed(
    case: dict[str, Any], row: dict[str, Any], before: PositionState, change: PositionChange, tally: Tally
) -> list[str]:
    theirs, ours = Decimal(row["closed_pnl"]), change.realized
    signed = Decimal(row["qty"]) * (1 if row["side"] == "buy" else -1)
    closes = before.size * signed < 0
    if not closes or before.entry_price is None or before.open_cost is None:
        return [] if theirs == 0 and not ours else [f"closedPnl {ours} is not {theirs}"]
    tally.closing += 1
    quantity = min(abs(signed), abs(before.size))
    rounding = max(Decimal("1.5e-6"), Decimal("5e-9") * abs(theirs))
    spot = before.contract.kind is ContractKind.SPOT
    tick = Decimal(0) if spot else Decimal(1).scaleb(-case["instrument"]["px_decimals"])
    if spot:
        rounding = max(rounding, Decimal("2e-9") * before.open_cost * quantity / abs(before.size))
    if ours is None or abs(ours - theirs) > tick * quantity + rounding:
        return [f"closedPnl {ours} is not {theirs}"]
    if row.get("edge"):
        tally.edge += 1
        return []
    cut = before.entry_price if spot else before.entry_price.quantize(tick, rounding=ROUND_DOWN)
    by_rule = quantity * (Decimal(row["price"]) - cut) * (1 if before.size > 0 else -1)
    if abs(by_rule - theirs) > rounding:
        return [f"closedPnl {by_rule} by the truncation rule is not {theirs}"]
    tally.by_rule += 1
    return []


def run_funding(name: str = "hyperliquid_funding") -> Report:
    """The amount booked has the sign of -szi·rate (longs pay a positive rate), and is the wallet's."""
    report = Report(name)
    contract = contract_of(
        {"instrument": {"kind": "linear", "multiplier": "1", "base": "X", "quote": "USDC", "settle": "USDC"}}
    )
    for index, case in enumerate(cases(name)):
        size, rate, paid = (Decimal(case[field]) for field in ("szi", "rate", "usdc"))
        entry = Entry(
            kind=Kind.FUNDING,
            venue_ref=case["id"],
            time=START + timedelta(hours=index),
            instrument="X",
            amount=paid,
            currency="USDC",
        )
        position, _ = apply(PositionState(contract=contract, instrument="X"), entry)
        expected = -(size * rate)
        found = []
        if position.funding.get("USDC") != paid or position.net_pnl != paid:
            found.append(f"funding {position.funding} is not {paid}")
        if paid and expected and (position.net_pnl > 0) is not (expected > 0):
            found.append(f"{paid} has the wrong sign for {size} at {rate}")
        report.add(case["id"], found)
    return report
