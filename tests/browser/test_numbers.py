"""The server's filters and the browser's module write each number alike."""

import base64
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from core.templatetags import numbers
from tests.browser.number_cases import CASES

FORMAT_JS = Path(__file__).resolve().parents[2] / "static/js/format.js"
CALL_ALL = """async ([source, calls]) => {
  const rules = await import("data:text/javascript;base64," + source);
  return calls.map(([rule, args]) => rules[rule](...args));
}"""
RULES_OF_ONE = (
    "multiple",
    "money",
    "whole",
    "signed",
    "netted",
    "percent",
    "distance",
    "bar",
    "sign",
    "negated",
)


def in_browser(page: Any, calls: list[tuple[str, tuple[object, ...]]]) -> list[object]:
    source = base64.b64encode(FORMAT_JS.read_bytes()).decode()
    return page.evaluate(CALL_ALL, [source, calls])


class TestTheServersFilters:
    @pytest.mark.parametrize(("rule", "args", "text"), CASES)
    def test_write_what_a_trader_reads(self, rule, args, text):
        assert getattr(numbers, rule)(*args) == text

    def test_take_decimals_as_well_as_texts(self):
        assert numbers.money(Decimal("1E+3")) == "1,000.00"
        assert numbers.quantity(Decimal("1E-8")) == "0.00000001"

    @pytest.mark.parametrize("value", ["NaN", "Infinity"])
    def test_refuse_what_is_no_number(self, value):
        with pytest.raises(ValueError, match="can be shown"):
            numbers.money(value)


@pytest.mark.browser
class TestTheBrowsersModule:
    def test_writes_each_case_alike(self, page):
        written = in_browser(page, [(rule, args) for rule, args, _ in CASES])
        wrong = [(case, got) for case, got in zip(CASES, written, strict=True) if case[2] != got]
        assert not wrong

    def test_agrees_with_the_server_on_two_thousand_random_numbers(self, page):
        dice = random.Random(20261121)
        calls: list[tuple[str, tuple[object, ...]]] = []
        for _ in range(200):
            number = Decimal(dice.randint(-(10 ** dice.randint(1, 30)), 10 ** dice.randint(1, 30))).scaleb(
                -dice.randint(0, 18)
            )
            step = dice.choice([None, "1", "0.5", "0.01", "0.000001", "10"])
            calls += [(rule, (f"{number:f}",)) for rule in RULES_OF_ONE]
            calls += [("quantity", (f"{number:f}", step)), ("price", (f"{number:f}", step))]
        expected = [getattr(numbers, rule)(*args) for rule, args in calls]
        got = in_browser(page, calls)
        assert [c for c in zip(calls, expected, got, strict=True) if c[1] != c[2]] == []

    def test_refuses_exponents_instead_of_guessing(self, page):
        with pytest.raises(Exception, match="not a number that can be shown"):
            in_browser(page, [("money", ("1E-8",))])
