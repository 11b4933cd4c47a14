"""NautilusTrader's reconciliation tests, by what they assert (tests/data/vectors/README.md)."""

import json
import os
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from reconciliation.rules.inference import (
    EPOCH,
    WindowFill,
    WindowMeaning,
    assess,
    inferred_price,
    missing_fills,
    opening_price,
    order_gap,
    positions_match,
    quantities_match,
    simulate,
)

ELSEWHERE = os.environ.get("VECTORS_DIR")
FOLDER = Path(ELSEWHERE or Path(__file__).parents[2] / "data" / "vectors")
NAMES = {
    "NoAdjustment": WindowMeaning.CONSISTENT,
    "AddSyntheticOpening": WindowMeaning.OPENING,
    "FilterToCurrentLifecycle": WindowMeaning.CURRENT,
    "ReplaceCurrentLifecycle": WindowMeaning.MISMATCHED,
}


def number(text):
    return None if text is None else Decimal(text)


def at(ts):
    return EPOCH + timedelta(microseconds=ts)


def fills(rows):
    return [
        WindowFill(
            Decimal(row["qty"]) * (1 if row["side"] == "buy" else -1),
            Decimal(row["price"]),
            at(row["ts"]),
            row["venue_order_id"],
        )
        for row in rows
    ]


SIDES = {"buy": True, "long": True, "sell": False, "short": False}


def after(quantity, average, target, price):
    """(size, average) that a fill leaves: a part closed keeps the average, a flip has its price."""
    if target == 0:
        return target, None
    if quantity * target < 0 or not quantity:
        return target, price
    if abs(target) <= abs(quantity):
        return target, average
    cost = abs(quantity) * average + abs(target - quantity) * price
    return target, cost / abs(target)


def inferred_fill_price(given, expect):
    quantity, target = Decimal(given["current_qty"]), Decimal(given["target_qty"])
    average = number(given["current_avg"])
    price = inferred_price(
        quantity=quantity, average=average, target=target, target_average=number(given["target_avg"])
    )
    if "side" in expect and quantity != target and SIDES[expect["side"]] != (target > quantity):
        return False
    if "after" in expect:
        return after(quantity, average, target, price) == (
            Decimal(expect["after"]["signed_qty"]),
            number(expect["after"].get("avg")),
        )
    if "price" not in expect:
        return True
    wanted = number(expect["price"])
    if wanted is None or price is None:
        return wanted is price
    return abs(price - wanted) <= Decimal(expect.get("tol", "0"))


def net_position(given, expect):
    found = simulate(fills(given["fills"]))
    tolerance = Decimal(expect["tol"])
    return found.quantity == Decimal(expect["signed_qty"]) and (
        abs(found.open_value - Decimal(expect["open_value"])) <= tolerance
    )


def lifecycle_boundaries(given, expect):
    found = list(simulate(fills(given["fills"])).crossings)
    return found == [at(ts) for ts in expect["ts"]] and len(found) == expect.get("n", len(found))


def position_match(given, expect):
    found = positions_match(
        quantity=Decimal(given["simulated_qty"]),
        open_value=Decimal(given["simulated_open_value"]),
        venue=Decimal(given["venue_qty"]),
        venue_average=Decimal(given["venue_avg"]),
        tolerance=Decimal(given["tolerance"]),
    )
    return found is expect["match"]


def qty_match(given, expect):
    unit = Decimal(1).scaleb(-given["precision"]) if given["precision"] else Decimal(0)
    return quantities_match(Decimal(given["a"]), Decimal(given["b"]), units=unit) is expect["match"]


def partial_window(given, expect):
    venue = given["venue"]
    found = assess(
        fills(given["fills"]),
        venue=Decimal(venue["qty"]) * (-1 if venue["side"] == "short" else 1),
        venue_average=Decimal(venue["avg"]),
        tolerance=Decimal(given["tolerance"]),
    )
    said = {"kind": next(name for name, window in NAMES.items() if window is found.window)}
    said |= {"n_current": found.count, "n_existing": len(given["fills"])}
    said |= {"first_venue_order_id": found.order}
    if found.since is not None:
        said["last_zero_crossing_ts"] = (found.since - EPOCH) // timedelta(microseconds=1)
    if found.opening is not None:
        said |= {"qty": abs(found.opening.quantity), "price": found.opening.price}
        said["side"] = "buy" if found.opening.quantity > 0 else "sell"
        said["ts"] = (found.opening_at - EPOCH) // timedelta(microseconds=1)
    tolerance = Decimal(expect.get("tol", "0"))
    return all(
        abs(said[name] - Decimal(value)) <= tolerance if name in ("qty", "price") else said.get(name) == value
        for name, value in expect.items()
        if name not in ("tol", "note")
    )


