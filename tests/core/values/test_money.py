from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from core.values.money import Money, fixed

money = TypeAdapter(Money)


class TestMoneyIsWritten:
    @pytest.mark.parametrize(
        ("value", "text"),
        [
            ("1E-8", "0.00000001"),
            ("60000.00", "60000"),
            ("1E+3", "1000"),
            ("-0.10", "-0.1"),
            ("-0", "0"),
            ("0.30000000000000004", "0.30000000000000004"),
        ],
    )
    def test_in_fixed_notation(self, value, text):
        assert fixed(Decimal(value)) == text
        assert money.dump_json(Decimal(value)) == f'"{text}"'.encode()

    @given(st.decimals(allow_nan=False, allow_infinity=False, places=18))
    def test_without_losing_a_digit(self, value):
        assert Decimal(fixed(value)) == value
        assert "E" not in fixed(value)


class TestMoneyIsRead:
    @pytest.mark.parametrize("given_", ["60000.5", 60000, Decimal("60000.5")])
    def test_from_strings_and_whole_numbers(self, given_):
        assert money.validate_python(given_) == Decimal(str(given_))

    @pytest.mark.parametrize(
        "given_", [0.1, True, "NaN", "Infinity", "sixty", None, "", "1_0", " 1", "\u0661", "."]
    )
    def test_never_from_floats_or_nonsense(self, given_):
        with pytest.raises(ValidationError):
            money.validate_python(given_)
