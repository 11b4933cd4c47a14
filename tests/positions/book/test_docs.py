"""The examples of docs/accounting.md are true."""

import doctest
from decimal import Decimal
from pathlib import Path

from positions.book import BaseFee, cash_legs, plain
from positions.risk.measures import liquidation_distance_pct, unrealized_pnl, unrealized_pnl_pct
from tests import words

PAGE = Path(__file__).parents[3] / "docs" / "accounting.md"
NAMES = {
    **{name: value for name, value in vars(words).items() if not name.startswith("_")},
    "D": Decimal,
    "BaseFee": BaseFee,
    "cash_legs": cash_legs,
    "plain": plain,
    "liquidation_distance_pct": liquidation_distance_pct,
    "unrealized_pnl": unrealized_pnl,
    "unrealized_pnl_pct": unrealized_pnl_pct,
}


class TestAccountingPage:
    def test_every_example_gives_what_it_says(self):
        result = doctest.testfile(str(PAGE), module_relative=False, globs=NAMES)
        assert result.attempted >= 40
        assert result.failed == 0
