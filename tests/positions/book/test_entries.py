from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from positions.book import (
    Contract,
    ContractKind,
    Entry,
    InvalidEntry,
    ParValue,
    apply,
    compare,
    completion,
    exact,
    plain,
)
from tests.words import entry, fill, flat, minute

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


class TestBadInput:
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("quantity", Decimal("NaN")),
            ("quantity", Decimal("Infinity")),
            ("quantity", Decimal(0)),
            ("quantity", Decimal(-1)),
            ("quantity", 1.5),
            ("quantity", Decimal("1e-19")),
            ("quantity", Decimal("1234567890123456789012345678901234567890")),
            ("quantity", None),
            ("price", Decimal("sNaN")),
            ("price", Decimal("-Infinity")),
            ("price", Decimal(0)),
            ("price", Decimal(-5)),
            ("price", Decimal("0.0000000000000000001")),
            ("price", "60000,5"),
            ("fee", Decimal("NaN")),
            ("fee", True),
            ("fee_currency", None),
            ("fee_currency", ""),
            ("fee_currency", "UNKNOWN"),
            ("fee_currency", "US DT"),
            ("position_before", Decimal("Infinity")),
            ("time", datetime(2026, 3, 2)),  # noqa: DTZ001 - the mistake under test
            ("time", datetime(2026, 3, 2, tzinfo=timezone(timedelta(hours=2)))),
            ("watermark", datetime(2026, 3, 2)),  # noqa: DTZ001
            ("par", ParValue(Decimal("NaN"), "mark", NOW)),
            ("instrument", None),
            ("side", None),
            ("cause", None),
            ("cause", "deposit"),
            ("venue_ref", ""),
            ("kind", "swap"),
            ("side", "up"),
            ("time", "2026-03-02"),
            ("par", ParValue(Decimal(-1), "mark", NOW)),
            ("par", ParValue(Decimal(1), "mark", datetime(2026, 3, 2))),  # noqa: DTZ001
        ],
    )
    def test_names_the_field_and_the_entry(self, field, value):
        with pytest.raises(InvalidEntry) as caught:
            fill("buy 2 @ 60000 fee 1 USDT as hl:BTC:7", **{field: value})
        assert caught.value.field == field
        assert caught.value.entry == ("" if field == "venue_ref" else "hl:BTC:7")
        assert field in str(caught.value)

    @pytest.mark.parametrize(
        ("line", "field", "changes"),
        [
            ("funding 1 USDT", "currency", {"currency": None}),
            ("funding 1 USDT", "amount", {"amount": None}),
            ("deposit 1 USDT", "cause", {"cause": None}),
            ("deposit 1 USDT", "cause", {"cause": "trade"}),
            ("adjust 1 USDT because x", "reason", {"reason": ""}),
            ("adjust 1 USDT because x", "quantity", {"amount": None}),
            ("adjust buy 1 @ 1 because x", "side", {"side": None}),
            ("bust x", "target", {"target": None}),
            ("bust x as y", "target", {"target": "y"}),
        ],
    )
    def test_of_other_kinds_is_refused_too(self, line, field, changes):
        with pytest.raises(InvalidEntry) as caught:
            entry(line, **changes)
        assert caught.value.field == field

    @pytest.mark.parametrize(
        ("field", "value"), [("base", ""), ("settle", "NULL"), ("multiplier", Decimal(0))]
    )
    def test_of_a_contract_is_refused_too(self, field, value):
        terms = {"kind": ContractKind.LINEAR, "base": "BTC", "quote": "USDT", "settle": "USDT"}
        with pytest.raises(InvalidEntry, match=field):
            Contract(**(terms | {field: value}))


class TestAnEntry:
    def test_keeps_a_word_as_its_enum_member(self):
        assert fill("buy 1 @ 1", side="sell", cause="liquidation").to_plain()["side"] == "sell"
        state, _ = apply(flat(), fill("buy 1 @ 1", side="sell"))
        assert state.size == -1
        state, _ = apply(flat(), fill("sell 1 @ 1", side="buy"))
        assert state.size == 1

    def test_keeps_a_number_with_at_most_18_places(self):
        state, _ = apply(flat(), fill("buy 1 @ 1", quantity=Decimal("1.500000000000000000000")))
        assert str(state.size) == "1.500000000000000000"


