"""Unrealized P&L and notional at every point where a venue or another project states them."""

from decimal import Decimal

import pytest

from positions.book.contracts import Contract, ContractKind
from positions.risk.measures import notional, unrealized_pnl
from tests.positions.risk.vectors import cases, number, show

FILES = ["nautilus_live", "nautilus_corrections"]


def contract(case: dict, size: Decimal) -> Contract:
    """The case's contract; a spot pair sold short (no venue's spot does) is measured as linear."""
    given = case["instrument"]
    kind = ContractKind(given["kind"])
    if kind is ContractKind.SPOT and size < 0:
        kind = ContractKind.LINEAR
    base = given.get("base") or "UNIT"
    return Contract(
        kind=kind,
        base=base,
        quote=given["quote"],
        settle=given.get("settle") or (base if kind is ContractKind.INVERSE else given["quote"]),
        multiplier=Decimal(given.get("multiplier") or 1),
    )


def stated(case: dict):
    """(id, size, entry, price, amount) of each checkpoint that states all of them."""
    for checkpoint in case["checkpoints"]:
        expect = checkpoint["expect"]
        if {"unrealized", "avg_entry", "signed_qty"} <= set(expect):
            key = f"{case['id']} after {checkpoint['after']} {checkpoint.get('position_side', '')}"
            size, entry = number(expect["signed_qty"]), number(expect["avg_entry"])
            # Arithmetic averages of inverse entries are wrong; the gain from a stated average is not.
            yield key, size, entry, expect["unrealized"]


def points(value) -> list[dict]:
    return value if isinstance(value, list) else [value]


class TestUnrealizedVectors:
    @pytest.mark.parametrize("name", FILES)
    def test_what_another_engine_states_at_each_fill(self, name, capsys):
        results = {}
        for case in cases(name):
            for key, size, entry, unrealized in stated(case):
                terms = contract(case, size)
                for point in points(unrealized):
                    ours = unrealized_pnl(
                        contract=terms, size=size, entry_price=entry, mark=number(point["price"])
                    )
                    # Money is kept to 8 places there, and averages as doubles (1e-12 relative).
                    value = notional(contract=terms, size=size, price=entry)
                    tolerance = Decimal("1e-8") + value * Decimal("1e-12")
                    results[f"{key} @ {point['price']}"] = abs(ours - number(point["amount"])) <= tolerance
        show(capsys, f"{name}, unrealized", results)


class TestExchangeRecordedVectors:
    def test_what_venues_state_of_a_position_just_opened(self, capsys):
        results = {}
        for case in cases("exchange_recorded"):
            for checkpoint in case["checkpoints"]:
                fills = case["fills"][: checkpoint["after"]]
                if len({fill["side"] for fill in fills}) == 1:
                    results |= opened(case, fills, checkpoint["expect"])
        show(capsys, "exchange_recorded, unrealized and notional", results)


def opened(case: dict, fills: list[dict], expect: dict) -> dict[str, bool]:
    side = 1 if fills[0]["side"] == "buy" else -1
    size = side * sum(Decimal(fill["qty"]) for fill in fills)
    terms = contract(case, size)
    cost = sum(
        notional(contract=terms, size=Decimal(fill["qty"]), price=Decimal(fill["price"])) for fill in fills
    )
    measures = {
        "unrealized": lambda price: unrealized_pnl(contract=terms, size=size, open_cost=cost, mark=price),
        "notional": lambda price: notional(contract=terms, size=size, price=price),
    }
    return {
        f"{case['id']} {name} @ {point['price']}": within(measure(number(point["price"])), point)
        for name, measure in measures.items()
        for point in points(expect.get(name, []))
    }


def within(ours: Decimal, point: dict) -> bool:
    return abs(ours - number(point["amount"])) <= Decimal(point.get("tol", "1e-8"))
