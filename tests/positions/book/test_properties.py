"""Laws that hold for any story of fills, however it arrives."""

from dataclasses import replace
from decimal import Decimal, localcontext

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from positions.book import ChangeKind, Contract, ContractKind, Entry, Kind, Side, fold
from tests.positions.book import checks
from tests.words import entry, flat, inverse, minute, pair, perp

FEW = settings(max_examples=40)

linear = perp(multiplier="0.01")
CONTRACTS = st.sampled_from([perp(), linear, inverse(), inverse(multiplier="100"), pair()])
DERIVATIVES = st.sampled_from([perp(), linear, inverse(), inverse(multiplier="100")])
prices = st.integers(1, 10**9).map(lambda ticks: Decimal(ticks).scaleb(-4))
quantities = st.integers(1, 10**8).map(lambda lots: Decimal(lots).scaleb(-6))
fees = st.integers(-(10**6), 10**6).map(lambda units: Decimal(units).scaleb(-8))


@st.composite
def stories(draw, contracts=CONTRACTS, corrected=False, crowded=True) -> tuple[list[Entry], Contract]:
    """Fills and funding of one instrument. Crowded: several share a minute."""
    contract = draw(contracts)
    count = draw(st.integers(1, 12))
    settle = contract.settle
    story = []
    for number in range(1, count + 1):
        time = minute(draw(st.integers(1, count)) if crowded else number)
        if contract.kind is not ContractKind.SPOT and draw(st.integers(0, 5)) == 0:
            line = f"funding {draw(fees)} {settle}"
        else:
            currency = contract.base if contract.kind is ContractKind.SPOT and draw(st.booleans()) else settle
            quantity = draw(quantities)
            fee = draw(fees)
            if currency == contract.base:
                fee = max(-quantity / 2, min(fee, quantity / 2))
            side = draw(st.sampled_from(["buy", "sell"]))
            line = f"{side} {quantity:f} @ {draw(prices):f} fee {fee:f} {currency}"
        story.append(entry(line, number=number, time=time))
    if corrected:
        fills = [fact for fact in story if fact.kind is Kind.FILL]
        for number, fact in enumerate(draw(st.lists(st.sampled_from(fills or story), max_size=3)), start=90):
            if fact.kind is Kind.FILL and draw(st.booleans()):
                story.append(entry(f"amend {fact.venue_ref} price {draw(prices):f}", number=number))
            else:
                story.append(entry(f"bust {fact.venue_ref}", number=number))
    return story, contract


