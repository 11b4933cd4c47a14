"""Worked examples of empyrical, Lean and textbooks: tests/data/vectors/performance.json."""

import json
import os
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest

from portfolio.returns.curve import IndexPoint, drawdowns, largest_fall, sharpe, sortino
from portfolio.returns.rates import EquityPoint, Flow, a_year, modified_dietz, money_weighted, time_weighted

FOLDER = Path(os.environ.get("VECTORS_DIR") or Path(__file__).parents[2] / "data" / "vectors")
BEGIN = datetime(2025, 1, 1, tzinfo=UTC)


def cases():
    path = FOLDER / "performance.json"
    return json.loads(path.read_text())["cases"] if path.exists() else []


def rates_of(inputs):
    return [Decimal(rate) for rate in inputs["returns"] if rate is not None]


def curve_of(rates):
    value = Decimal(1)
    points = [IndexPoint(BEGIN, value)]
    for day, rate in enumerate(rates, start=1):
        value *= 1 + rate
        points.append(IndexPoint(BEGIN + timedelta(days=day), value))
    return points


def max_drawdown(inputs):
    return min((fall.depth for fall in drawdowns(curve_of(rates_of(inputs)))), default=Decimal(0))


def cumulative_return(inputs):
    return curve_of(rates_of(inputs))[-1].value - 1


def annual_return(inputs):
    years = Decimal(inputs["n_for_years"]) / Decimal(inputs["periods_per_year"])
    return a_year(cumulative_return(inputs), years=years)


def ratio(measure):
    def measured(inputs):
        return measure(
            rates_of(inputs),
            risk_free=Decimal(inputs["risk_free"]),
            periods_a_year=Decimal(inputs["periods_per_year"]),
        )

    return measured


def max_drawdown_abs(inputs):
    entry, side = Decimal(inputs["prices"][0]), 1 if inputs["side"] == "long" else -1
    return largest_fall(
        side * Decimal(inputs["qty"]) * (Decimal(price) - entry) for price in inputs["prices"]
    )


def twr(inputs):
    periods, at, flows = inputs["periods"], BEGIN, []
    for one, following in pairwise(periods):
        at += timedelta(days=30)
        before = Decimal(one["end_before_flow"])
        flows.append(Flow(at, Decimal(following["start_after_flow"]) - before, before))
    end = EquityPoint(at + timedelta(days=30), Decimal(periods[-1]["end_before_flow"]))
    return time_weighted(
        start=EquityPoint(BEGIN, Decimal(periods[0]["start_after_flow"])), end=end, flows=flows
    ).value


def irr(inputs):
    """The rate of one unit of the example's time."""
    units = Decimal(inputs["T"])
    first, *later = inputs["flows"]
    end = EquityPoint(BEGIN + timedelta(days=365) * float(units), Decimal(inputs["end"]))
    flows = [
        Flow(BEGIN + timedelta(days=365) * float(one["t"]), Decimal(one["amount"]), None) for one in later
    ]
    whole = money_weighted(start=EquityPoint(BEGIN, Decimal(first["amount"])), end=end, flows=flows).value
    return a_year(whole, years=units)


def dietz(inputs):
    flows = [
        Flow(BEGIN + timedelta(days=int(one["day"])), Decimal(one["amount"]), None) for one in inputs["flows"]
    ]
    end = EquityPoint(BEGIN + timedelta(days=int(inputs["days"])), Decimal(inputs["end"]))
    return modified_dietz(start=EquityPoint(BEGIN, Decimal(inputs["begin"])), end=end, flows=flows).value


MEASURES = {
    "max_drawdown": max_drawdown,
    "cumulative_return": cumulative_return,
    "annual_return": annual_return,
    "sharpe": ratio(sharpe),
    "sortino": ratio(sortino),
    "max_drawdown_abs": max_drawdown_abs,
    "twr": twr,
    "irr_check": irr,
    "modified_dietz": dietz,
}


@pytest.mark.parametrize("case", cases(), ids=lambda case: case["id"])
def test_the_measure_is_what_the_source_states(case):
    found = MEASURES[case["metric"]](case["inputs"])
    assert abs(found - Decimal(case["expect"]["value"])) <= Decimal(case["expect"]["tol"])
