"""The readers of vectors judge cases that they have not seen: each field of the schema, right and wrong."""

from __future__ import annotations

from typing import Any

import pytest

from tests.positions.book.vectors import Tolerance, run

SPOT = {"kind": "spot", "multiplier": "1", "base": "BTC", "quote": "USDT"}
LINEAR = {**SPOT, "kind": "linear", "settle": "USDT"}


def fill(name: str, side: str, qty: str, price: str, ts: int) -> dict[str, Any]:
    return {"id": name, "side": side, "qty": qty, "price": price, "ts": ts}


def case(fills: list[dict[str, Any]], expect: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "id": "a case", "instrument": LINEAR, "fills": fills,
        "checkpoints": [{"after": len(fills), "expect": expect}], **more,
    }  # fmt: skip


SHORT = [fill("1", "sell", "2", "100", 1000), fill("2", "buy", "2", "90", 2000)]
LATE = [
    fill("1", "buy", "1", "100", 1000),
    fill("3", "sell", "2", "130", 3000),
    fill("2", "buy", "1", "120", 2000),
]


class TestAVectorCase:
    def test_of_fills_out_of_order_is_judged_by_time(self) -> None:
        right = {"signed_qty": "0", "realized_gross_total": "40"}
        assert run(case(LATE, right, out_of_order=True), Tolerance()) == []
        assert run(case(LATE, right, tags=["out_of_order"]), Tolerance()) == []
        assert run(case(LATE, {**right, "realized_gross_total": "41"}, out_of_order=True), Tolerance()) != []

    @pytest.mark.parametrize("opened", [1000, 2000])
    def test_that_does_not_say_by_which_order_it_goes_agrees_by_either(self, opened: int) -> None:
        fills = [fill("1", "buy", "1", "100", 2000), fill("2", "buy", "1", "100", 1000)]
        assert run(case(fills, {"ts_opened": opened}), Tolerance()) == []
        assert run(case(fills, {"ts_opened": 3000}), Tolerance()) != []

    def test_states_how_near_its_average_is(self) -> None:
        bought = [fill("1", "buy", "1", "100", 1)]
        assert run(case(bought, {"avg_entry": "100.01", "avg_tol": "0.02"}), Tolerance()) == []
        assert run(case(bought, {"avg_entry": "100.01", "avg_tol": "0.001"}), Tolerance()) != []
        assert run(case(bought, {"avg_entry": "100.01"}), Tolerance()) != []

    def test_of_a_short_has_the_return_of_a_short(self) -> None:
        assert run(case(SHORT, {"realized_return": "0.1"}), Tolerance()) == []
        assert run(case(SHORT, {"realized_return": "-0.1"}), Tolerance()) != []

    def test_of_spot_need_not_state_a_settle_currency(self) -> None:
        bought = [fill("1", "buy", "1", "100", 1)]
        assert run(case(bought, {"signed_qty": "1"}, instrument=SPOT), Tolerance()) == []

    def test_of_an_open_position_may_state_a_closing_time_which_we_have_not(self) -> None:
        bought = [fill("1", "buy", "1", "100", 1)]
        assert run(case(bought, {"ts_closed": 5, "duration_ns": 4}), Tolerance()) == []

    def test_with_a_statement_that_nobody_can_read_disagrees(self) -> None:
        assert run(case(SHORT, {"unheard_of": "1"}), Tolerance()) != []