class TestOrder:
    @FEW
    @given(stories(corrected=True), st.randoms(use_true_random=False))
    def test_any_shuffle_gives_the_same_bits(self, drawn, random):
        story, contract = drawn
        shuffled = random.sample(story, len(story))
        checks.same_book(story, shuffled, contract)

    @FEW
    @given(stories(corrected=True), st.randoms(use_true_random=False))
    def test_any_duplication_gives_the_same_bits(self, drawn, random):
        story, contract = drawn
        twice = story + [replace(fact, received=1000) for fact in random.sample(story, len(story) // 2)]
        checks.same_book(story, random.sample(twice, len(twice)), contract)

    @FEW
    @given(stories(contracts=DERIVATIVES), st.randoms(use_true_random=False))
    def test_the_hot_path_and_the_refold_agree_to_the_bit(self, drawn, random):
        story, contract = drawn
        checks.steps_equal_refold(random.sample(story, len(story)), contract)

    @FEW
    @given(
        st.lists(st.tuples(st.sampled_from(list(Side)), st.integers(1, 4)), min_size=1, max_size=7), st.data()
    )
    def test_fills_of_one_millisecond_follow_their_positions_before(self, moves, data):
        size, story = Decimal(0), []
        names = data.draw(st.permutations(range(len(moves))))
        for name, (side, quantity) in zip(names, moves, strict=True):
            line = f"{side} {quantity} @ {100 + name} before {size} as f{name}"
            story.append(entry(line, time=minute(1)))
            size += quantity if side is Side.BUY else -quantity
        shuffled = data.draw(st.permutations(story))
        folded = fold(shuffled, start=flat())
        running = Decimal(0)
        for fact in folded.effective:
            assert fact.position_before == running
            running += fact.quantity if fact.side is Side.BUY else -fact.quantity
        checks.same_book(story, shuffled, perp())
        checks.steps_equal_refold(shuffled, perp())

    @FEW
    @given(stories(contracts=DERIVATIVES, crowded=False), st.data())
    def test_a_refold_from_any_state_equals_the_whole(self, drawn, data):
        story, contract = drawn
        cut = data.draw(st.integers(0, len(story)))
        start = fold(story[:cut], start=flat(contract)).position
        assert repr(fold(story[cut:], start=start).position) == repr(
            fold(story, start=flat(contract)).position
        )


class TestCorrections:
    @FEW
    @given(stories(), st.data())
    def test_a_busted_fill_was_never_there(self, drawn, data):
        story, contract = drawn
        victim = data.draw(st.sampled_from(story))
        bust = entry(f"bust {victim.venue_ref}", number=99)
        checks.same_book([*story, bust], [fact for fact in story if fact is not victim], contract)

    @FEW
    @given(stories(), st.data(), prices)
    def test_an_amended_fill_was_always_so(self, drawn, data, price):
        story, contract = drawn
        wrong = data.draw(st.sampled_from(story))
        right = replace(wrong, price=price)
        amend = entry(f"amend {wrong.venue_ref} price {price:f}", number=99)
        assume(wrong.kind is Kind.FILL)
        true = [right if fact is wrong else fact for fact in story]
        checks.same_book([amend, *story], true, contract)

    @FEW
    @given(stories(contracts=DERIVATIVES, crowded=False), st.data())
    def test_an_inferred_fill_is_gone_once_the_real_fills_are_known(self, drawn, data):
        story, contract = drawn
        story = [replace(fact, received=fact.received + 100) for fact in story]
        assume(any(fact.kind is Kind.FILL for fact in story))
        guess = entry(f"buy 3 @ 100 inferred until {len(story)} as guess", received=1, time=minute(0.5))
        folded = fold([guess, *story], start=flat(contract))
        assert folded.replaced == ("guess",)
        assert checks.bits(folded) == checks.bits(fold(story, start=flat(contract)))


class TestExactness:
    @FEW
    @given(stories(), prices)
    def test_cash_and_position_value_are_the_pnl(self, drawn, mark):
        story, contract = drawn
        checks.cash_adds_up(story, contract, mark)

    @FEW
    @given(stories())
    def test_the_threads_decimal_context_does_not_matter(self, drawn):
        checks.any_context_gives_the_same(*drawn)

    @FEW
    @given(stories(corrected=True))
    def test_no_law_of_a_position_is_ever_broken(self, drawn):
        checks.no_law_is_broken(*drawn)

    @FEW
    @given(stories(contracts=DERIVATIVES, crowded=False))
    def test_only_an_increase_moves_the_average(self, drawn):
        checks.average_moves_only_on_increase(*drawn)

    @FEW
    @given(stories(contracts=DERIVATIVES, crowded=False), st.integers(2, 1000))
    def test_scaling_quantities_scales_the_money(self, drawn, factor):
        story, contract = drawn
        big = [replace(fact, quantity=fact.quantity * factor) if fact.quantity else fact for fact in story]
        once, scaled = fold(story, start=flat(contract)), fold(big, start=flat(contract))
        scale = Decimal(factor)
        for ours, theirs in zip(scaled.changes, once.changes, strict=True):
            checks.near(ours.realized, theirs.realized * scale, len(story), scale)
        checks.near(scaled.position.open_cost, once.position.open_cost * scale, len(story), scale)
        checks.near_average(scaled.position, once.position, len(story), scale)

    @FEW
    @given(stories(contracts=DERIVATIVES, crowded=False), st.data())
    def test_splitting_a_fill_changes_nothing(self, drawn, data):
        story, contract = drawn
        whole = data.draw(st.sampled_from(story))
        assume(whole.kind is Kind.FILL and whole.quantity >= Decimal("0.000002"))
        first = data.draw(st.integers(1, int(whole.quantity.scaleb(6)) - 1))
        part = Decimal(first).scaleb(-6)
        late = whole.time.replace(second=1)
        halves = [
            replace(whole, quantity=part, fee=Decimal(0)),
            replace(whole, quantity=whole.quantity - part, venue_ref="rest", time=late),
        ]
        once = fold(story, start=flat(contract))
        split = fold([*(fact for fact in story if fact is not whole), *halves], start=flat(contract))
        count = len(story) + 1
        checks.near(split.position.open_cost, once.position.open_cost, count)
        checks.near_average(split.position, once.position, count)
        with localcontext(checks.WIDE):
            totals = [sum(change.realized for change in folded.changes) for folded in (once, split)]
        checks.near(*totals, count)

    @FEW
    @given(prices.filter(lambda price: price > 1), st.integers(-50, 50), quantities)
    def test_inverse_and_linear_agree_to_first_order(self, price, points, quantity):
        after = price * (1 + Decimal(points).scaleb(-6))
        line = [f"buy {quantity:f} @ {price:f}", f"sell {quantity:f} @ {after:f}"]
        units = fold([entry(line[0], number=1), entry(line[1], number=2)], start=flat(perp()))
        contracts = quantity * price
        coins = [
            entry(f"buy {contracts:f} @ {price:f}", number=1),
            entry(f"sell {contracts:f} @ {after:f}", number=2),
        ]
        in_coin = fold(coins, start=flat(inverse())).position.realized_pnl
        in_quote = units.position.realized_pnl
        # Exactly: linear = inverse · exit price. To first order that is the entry price.
        assert abs(in_coin * price - in_quote) <= abs(in_quote) * Decimal("1e-4") + price * checks.QUANTUM * 4

    @FEW
    @given(stories(contracts=DERIVATIVES))
    def test_episodes_run_from_flat_to_flat(self, drawn):
        story, contract = drawn
        folded = fold(story, start=flat(contract))
        assert not any(episode.is_open for episode in folded.episodes[:-1])
        assert all(episode.closed_at is not None for episode in folded.episodes[:-1])
        opened = [
            change.venue_ref for change in folded.changes if change.kind in (ChangeKind.OPENED, "flipped")
        ]
        assert [episode.opened_by for episode in folded.episodes] == opened
