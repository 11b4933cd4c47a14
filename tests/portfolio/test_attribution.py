"""What entries and marks contribute to equity: worked examples, and what holds of any story of a position."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as D

from hypothesis import given
from hypothesis import strategies as st

from portfolio.attribution import (
    GATE,
    Cell,
    Closing,
    CoinHolding,
    Component,
    Contribution,
    Dimension,
    Holding,
    Place,
    cells,
    coin_price,
    contributions_of,
    leg_effects,
    revaluation,
    total_of,
    worth,
)
from positions.book import Cause, Contract, ContractKind, Entry, Kind, Leg, PositionState, Side
from positions.book.apply import advance

AT = datetime(2026, 1, 1, tzinfo=UTC)
LINEAR = Contract(ContractKind.LINEAR, "BTC", "USDC", "USDC")
INVERSE = Contract(ContractKind.INVERSE, "BTC", "USD", "BTC", D(100))
ONE = D(1)


def fill(number, side, quantity, price, fee="0"):
    return Entry(
        kind=Kind.FILL, cause=Cause.TRADE, venue_ref=f"f{number:04}", time=AT + timedelta(minutes=number),
        instrument="BTC", leg=Leg.NET, side=Side(side), quantity=D(str(quantity)), price=D(str(price)),
        fee=D(fee), fee_currency="USDC",
    )  # fmt: skip


def lived(contract, entries, *, conversion=ONE, paid=True):
    """Return (state, contributions) of entries applied in order."""
    state, found = PositionState(contract=contract, instrument="BTC"), []
    for entry in entries:
        before = state
        state, change = advance(before, entry)
        for effect in leg_effects(before=before, after=state, closed=change.closed):
            found += contributions_of(effect, ref=entry.venue_ref, paid=paid, conversion=conversion)
    return state, found


def summed(contributions):
    cell = Cell()
    for one in contributions:
        cell.add(one)
    return cell


class TestALongThatIsHalfClosed:
    def test_splits_into_price_and_fees_by_entry(self):
        state, found = lived(LINEAR, [fill(1, "buy", 2, 100, "1"), fill(2, "sell", 1, 130, "0.5")])
        assert found == [
            Contribution(Component.FEES, D(-1), "f0001"),
            Contribution(Component.PRICE, D(30), "f0002"),
            Contribution(Component.FEES, D("-0.5"), "f0002"),
        ]
        flat = PositionState(contract=LINEAR, instrument="BTC")
        price, conversion = revaluation(Holding(flat, None, ONE), Holding(state, D(120), ONE))
        assert (price.amount, conversion.amount) == (20, 0)

    def test_of_which_a_mark_is_missing_is_unknown_and_not_zero(self):
        state, _ = lived(LINEAR, [fill(1, "buy", 2, 100)])
        price, _ = revaluation(Holding(state, D(100), ONE), Holding(state, None, ONE))
        cell = summed([price])
        assert (cell.total, cell.unknown[Component.PRICE]) == (0, 1)


class TestAFlip:
    def test_gives_each_episode_its_own_part(self):
        entries = [fill(1, "buy", 1, 100), fill(2, "sell", 3, 110, "3")]
        state = PositionState(contract=LINEAR, instrument="BTC")
        state, _ = advance(state, entries[0])
        after, change = advance(state, entries[1])
        closed, opened = leg_effects(before=state, after=after, closed=change.closed)
        assert (closed.opened_by, closed.realized, closed.fees) == ("f0001", 10, 1)
        assert (opened.opened_by, opened.realized, opened.fees) == ("f0002", 0, 2)


class TestFundingBeforeTheFirstFill:
    def test_is_counted_once_when_the_late_fill_opens_the_position(self):
        funding = Entry(
            kind=Kind.FUNDING, venue_ref="a", time=AT, instrument="BTC", amount=D(-4), currency="USDC"
        )
        _, found = lived(LINEAR, [funding, fill(1, "buy", 1, 100)])
        assert summed(found).of(Component.FUNDING) == -4


class TestACorrectedQuantity:
    def test_takes_back_what_its_price_gave_as_no_cash_moved(self):
        adjust = Entry(
            kind=Kind.ADJUSTMENT, venue_ref="x", time=AT + timedelta(hours=1), instrument="BTC",
            side=Side.SELL, quantity=D(1), price=D(130), reason="the venue holds one less",
        )  # fmt: skip
        _, before = lived(LINEAR, [fill(1, "buy", 2, 100)])
        _, unpaid = lived(LINEAR, [fill(1, "buy", 2, 100), adjust], paid=False)
        cell = summed(unpaid[len(before) :])
        assert (cell.of(Component.PRICE), cell.of(Component.CORRECTIONS), cell.total) == (30, -30, 0)


class TestAnInverseContract:
    def test_splits_what_its_price_and_what_its_currency_did(self):
        state, _ = lived(INVERSE, [fill(1, "buy", 10, 50_000)])
        start, end = Holding(state, D(40_000), D(40_000)), Holding(state, D(80_000), D(80_000))
        price, conversion = revaluation(start, end)
        before, after = worth(start.unrealized, D(40_000)), worth(end.unrealized, D(80_000))
        assert conversion.amount == worth(start.unrealized, D(40_000))
        assert price.amount + conversion.amount == after - before


class TestACoin:
    def test_earns_what_its_value_gained_beyond_what_was_bought_and_sold(self):
        bought, sold = D(100), D(-60)
        one = coin_price(CoinHolding(D(1), D(90)), CoinHolding(D("1.5"), D(120)), [bought, sold])
        assert one == Contribution(Component.PRICE, D("180") - 90 - 40)

    def test_that_came_without_a_value_has_an_unknown_gain(self):
        assert coin_price(CoinHolding(D(0), None), CoinHolding(D(1), D(120)), [None]).amount is None

    def test_that_is_not_held_needs_no_price(self):
        assert coin_price(CoinHolding(D(0), None), CoinHolding(D(0), None), []).amount == 0


class TestCells:
    def place(self, **fields):
        base = {"day": date(2026, 1, 1), "account": 1, "venue": "v", "asset": "BTC", "position": 1,
                "strategy": ""}  # fmt: skip
        return Place(**(base | fields))

    def test_hold_each_contribution_once_whatever_they_are_added_up_by(self):
        given_ = [
            (self.place(strategy="basis"), Contribution(Component.PRICE, D(5), "a")),
            (self.place(asset="ETH", position=2), Contribution(Component.FEES, D(-1), "b")),
            (self.place(day=date(2026, 1, 2)), Contribution(Component.FLOWS, D(100), "c")),
        ]
        for dimension in Dimension:
            found = cells(given_, by=lambda place, name=dimension.value: getattr(place, name))
            total = total_of(found.values())
            assert (total.total, total.pnl, sorted(total.refs)) == (104, 4, ["a", "b", "c"])

    def test_close_within_a_cent_or_nobody_can_tell(self):
        assert Closing(D(100), D(110), D("9.99")).closes is True
        assert Closing(D(100), D(110), D("9.98")).closes is False
        assert Closing(None, D(110), D(10)).closes is None
        assert D("0.01") == GATE


moves = st.lists(
    st.tuples(
        st.sampled_from(["buy", "sell"]),
        st.decimals(D("0.001"), D(50), places=3),
        st.decimals(D(1), D(90_000), places=2),
        st.decimals(D(-2), D(9), places=4),
    ),
    min_size=1,
    max_size=12,
)


class TestAnyStory:
    @given(moves, st.decimals(D(1), D(90_000), places=2))
    def test_of_a_leg_closes_cash_and_unrealized_are_its_contributions(self, story, mark):
        entries = [
            fill(number, side, quantity, price, str(fee))
            for number, (side, quantity, price, fee) in enumerate(story)
        ]
        state, found = lived(LINEAR, entries)
        cash = sum(
            (entry.quantity if entry.side is Side.SELL else -entry.quantity) * entry.price - entry.fee
            for entry in entries
        )
        flat = PositionState(contract=LINEAR, instrument="BTC")
        found += revaluation(Holding(flat, None, ONE), Holding(state, mark, ONE))
        assert abs(summed(found).total - (cash + state.size * mark)) < D("1e-12")
