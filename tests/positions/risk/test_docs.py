"""The examples of docs/risk.md are true."""

import doctest
from decimal import Decimal
from pathlib import Path

from positions.book.money import plain
from positions.risk import bands, features, hyperliquid_margin, liquidation, measures, tiers
from tests.positions.risk import contracts

PAGE = Path(__file__).parents[3] / "docs" / "risk.md"


class TestRiskPage:
    def test_every_example_gives_what_it_says(self):
        names = {}
        for module in (bands, features, hyperliquid_margin, liquidation, measures, tiers, contracts):
            names |= {key: value for key, value in vars(module).items() if not key.startswith("_")}
        result = doctest.testfile(
            str(PAGE), module_relative=False, globs={**names, "D": Decimal, "plain": plain}
        )
        assert result.attempted >= 30
        assert result.failed == 0
