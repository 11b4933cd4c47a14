"""Books that a careless person would write, and which existing check catches each.

Every mistake is one change of the real source, put in place for a moment (`python -m
tests.positions.book.wrong_books` prints the table). A mistake that no check catches means a missing check.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from types import CodeType, FunctionType, ModuleType

import pytest

from positions.book import apply as apply_function
from positions.book import cash, contracts, money, order, resolve, trade
from tests.positions.book import checks, test_apply, test_cash, test_fold, vector_report
from tests.words import entries, inverse, perp

apply = sys.modules[apply_function.__module__]
resolve = sys.modules[resolve.__module__]
STORY = (
    "buy 0.123456789 @ 60123.456789 fee 0.012345678 USDT",
    "buy 70000.3 @ 59876.1 fee -0.1 USDT",
    "sell 0.7 @ 61000.123456 fee 3 USDT",
    "sell 80000.1 @ 60500.7 fee 1.23456 USDT",
    "buy 20000 @ 60321.9 fee 7 USDT",
)
VECTORS = ("other_libraries", "nautilus_corrections", "hyperliquid_fills", "nautilus_live")


@dataclass(frozen=True)
class Mistake:
    """A snippet of a module's source, and what the careless person wrote there."""

    name: str
    module: ModuleType
    right: str
    wrong: str


MISTAKES = [
    Mistake(
        "a reduction moves the average",
        trade,
        "part = share(cost, signed, negate(size))",
        "part = deal.notional",
    ),
    Mistake(
        "a flip keeps the old average",
        trade,
        "deal.signed), into, fee_in",
        "deal.signed), share(position.open_cost, add(position.size, deal.signed), closing), fee_in",
    ),
    Mistake(
        "a flip's fee is charged to both episodes",
        trade,
        "(fee_out, fee_in) = halves(deal.notional), halves(deal.fee)",
        "(fee_out, fee_in) = halves(deal.notional), (deal.fee, deal.fee)",
    ),
    Mistake(
        "a flip's fee is left with the closed episode",
        trade,
        "(fee_out, fee_in) = halves(deal.notional), halves(deal.fee)",
        "(fee_out, fee_in) = halves(deal.notional), (deal.fee, ZERO)",
    ),
    Mistake(
        "realized P&L is net of the fee, which is subtracted again",
        trade,
        "else add(position.realized_pnl, gain)",
        "else add(position.realized_pnl, subtract(gain, fee or ZERO))",
    ),
    Mistake("rebates are booked as costs", trade, "ZERO), fee)}", "ZERO), fee.copy_abs())}"),
    Mistake(
        "the last episode's P&L goes on in the next", trade, "if position.opened_by is not None:", "if False:"
    ),
    Mistake(
        "the peak follows the size down",
        trade,
        "peak if peak > position.peak_size else position.peak_size",
        "peak",
    ),
    Mistake(
        "the average is stored, rounded to 8 places",
        money,
        "quantize(divide(multiply(total, part), whole), QUANTUM)",
        "quantize(multiply(part, quantize(divide(total, whole), Decimal('1e-8'))), QUANTUM)",
    ),
    Mistake(
        "the multiplier is ignored",
        contracts,
        "quantize(multiply(multiply(quantity, self.multiplier), price), QUANTUM)",
        "quantize(multiply(quantity, price), QUANTUM)",
    ),
    Mistake(
        "an inverse contract is counted as a linear one",
        contracts,
        "quantize(divide(multiply(quantity, self.multiplier), price), QUANTUM)",
        "quantize(multiply(multiply(quantity, self.multiplier), price), QUANTUM)",
    ),
    Mistake(
        "an inverse average is cost by size, not size by cost",
        contracts,
        "if self.kind is _INVERSE:\n            return quantize(divide(multiply(size",
        "if False:\n            return quantize(divide(multiply(size",
    ),
    Mistake(
        "a short's P&L has a long's sign",
        contracts,
        "if (size > 0) is (self.kind is not _INVERSE):",
        "if self.kind is not _INVERSE:",
    ),
    Mistake(
        "the thread's decimal context rounds the notional",
        contracts,
        "quantize(multiply(multiply(quantity, self.multiplier), price), QUANTUM)",
        "quantity * self.multiplier * price",
    ),
    Mistake(
        "an unknown price is zero",
        apply,
        "if price is None or quantity is None:\n        return None",
        "if price is None or quantity is None:\n        return ZERO",
    ),
    Mistake(
        "a spot fee in the asset leaves the quantity",
        apply,
        "if fee and contract.kind is _SPOT and entry.fee_currency == contract.base:",
        "if False:",
    ),
    Mistake(
        "funding received is funding paid",
        apply,
        "(amount, worth) if sign > 0",
        "(amount, worth) if sign < 0",
    ),
    Mistake(
        "a capitalised fee is counted again",
        cash,
        "quantity=held, fee=ZERO, fee_currency=None)",
        "quantity=held)",
    ),
    Mistake(
        "a lot from before the connection moves cash",
        cash,
        "contract is None or entry.cause in _MOVES_NO_CASH",
        "contract is None",
    ),
    Mistake(
        "late fills count on arrival",
        order,
        "groupby(sorted(entries, key=_time), key=_time)",
        "groupby(entries, key=_time)",
    ),
    Mistake(
        "fills of one millisecond go by reference alone",
        order,
        "if all(entry.position_before is not None for entry in sized):",
        "if False:",
    ),
    Mistake(
        "a fill delivered twice counts twice",
        resolve,
        "_without_replaced(tuple(effective.values()))",
        "_without_replaced((*effective.values(), *changed))",
    ),
    Mistake(
        "a busted fill stays",
        resolve,
        "if entry.kind not in TARGETED_KINDS and reference not in busted",
        "if entry.kind not in TARGETED_KINDS",
    ),
    Mistake(
        "an amend is lost that arrives before its fill",
        resolve,
        "for amend in amends.get(entry.venue_ref, ()):",
        "for amend in [a for a in amends.get(entry.venue_ref, ()) if _receipt(a) > _receipt(entry)]:",
    ),
    Mistake("an inferred fill is never replaced", resolve, "return same_key and", "return False and"),
]


