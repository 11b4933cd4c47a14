"""What follows from a price: the browser reckons it to the last digit as the server does."""

import base64
import random
from decimal import Decimal
from pathlib import Path

import pytest
from django.utils import timezone

from core.values.money import fixed
from portfolio.live.board_position import (
    KEPT,
    BoardAccount,
    BoardMarket,
    BoardPosition,
    VenueTerms,
    board_price,
    row_of,
    value,
)
from positions.book.contracts import Contract, ContractKind

pytestmark = pytest.mark.browser

STATIC = Path(__file__).resolve().parents[2] / "static/js"
MOVE_ALL = """async ([format, derive, moves]) => {
  const made = (source) => "data:text/javascript;base64," + source;
  const text = atob(derive).replace("./format.js", made(format));
  const { at } = await import(made(btoa(text)));
  return moves.map(([row, values]) => at(row, values));
}"""
FOLLOWS = (
    "mark_price", "notional", "unrealized_pnl", "unrealized_pnl_pct", "total_pnl", "liquidation_distance_pct",
)  # fmt: skip
MARKETS = {
    "linear": ("BTC/USDC:USDC", Contract(kind=ContractKind.LINEAR, base="BTC", quote="USDC", settle="USDC")),
    "inverse": (
        "BTC/USD:BTC",
        Contract(kind=ContractKind.INVERSE, base="BTC", quote="USD", settle="BTC", multiplier=Decimal(100)),
    ),
    "coin": ("BTC", Contract(kind=ContractKind.SPOT, base="BTC", quote="USD", settle="USD")),
}


def position(dice, name, *, cost_known=True):
    """Some position of some size at some cost, with a liquidation price where there is one."""
    symbol, contract = MARKETS[name]
    size = Decimal(dice.randint(1, 10**9)).scaleb(-dice.randint(0, 8))
    quantity = -size if name != "coin" and dice.random() < 0.5 else size
    entry = price(dice)
    row = {"name": "x", "kind": "x", "symbol": symbol, "currency": contract.settle}
    return BoardPosition(
        id=7, version=1, status="OPEN", leg="net", quantity=quantity,
        open_cost=contract.notional(size, entry) if cost_known else None,
        net_pnl=Decimal(dice.randint(-(10**9), 10**9)).scaleb(-6), kept=("0",) * len(KEPT),
        account=BoardAccount(1, "hyperliquid", {"account": "main"}),
        market=BoardMarket(1, contract, "BTC", name != "coin", (), row),
        terms=VenueTerms(
                1, quantity, None, None if name == "coin" or dice.random() < 0.2 else price(dice), False
            ),
    )  # fmt: skip


def price(dice):
    return Decimal(dice.randint(1, 10**7)).scaleb(-dice.randint(0, 5))


def at(facts, mark):
    quote = board_price((mark, timezone.now()))
    value(facts, price=quote)
    return row_of(facts, price=quote)


def short_row(facts, mark):
    """The position at a price, and what a compact client is sent of it."""
    row = at(facts, mark)
    return row, [row["id"], row["mark_price"], row["unrealized_pnl"], 1_795_276_513_752]


def moved(page, moves):
    sources = [base64.b64encode((STATIC / name).read_bytes()).decode() for name in ("format.js", "derive.js")]
    return page.evaluate(MOVE_ALL, [*sources, moves])


class TestAPriceThatMoves:
    def test_gives_the_row_that_the_server_would_have_sent(self, page):
        dice = random.Random(8)
        moves, expected = [], []
        for turn in range(600):
            facts = position(dice, list(MARKETS)[turn % 3], cost_known=turn % 7 != 0)
            before = at(facts, price(dice))
            after, values = short_row(facts, price(dice))
            moves.append((before, values))
            expected.append(after)
        for (before, _), got, after in zip(moves, moved(page, moves), expected, strict=True):
            for name in FOLLOWS:
                assert is_equal(got[name], after[name]), (name, before, got, after)
            others = before.keys() - {*FOLLOWS, "mark_at", "risk"}
            assert {name: got[name] for name in others} == {name: before[name] for name in others}
            assert got["mark_at"] == "2026-11-21T15:55:13.752Z"

    def test_that_is_no_longer_known_makes_all_that_follows_unknown(self, page):
        facts = position(random.Random(8), "linear")
        before = at(facts, Decimal(60000))
        after, values = short_row(facts, None)
        [got] = moved(page, [(before, values)])
        assert {name: got[name] for name in FOLLOWS} == {name: after[name] for name in FOLLOWS}

    def test_over_a_row_without_a_price_gives_nothing(self, page):
        facts = position(random.Random(8), "linear")
        before = at(facts, None)
        _, values = short_row(facts, Decimal(60000))
        assert moved(page, [(before, values)]) == [None]


def is_equal(got, expected):
    """To the 18 places that are kept: a notional scaled from another price may differ in the last of them."""
    if got is None or expected is None:
        return got is expected
    assert got == fixed(Decimal(got)), "written as the server writes"
    return abs(Decimal(got) - Decimal(expected)) <= max(abs(Decimal(expected)), 1) * Decimal("1e-12")
