"""Hyperliquid's own closedPnl, on every real fill that was recorded."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from simulator.ledger import Leg, direction

VECTORS = Path(__file__).parents[1] / "data" / "vectors" / "hyperliquid_fills.json"
RUNS = [
    case
    for case in json.loads(VECTORS.read_text())["cases"]
    if case["instrument"]["kind"] == "linear" and case["instrument"].get("px_decimals") is not None
]


class TestALegOfTheSimulator:
    @pytest.mark.parametrize("run", RUNS, ids=lambda run: run["id"])
    def test_realizes_what_the_exchange_says(self, run):
        places = int(run["instrument"]["px_decimals"])
        leg = Leg(places, Decimal(run["opening_size"]))
        if leg.size:
            leg.entry = Decimal(run["opening_notional"]) / leg.size
        tick = Decimal(1).scaleb(-places)
        for fill in run["fills"]:
            size, price = Decimal(fill["qty"]), Decimal(fill["price"])
            signed = size if fill["side"] == "buy" else -size
            before = leg.size
            realized = leg.trade(signed, price)
            # The source keeps ten digits of each number; rows at a tick's edge may differ by that tick.
            slack = abs(before) * Decimal("1e-9") * price + Decimal("1.1e-6")
            allowed = slack + (size * tick if "edge" in fill else 0)
            assert abs(realized - Decimal(fill["closed_pnl"])) <= allowed


class TestTheDirectionOfAFill:
    @pytest.mark.parametrize(
        ("before", "signed", "name"),
        [
            ("0", "1", "Open Long"),
            ("0", "-1", "Open Short"),
            ("2", "1", "Open Long"),
            ("2", "-1", "Close Long"),
            ("2", "-2", "Close Long"),
            ("-2", "1", "Close Short"),
            ("2", "-3", "Long > Short"),
            ("-2", "3", "Short > Long"),
        ],
    )
    def test_is_named_as_the_venue_names_it(self, before, signed, name):
        assert direction(Decimal(before), Decimal(signed)) == name