@contextmanager
def made(mistake: Mistake) -> Iterator[None]:
    """The book with the mistake in it, for every importer: the functions' own code is replaced."""
    source = inspect.getsource(mistake.module)
    assert source.count(mistake.right) == 1, f"{mistake.name}: the source has changed, restate the mistake"
    wrong = ModuleType(mistake.module.__name__)
    sys.modules[f"{wrong.__name__}_wrong"] = wrong
    wrong.__name__ += "_wrong"
    code = compile(source.replace(mistake.right, mistake.wrong), mistake.module.__file__ or "", "exec")
    exec(code, wrong.__dict__)
    originals: list[tuple[FunctionType, CodeType]] = []
    try:
        for right_function, wrong_function in _functions(mistake.module, wrong):
            originals.append((right_function, right_function.__code__))
            right_function.__code__ = wrong_function.__code__
        yield
    finally:
        for function, original in originals:
            function.__code__ = original
        del sys.modules[wrong.__name__]


def _functions(right: ModuleType, wrong: ModuleType) -> Iterator[tuple[FunctionType, FunctionType]]:
    for name, value in vars(right).items():
        if getattr(value, "__module__", None) != right.__name__:
            continue
        pairs = [(value, getattr(wrong, name))]
        if isinstance(value, type):
            pairs = [(method, vars(getattr(wrong, name)).get(key)) for key, method in vars(value).items()]
        yield from (
            (ours, theirs)
            for ours, theirs in pairs
            if isinstance(ours, FunctionType) and ours.__code__.co_filename == right.__file__
        )


def examples() -> dict[str, Callable[[], None]]:
    """The worked examples of the book's tests that need no arguments, and the laws on one fixed story."""
    owners = [
        owner
        for module in (test_apply, test_cash, test_fold)
        for name, owner in vars(module).items()
        if name.startswith("Test")
    ]
    found: dict[str, Callable[[], None]] = {
        f"{owner.__name__}.{name}": getattr(owner(), name)
        for owner in owners
        for name, test in vars(owner).items()
        if name.startswith("test_") and list(inspect.signature(test).parameters) == ["self"]
    }
    for contract in (perp(multiplier="0.01"), inverse()):
        story = entries(*(line.replace("USDT", contract.settle) for line in STORY))
        mark = Decimal("61234.5")
        found[f"cash adds up, {contract.kind}"] = partial(checks.cash_adds_up, story, contract, mark)
        found[f"any context, {contract.kind}"] = partial(checks.any_context_gives_the_same, story, contract)
    return found


def failing_examples() -> list[str]:
    return [name for name, check in examples().items() if not _passes(check)]


def failing_vectors() -> list[str]:
    """The first vector file that disagrees, if any."""
    for name in VECTORS:
        if vector_report.FILES[name]().failures:
            return [name]
    return []


def _passes(check: Callable[[], None]) -> bool:
    try:
        check()
    except (AssertionError, pytest.fail.Exception):
        return False
    return True


def main() -> None:
    sys.stdout.write(
        "| the careless book | examples that fail | vectors that disagree |\n| --- | --- | --- |\n"
    )
    for mistake in MISTAKES:
        with made(mistake):
            told, measured = failing_examples(), failing_vectors()
        sys.stdout.write(f"| {mistake.name} | {len(told)}: {', '.join(told[:1])} | {', '.join(measured)} |\n")


if __name__ == "__main__":
    main()
