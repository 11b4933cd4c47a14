"""Reads the vector files and compares each case with the book. Nothing here knows what the answer is."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

from positions.book import (
    BaseFee,
    Cause,
    Contract,
    ContractKind,
    Entry,
    InvalidEntry,
    Kind,
    Leg,
    PositionChange,
    PositionState,
    Side,
    apply,
    by_asset,
)

FOLDER = Path(os.environ.get("VECTORS_DIR") or Path(__file__).parents[2] / "data" / "vectors")
START = datetime(2026, 1, 1, tzinfo=UTC)
PLACES = {"USD": 2, "USDT": 8, "USDC": 8, "BTC": 8, "ETH": 8, "EUR": 2, "JPY": 0}
FREQTRADE = {
    "freqtrade_profit_this_exit",
    "freqtrade_cumulative_profit",
    "freqtrade_cumulative_profit_ratio",
}
ARITHMETIC_INVERSE = "nt_arithmetic_inverse_average"


@dataclass
class Report:
    """Agree and total of one file, and what disagreed, in words."""

    name: str
    total: int = 0
    failures: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def agree(self) -> int:
        return self.total - len(self.failures)

    def add(self, case: str, problems: list[str]) -> None:
        self.total += 1
        if problems:
            self.failures[case] = problems

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.agree}/{self.total} agree", *(f"  {note}" for note in self.notes)]
        lines += [
            f"  {case}: {'; '.join(problems[:3])}" for case, problems in list(self.failures.items())[:8]
        ]
        return "\n".join(lines)


def cases(name: str) -> list[dict[str, Any]]:
    with (FOLDER / f"{name}.json").open() as file:
        return json.load(file)["cases"]


def contract_of(case: dict[str, Any], base_fee: BaseFee = BaseFee.SEPARATE) -> Contract:
    instrument = case["instrument"]
    kind, base = ContractKind(instrument["kind"]), instrument.get("base") or "UNIT"
    # Spot states no settle currency; where another kind does not either, it is the usual one.
    usual = base if kind is ContractKind.INVERSE else instrument["quote"]
    return Contract(
        kind=kind,
        base=base,
        quote=instrument["quote"],
        settle=instrument.get("settle") or usual,
        multiplier=Decimal(instrument.get("multiplier") or 1),
        base_fee=base_fee,
    )


def entry_of(row: dict[str, Any], *, index: int, leg: str | None = None, kind: str = "fill") -> Entry:
    """A row of the fill schema as an entry; its place in the file is its time."""
    fee = row.get("fee")
    return Entry(
        kind=Kind(kind),
        venue_ref=f"{row['id']}" if kind == "fill" else f"{kind}-{index}",
        target=row["id"] if kind != "fill" else None,
        time=START + timedelta(seconds=index),
        cause=Cause.TRADE if kind == "fill" else None,
        instrument="X",
        leg=Leg(leg or row.get("position_side") or "net"),
        side=Side(row["side"]) if "side" in row else None,
        quantity=Decimal(row["qty"]) if "qty" in row else None,
        price=Decimal(row["price"]) if "price" in row else None,
        fee=Decimal(fee) if fee is not None else None,
        fee_currency=row.get("fee_currency") if fee is not None else None,
        received=index,
    )


class Book:
    """The positions of one instrument, and the totals over all their episodes."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.spot = contract.kind is ContractKind.SPOT
        self.positions: dict[Leg, PositionState] = {}
        self.realized: dict[Leg, Decimal] = defaultdict(Decimal)
        self.fees: dict[Leg, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
        self.flips = 0
        self.exits: list[tuple[Decimal, Decimal]] = []  # turnover (value in and out) and P&L of each exit
        self.bought = Decimal(0)
        self.left: dict[Leg, list[tuple[Decimal, Decimal]]] = defaultdict(list)  # exits of the episode

    def position(self, leg: Leg) -> PositionState:
        instrument = self.contract.base if self.spot else "X"
        if leg not in self.positions:
            self.positions[leg] = PositionState(contract=self.contract, instrument=instrument, leg=leg)
        return self.positions[leg]

    def book(self, entry: Entry) -> PositionChange:
        if self.spot:
            parts = by_asset(entry, self.contract, par=frozenset({self.contract.quote}))
            entry = next(part for part in parts if part.instrument == self.contract.base)
        leg = entry.leg or Leg.NET
        size = self.position(leg).size
        self.positions[leg], change = apply(self.position(leg), entry)
        if change.kind in ("opened", "flipped"):
            self.left[leg].clear()
        elif change.kind in ("reduced", "closed") and entry.quantity and entry.price:
            self.left[leg].append((min(entry.quantity, abs(size)), entry.price))
        if entry.price is not None and entry.quantity is not None:
            notional = self.contract.notional(entry.quantity, entry.price)
            if change.kind in ("reduced", "closed"):
                self.exits.append(
                    (notional + notional - (change.realized or 0), change.realized or Decimal(0))
                )
            else:
                self.bought += notional
        self.realized[leg] += change.realized or 0
        if entry.fee:
            self.fees[leg][entry.fee_currency or ""] += entry.fee
        self.flips += change.kind == "flipped"
        return change

    def arithmetic_exit(self, leg: Leg) -> Decimal:
        """The mean of exit prices by quantity: what some libraries state, even for inverse contracts."""
        quantity = sum(quantity for quantity, _ in self.left[leg])
        return sum(quantity * price for quantity, price in self.left[leg]) / quantity


@dataclass(frozen=True)
class Tolerance:
    """How near is equal: `money` absolute per fill by currency, `average` relative."""

    average: Decimal = Decimal("1e-9")
    money: Decimal | None = None  # None: half a unit of the currency's last place

    def of(self, currency: str, steps: int) -> Decimal:
        unit = self.money or Decimal(5).scaleb(-PLACES.get(currency, 2) - 1)
        return unit * max(1, steps)


@dataclass
class Checkpoint:
    """A moment of a case: the book, the last change, and how exact the source is."""

    expect: dict[str, Any]
    book: Book
    leg: Leg
    entry: Entry
    size_before: Decimal
    last: PositionChange
    steps: int
    tolerance: Tolerance
    case: dict[str, Any]
    found: list[str] = field(default_factory=list)

    def near(self, name: str, ours: Decimal | None, theirs: Any, allowed: Decimal) -> None:
        if ours is None or abs(ours - Decimal(theirs)) > allowed:
            self.found.append(f"{name} {ours} is not {theirs}")

    def same(self, name: str, ours: Any, theirs: Any) -> None:
        if ours != theirs:
            self.found.append(f"{name} {ours} is not {theirs}")

    def average(self, name: str, ours: Decimal | None, theirs: Any) -> None:
        # `avg_tol` is what the source itself was compared with, in price.
        stated = Decimal(self.expect.get("avg_tol") or 0)
        self.near(name, ours, theirs, max(stated, abs(Decimal(theirs)) * self.tolerance.average))

    def fees(self, name: str, ours: Any, theirs: dict[str, str]) -> None:
        for currency, amount in theirs.items():
            allowed = self.tolerance.of(currency, self.steps)
            self.near(f"{name} {currency}", ours.get(currency, Decimal(0)), amount, allowed)

    def check(self) -> list[str]:
        """What the source states and the book does not say. A statement we cannot read is a difference."""
        rough = ARITHMETIC_INVERSE in self.case.get("tags", ())
        for name, theirs in self.expect.items():
            known = self.quantities(name, theirs) or (rough and name != "note") or self.money(name, theirs)
            if not known and name not in ("note", "realized_return_tol", "avg_tol"):
                self.found.append(f"{name} cannot be read")
        return self.found

    def quantities(self, name: str, theirs: Any) -> bool:
        position = self.book.position(self.leg)
        side = "long" if position.size > 0 else "short" if position.size < 0 else "flat"
        opposite = self.size_before * position.size < 0
        opened = max(abs(position.size) - abs(self.size_before), Decimal(0))
        closed = max(abs(self.size_before) - abs(position.size), Decimal(0))
        if opposite:
            opened, closed = abs(position.size), abs(self.size_before)
        sign = 1 if self.entry.side is Side.BUY else -1
        times = {row["id"]: row.get("ts") for row in self.case["fills"]}
        ours: dict[str, Any] = {
            "signed_qty": position.size,
            "abs_qty": abs(position.size),
            "peak_abs_qty": position.peak_size,
            "opened": opened * sign,
            "closed": closed * sign,
            "side": side,
            "is_open": side != "flat",
            "is_closed": side == "flat",
            "is_long": side == "long",
            "is_short": side == "short",
            "closing_side": "sell" if position.size > 0 else "buy",
            "event_count": position.fills,
            "ts_opened": times.get(position.opened_by),
            "ts_closed": None if position.size else times.get(position.last_ref),
        }
        if name in ("ts_closed", "duration_ns") and position.size:
            return True  # by design: an open position has no closing time, whatever a source gives it
        if name in ours:
            self.same(name, ours[name], Decimal(theirs) if isinstance(ours[name], Decimal) else theirs)
        elif name == "duration_ns":
            self.same(name, times[position.last_ref] - times[position.opened_by], theirs)
        elif name in ("fees_since_flat", "fees_total"):
            self.fees(name, position.fees if name == "fees_since_flat" else self.book.fees[self.leg], theirs)
        else:
            return False
        return True

    def money(self, name: str, theirs: Any) -> bool:
        position, book = self.book.position(self.leg), self.book
        settle = book.contract.settle
        allowed = self.tolerance.of(settle, self.steps)
        match name:
            case "avg_entry" | "avg_entry_or_last" | "last_avg_entry":
                self.average(name, position.entry_price or position.last_entry_price, theirs)
            case "avg_entry_fraction":
                exact = Decimal(theirs[0]) / Decimal(theirs[1])
                self.average(name, position.entry_price or position.last_entry_price, exact)
            case "avg_exit" if book.contract.kind is ContractKind.INVERSE:
                # The library's arithmetic mean again: its number must be that mean of the same exits.
                self.average(name, book.arithmetic_exit(self.leg), theirs)
            case "avg_exit" | "lean_trade_avg_exit":
                self.average(name, position.exit_price, theirs)
            case "lean_trade_avg_entry":
                self.average(name, position.entered_price, theirs)
            case "realized_net_since_flat":
                net = position.realized_pnl - position.fees.get(settle, 0)
                self.near(name, net, theirs["amount"], allowed)
            case "realized_net_total":
                self.near(
                    name, book.realized[self.leg] - book.fees[self.leg][settle], theirs["amount"], allowed
                )
            case "realized_gross_total":
                self.near(name, book.realized[self.leg], theirs, allowed)
            case "realized_gross_last_fill":
                self.near(name, self.last.realized, theirs, allowed)
            case "realized_return":
                entered, left = position.last_entry_price or position.entry_price, position.exit_price
                gain = (left - entered) / entered if left is not None and entered else Decimal(0)
                short = (position.size or self.size_before) < 0
                allowed = Decimal(self.expect.get("realized_return_tol") or "1e-9")
                self.near(name, -gain if short else gain, theirs, allowed)
            case "unrealized" | "total_net" | "notional":
                self.valued(name, [theirs] if isinstance(theirs, dict) else theirs, allowed)
            case "reporting":
                self.reporting(theirs, allowed)
            case (
                "freqtrade_profit_this_exit"
                | "freqtrade_cumulative_profit"
                | "freqtrade_cumulative_profit_ratio"
            ):
                self.freqtrade(name, theirs)
            case _:
                return False
        return True

    def valued(self, name: str, rows: list[dict[str, str]], allowed: Decimal) -> None:
        position, contract = self.book.position(self.leg), self.book.contract
        for row in rows:
            value = contract.notional(abs(position.size), Decimal(row["price"]))
            gain = contract.pnl(position.size, position.open_cost or Decimal(0), value)
            net = gain + position.realized_pnl - position.fees.get(contract.settle, Decimal(0))
            ours = {"unrealized": gain, "notional": value, "total_net": net}[name]
            # Venues cut a notional where they round a P&L: a whole unit, not half.
            unit = allowed * 2 if name == "notional" else allowed
            self.near(name, ours, row["amount"], Decimal(row.get("tol") or unit))

    def reporting(self, theirs: dict[str, str], allowed: Decimal) -> None:
        """Another currency at a stated rate; Lean's unconverted closing fee is a known error, not copied."""
        rate = Decimal(theirs["rate"])
        book = self.book
        ours = {"realized": book.realized[self.leg], "fees": book.fees[self.leg][book.contract.settle]}
        for name, amount in ours.items():
            if name in theirs:
                self.near(f"reporting {name}", amount * rate, theirs[name], allowed * rate)

    def freqtrade(self, name: str, theirs: str) -> None:
        """Its profit of an exit, from ours: less the exit's fee and the entry fees of what closed."""
        rate = Decimal(self.case["fee_rate"])
        book = self.book
        if name == "freqtrade_profit_this_exit":
            self.near(name, book.exits[-1][1] - rate * book.exits[-1][0], theirs, Decimal("1e-6"))
        profit = sum((gain - rate * turned for turned, gain in book.exits), Decimal(0))
        if name == "freqtrade_cumulative_profit":
            self.near(name, profit, theirs, Decimal("1e-6"))
        if name == "freqtrade_cumulative_profit_ratio":
            self.near(name, profit / (book.bought * (1 + rate)), theirs, Decimal("1e-6"))


def run(case: dict[str, Any], tolerance: Tolerance) -> list[str]:
    """Book the fills of a case one by one and compare at every checkpoint.

    `out_of_order`: the source goes by time, so a checkpoint compares with all that arrived until then, in
    order. Where times contradict the arrival and a case does not say by which it goes, one must agree.
    """
    due: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for checkpoint in case["checkpoints"]:
        due[checkpoint["after"]].append(checkpoint)
    rows = list(enumerate(case["fills"]))
    by_time = case.get("out_of_order") or "out_of_order" in case.get("tags", ())
    found = [] if by_time else _booked(case, rows, due, tolerance)
    if not by_time and (not found or not is_out_of_order(case)):
        return found
    again: list[str] = []
    for after, checkpoints in sorted(due.items()):
        arrived = sorted(rows[:after], key=lambda pair: (pair[1]["ts"], pair[0]))
        again += _booked(case, arrived, {after: checkpoints}, tolerance)
    return found if found and again else again


def is_out_of_order(case: dict[str, Any]) -> bool:
    """Whether the times of a case contradict the order of its rows."""
    times = [row.get("ts") for row in case["fills"]]
    return None not in times and any(later < earlier for earlier, later in pairwise(times))


def _booked(
    case: dict[str, Any],
    rows: list[tuple[int, dict[str, Any]]],
    due: dict[int, list[dict[str, Any]]],
    tolerance: Tolerance,
) -> list[str]:
    book = Book(contract_of(case))
    found: list[str] = []
    for done, (_, row) in enumerate(rows, start=1):
        entry = entry_of(row, index=done - 1)
        leg = entry.leg or Leg.NET
        before = book.position(leg).size
        change = book.book(entry)
        for checkpoint in due.get(done, ()):
            leg = Leg(checkpoint.get("position_side") or "net")
            steps = done + book.flips
            at = Checkpoint(checkpoint["expect"], book, leg, entry, before, change, steps, tolerance, case)
            found += [f"after {done}: {problem}" for problem in at.check()]
    return found


def run_file(name: str, tolerance: Tolerance) -> Report:
    """Every case of a file of fills with checkpoints."""
    report = Report(name)
    for case in cases(name):
        if impossible := [row["id"] for row in case["fills"] if Decimal(row["price"]) <= 0]:
            report.add(case["id"], refused(case, impossible[0]))
            report.notes.append(f"{case['id']}: a price that is not positive is refused, by design")
        else:
            report.add(case["id"], run(case, tolerance))
    return report


def refused(case: dict[str, Any], reference: str) -> list[str]:
    """The book takes no price <= 0: the entry that has one must be refused by name."""
    try:
        run(case, Tolerance())
    except InvalidEntry as error:
        wrong = (error.field, error.entry) != ("price", reference)
        return [f"refused for another reason: {error}"] if wrong else []
    return ["a price that is not positive was booked"]