class TestNumbers:
    @pytest.mark.parametrize(
        "text", ["12345678901234567890.123456789012345678", "-0.000000000000000001", "1E+3"]
    )
    def test_that_numeric_38_18_holds_are_taken_exactly(self, text):
        assert exact(text, field="price") == Decimal(text)

    def test_with_trailing_zeros_beyond_18_places_are_the_same_number(self):
        assert exact("1.50000000000000000000000", field="price") == Decimal("1.5")

    @pytest.mark.parametrize(
        "text", ["123456789012345678901", "1e20", "0.1234567890123456789", "", "1_0x", "nan"]
    )
    def test_that_numeric_38_18_cannot_hold_are_refused(self, text):
        with pytest.raises(InvalidEntry):
            exact(text, field="price")

    @pytest.mark.parametrize(
        ("number", "text"),
        [("1.50", "1.5"), ("6E4", "60000"), ("-0.00", "0"), ("1E-18", "0.000000000000000001")],
    )
    def test_are_written_in_fixed_notation(self, number, text):
        assert plain(Decimal(number)) == text


class TestContent:
    @pytest.mark.parametrize(
        "line",
        [
            "buy 2.50 BTC @ 6E4 fee 1.20 USDT worth 120000 fee-worth 1.2 before -0.5",
            "long sell 1 @ ? fee ? liquidation",
            "unlegged funding -3 USDT",
            "withdraw 5 USDC",
            "adjust buy 1 @ ? because a fill is missing",
            "buy 3 @ 100 inferred until 9",
            "bust 7",
            "amend 7 price 3",
        ],
    )
    def test_survives_the_way_through_text(self, line):
        fact = entry(line, wallet="perp", received=None)
        assert Entry.from_plain(fact.to_plain()) == fact

    def test_is_the_same_text_however_the_numbers_were_written(self):
        assert fill("buy 2.50 @ 6E4").to_plain() == fill("buy 2.5 @ 60000.00").to_plain()

    def test_does_not_include_the_receipt(self):
        assert fill("buy 1 @ 1", received=1).to_plain() == fill("buy 1 @ 1", received=2).to_plain()

    @given(st.decimals(allow_nan=False, allow_infinity=False, places=18, min_value="1e-18", max_value=10**19))
    @settings(max_examples=50)
    def test_keeps_every_digit(self, quantity):
        fact = fill("buy 1 @ 1", quantity=quantity)
        assert Entry.from_plain(fact.to_plain()).quantity == quantity

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"kind": "swap"}, "kind"),
            ({"quantity": "two"}, "quantity"),
            ({"time": "noon"}, "time"),
            ({"colour": "red"}, "colour"),
            ({"par_amount": "x"}, "par"),
        ],
    )
    def test_that_cannot_be_read_names_the_field(self, change, field):
        content = fill("buy 1 @ 1 as x").to_plain() | change
        with pytest.raises(InvalidEntry) as caught:
            Entry.from_plain(content)
        assert (caught.value.field, caught.value.entry) == (field, "x")

    @pytest.mark.parametrize("field", ["kind", "venue_ref", "time"])
    def test_without_its_name_is_refused(self, field):
        content = fill("buy 1 @ 1").to_plain()
        del content[field]
        with pytest.raises(InvalidEntry) as caught:
            Entry.from_plain(content)
        assert caught.value.field == field


class TestTheSameReferenceAgain:
    def test_with_the_same_content_is_a_repeat(self):
        assert compare(fill("buy 1 @ 100"), fill("buy 1.0 @ 100.00", received=9)).is_same

    def test_with_less_is_a_repeat(self):
        assert compare(fill("buy 1 @ 100 fee 1 USDT"), fill("buy 1 @ ? fee ?")).is_same

    def test_with_more_completes(self):
        assert compare(fill("buy 1 @ ?"), fill("buy 1 @ 100")).completes == ("price",)

    def test_with_another_value_conflicts(self):
        assert compare(fill("buy 1 @ 100"), fill("sell 1 @ 101")).conflicts == ("side", "price")

    def test_with_another_par_value_is_a_repeat(self):
        assert compare(fill("buy 1 @ 100 worth 99"), fill("buy 1 @ 100 worth 101")).is_same

    def test_that_completes_makes_an_amend(self):
        amend = completion(fill("buy 1 @ ? as x"), fill("buy 1 @ 100 as x"), venue_ref="x#1", time=minute(5))
        assert (amend.kind, amend.target, amend.price, amend.quantity) == ("amend", "x", 100, None)

    def test_that_adds_nothing_makes_no_amend(self):
        assert completion(fill("buy 1 @ 100"), fill("buy 1 @ 100"), venue_ref="x#1", time=minute(5)) is None