def position_report(given, expect):
    quote = given.get("quote")
    found = missing_fills(
        quantity=Decimal(given["cached_signed_qty"]),
        average=number(given["cached_avg"]),
        target=Decimal(given["venue_signed_qty"]),
        target_average=number(given.get("venue_avg")),
        step=Decimal(1).scaleb(-given["size_precision"]),
        quote=(Decimal(quote["bid"]), Decimal(quote["ask"])) if quote else None,
    )
    if len(found) != len(expect["orders"]):
        return False
    return all(
        order["side"] == ("buy" if fill.quantity > 0 else "sell")
        and Decimal(order["qty"]) == abs(fill.quantity)
        and ("price" not in order or number(order["price"]) == fill.price)
        for order, fill in zip(expect["orders"], found, strict=True)
    )


def order_fill_gap(given, expect):
    gap = order_gap(booked=Decimal(given["cached_filled"]), filled=Decimal(given["venue_filled"]))
    return gap == Decimal(expect["inferred_qty"])


JUDGES = {
    judge.__name__: judge
    for judge in (
        inferred_fill_price,
        net_position,
        lifecycle_boundaries,
        position_match,
        qty_match,
        partial_window,
        position_report,
        order_fill_gap,
    )
}


@pytest.mark.parametrize("kind", sorted(JUDGES))
def test_vectors_agree(kind, capsys):
    path = FOLDER / "reconciliation.json"
    if ELSEWHERE and not path.exists():
        pytest.skip(f"VECTORS_DIR has no {path.name}")
    cases = [case for case in json.loads(path.read_text())["cases"] if case["kind"] == kind]
    if ELSEWHERE and not cases:
        pytest.skip(f"VECTORS_DIR has no case of {kind}")
    wrong = [case["id"] for case in cases if not JUDGES[kind](case["inputs"], case["expect"])]
    with capsys.disabled():
        sys.stdout.write(f"\nreconciliation {kind}: {len(cases) - len(wrong)}/{len(cases)} agree")
    assert cases
    assert not wrong


class TestWhatTheVectorsSayInWords:
    def test_a_reduction_cannot_move_an_average_and_so_prices_nothing(self):
        given = {"quantity": Decimal(200), "average": Decimal("1.2"), "target": Decimal(100)}
        assert inferred_price(**given, target_average=Decimal("1.3")) is None
        assert inferred_price(**given, target_average=Decimal("1.2")) == Decimal("1.2")

    def test_a_venue_that_says_less_filled_than_booked_corrects_nothing(self):
        with pytest.raises(ValueError, match="booked"):
            order_gap(booked=Decimal(100), filled=Decimal(50))

    def test_a_flip_is_two_fills_at_the_price_of_the_new_side(self):
        halves = missing_fills(
            quantity=Decimal(100),
            average=Decimal(1),
            target=Decimal(-50),
            target_average=Decimal("1.1"),
        )
        assert [(half.quantity, half.price) for half in halves] == [
            (Decimal(-100), Decimal("1.1")),
            (Decimal(-50), Decimal("1.1")),
        ]

    @pytest.mark.parametrize(("book", "fills_"), [("0", ["100"]), ("100", [])])
    def test_each_leg_of_a_hedge_is_led_to_its_own_size(self, book, fills_):
        found = missing_fills(
            quantity=Decimal(book), average=Decimal(1), target=Decimal(100), target_average=Decimal(1)
        )
        assert [fill.quantity for fill in found] == [Decimal(one) for one in fills_]

    def test_a_hedged_instruments_window_derives_no_opening(self):
        """Third hedge scenario: one leg's fills never say what was held of the other."""
        noon = datetime(2026, 1, 15, 12, tzinfo=UTC)
        window = [WindowFill(Decimal(1), Decimal(100), noon)]
        given = {"venue": Decimal(3), "venue_average": Decimal(120), "tolerance": Decimal("0.0001")}
        assert assess(window, **given).opening is not None
        found = assess(window, **given, hedged=True)
        assert (found.window, found.opening) == (WindowMeaning.CONSISTENT, None)

    @pytest.mark.parametrize(
        ("later", "venue_average", "price"),
        [
            ([(1, 120)], "105", "100"),
            ([(-1, 110)], "100", "100"),
            ([(1, 120), (-2, 130)], "105", "100"),  # average 105 after the buy; selling leaves it
            ([(-3, 110), (2, 90)], "90", None),  # the lot was closed: any price does
        ],
    )
    def test_a_lot_costs_what_makes_the_venues_average(self, later, venue_average, price):
        noon = datetime(2026, 1, 15, 12, tzinfo=UTC)
        fills_ = [
            WindowFill(Decimal(size), Decimal(at_), noon + timedelta(seconds=n))
            for n, (size, at_) in enumerate(later)
        ]
        found = opening_price(fills_, lot=Decimal(3), target_average=Decimal(venue_average))
        assert found == number(price)

    def test_a_window_that_a_lot_before_it_explains_prices_that_lot(self):
        noon = datetime(2026, 1, 15, 12, tzinfo=UTC)
        found = assess(
            [WindowFill(Decimal(1), Decimal(100), noon)],
            venue=Decimal(3),
            venue_average=Decimal(120),
            tolerance=Decimal("0.0001"),
        )
        assert found.window is WindowMeaning.OPENING
        assert (found.opening.quantity, found.opening.price) == (Decimal(2), Decimal(130))
        assert found.opening_at < noon
