"""The book's speed: entries through `apply`, memory while streaming, and a late fill in a long episode."""

from __future__ import annotations

import multiprocessing
import random
import resource
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from positions.book import Cause, Contract, ContractKind, Entry, Kind, PositionState, Side, apply, fold

CONTRACT = Contract(ContractKind.LINEAR, "BTC", "USDC", "USDC")
START = datetime(2026, 1, 1, tzinfo=UTC)
APPLIED = 100_000
STREAMED = 1_000_000
EPISODE = 10_000


def run(report: Callable[..., None]) -> None:
    """Figures: entries/s (floor: a bare Decimal fold of the same numbers), MB of growth, late fill in ms."""
    entries = list(fills(APPLIED))
    rate = max(_rate(lambda: _through_apply(entries), APPLIED) for _ in range(5))
    floor = max(_rate(lambda: _bare_fold(entries), APPLIED) for _ in range(5))
    report("entries through apply", rate, "entries/s", 120_000, "higher", floor)
    with multiprocessing.get_context("spawn").Pool(1) as fresh:  # a peak is only told apart in a new process
        report("memory growth over 1 M in-order entries", fresh.apply(_growth), "MB", 5, "lower")
    report("late fill in an episode of 10,000", _late_fill() * 1000, "ms", 100, "lower")


def fills(count: int, seed: int = 7) -> Iterator[Entry]:
    """A seeded stream of fills in time order: increases, reductions and flips."""
    draw = random.Random(seed)
    for number in range(count):
        yield Entry(
            kind=Kind.FILL,
            cause=Cause.TRADE,
            venue_ref=f"hyperliquid:BTC:{number:09}",
            time=START + timedelta(milliseconds=number),
            instrument="BTC",
            side=Side.BUY if draw.random() < 0.5 else Side.SELL,
            quantity=Decimal(draw.randrange(1, 10**6)).scaleb(-5),
            price=Decimal(draw.randrange(500_000, 700_000)).scaleb(-1),
            fee=Decimal(draw.randrange(1, 10**6)).scaleb(-6),
            fee_currency="USDC",
        )


def _rate(work: Callable[[], object], count: int) -> float:
    began = time.process_time()  # of this process: what else runs on the machine is not the book's speed
    work()
    return count / (time.process_time() - began)


def _through_apply(entries: list[Entry]) -> PositionState:
    position = PositionState(contract=CONTRACT, instrument="BTC")
    for entry in entries:
        position, _ = apply(position, entry)
    return position


def _bare_fold(entries: list[Entry]) -> tuple[Decimal, Decimal, Decimal]:
    """Average cost in plain variables: no state objects, no order, no rounding, no unknowns."""
    size = cost = realized = fees = Decimal(0)
    for entry in entries:
        quantity, price = entry.quantity or Decimal(0), entry.price or Decimal(0)
        signed = quantity if entry.side is Side.BUY else -quantity
        fees += entry.fee or Decimal(0)
        if size * signed >= 0:
            size, cost = size + signed, cost + quantity * price
            continue
        closing = min(quantity, abs(size))
        part = cost * closing / abs(size)
        realized += (closing * price - part) * (1 if size > 0 else -1)
        size, cost = size + signed, (cost - part if quantity <= closing else (quantity - closing) * price)
    return size, cost, realized - fees


def _growth() -> float:
    """MB by which the process's peak grew between the first tenth of the stream and its end."""
    position = PositionState(contract=CONTRACT, instrument="BTC")
    early = 0
    for number, entry in enumerate(fills(STREAMED)):
        position, _ = apply(position, entry)
        if number == STREAMED // 10:
            early = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - early) / 1024


def _late_fill() -> float:
    """CPU seconds to fold an open episode again when a fill turns up in its middle; best of many."""
    entries = [entry for entry in fills(2 * EPISODE) if entry.side is Side.BUY][:EPISODE]
    late = entries.pop(len(entries) // 2)
    empty = PositionState(contract=CONTRACT, instrument="BTC")
    times = []
    for _ in range(15):
        began = time.process_time()
        folded = fold([*entries, late], start=empty)
        times.append(time.process_time() - began)
    if len(folded.effective) != len(entries) + 1:
        raise AssertionError("the late fill was not booked")
    return min(times)
