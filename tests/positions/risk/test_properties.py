"""What must hold of any account: put the price back in and look whether equity meets maintenance."""

from decimal import Decimal, localcontext

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from positions.risk.hyperliquid_margin import (
    HyperliquidPosition,
    hyperliquid_margin,
    liquidation_price_hyperliquid_isolated,
    tiers_by_leverage,
)
from positions.risk.liquidation import (
    CrossPosition,
    liquidation_price_binance_cross,
    liquidation_price_binance_isolated,
    liquidation_price_okx_gate_isolated,
)
from positions.risk.measures import (
    break_even_price,
    liquidation_distance_pct,
    notional,
    unrealized_pnl,
)
from positions.risk.tiers import MarginTier, maintenance_margin
from tests.positions.risk.contracts import BTC_INVERSE, BTC_USDT

RUNS = settings(max_examples=100)


def decimals(low: str, high: str, places: int = 4):
    return st.decimals(Decimal(low), Decimal(high), places=places, allow_nan=False, allow_infinity=False)


prices = decimals("0.5", "5000")
sides = st.sampled_from([Decimal(1), Decimal(-1)])
sizes = st.builds(lambda side, size: side * size, sides, decimals("0.01", "500"))
leverages = st.integers(2, 50).map(Decimal)


@st.composite
def tier_tables(draw):
    """One to three steps of falling max leverage, at bounds a small account can reach."""
    most = sorted(draw(st.sets(st.sampled_from([3, 5, 10, 20, 40]), min_size=1, max_size=3)), reverse=True)
    bounds = sorted(draw(st.sets(st.integers(100, 500_000), min_size=len(most) - 1, max_size=len(most) - 1)))
    return tiers_by_leverage(
        steps=[(Decimal(b), Decimal(m)) for b, m in zip([0, *bounds], most, strict=True)]
    )


@st.composite
def cross_accounts(draw):
    count = draw(st.integers(1, 4))
    positions = [
        HyperliquidPosition(
            coin=f"C{index}",
            size=draw(sizes),
            mark=draw(prices),
            leverage=draw(leverages),
            tiers=draw(tier_tables()),
        )
        for index in range(count)
    ]
    gross = sum(abs(each.size) * each.mark for each in positions)
    equity = gross * draw(decimals("0.01", "1.5"))
    return equity - sum(each.size * each.mark for each in positions), positions


def at_price(position: HyperliquidPosition, price: Decimal) -> HyperliquidPosition:
    return HyperliquidPosition(
        coin=position.coin,
        size=position.size,
        mark=price,
        leverage=position.leverage,
        tiers=position.tiers,
    )


class TestHyperliquidCross:
    @RUNS
    @given(cross_accounts())
    def test_at_each_liquidation_price_account_value_is_the_maintenance_margin(self, account):
        cash, positions = account
        for index, row in enumerate(hyperliquid_margin(raw_usd=cash, positions=positions).positions.values()):
            if row.liquidation_price is None:
                continue
            moved = positions.copy()
            moved[index] = at_price(positions[index], row.liquidation_price)
            there = hyperliquid_margin(raw_usd=cash, positions=moved)
            gap = there.cross.account_value - there.cross_maintenance_margin
            assert abs(gap) <= (abs(positions[index].size) + len(positions)) * Decimal("2e-18")

    @RUNS
    @given(cross_accounts(), decimals("0.01", "0.99"))
    def test_a_healthy_account_without_a_price_survives_any_fall_of_that_coin(self, account, fraction):
        cash, positions = account
        ours = hyperliquid_margin(raw_usd=cash, positions=positions)
        assume(not ours.is_cross_liquidatable())
        for index, held in enumerate(positions):
            if ours.positions[held.coin].liquidation_price is not None:
                continue
            assert held.size > 0  # a short always meets its maintenance on the way up
            moved = positions.copy()
            moved[index] = at_price(held, held.mark * fraction)
            assert not hyperliquid_margin(raw_usd=cash, positions=moved).is_cross_liquidatable()

    @RUNS
    @given(cross_accounts())
    def test_the_distance_is_positive_exactly_while_the_account_is_above_maintenance(self, account):
        cash, positions = account
        ours = hyperliquid_margin(raw_usd=cash, positions=positions)
        surplus = ours.cross.account_value - ours.cross_maintenance_margin
        for held in positions:
            price = ours.positions[held.coin].liquidation_price
            distance = liquidation_distance_pct(size=held.size, mark=held.mark, liquidation_price=price)
            if distance is not None and abs(distance) > Decimal("1e-9"):
                assert (distance > 0) is (surplus > 0)


class TestIsolated:
    @RUNS
    @given(sizes, prices, leverages, tier_tables())
    def test_at_the_liquidation_price_equity_is_the_maintenance_margin(self, size, entry, leverage, tiers):
        cash = abs(size) * entry / leverage - size * entry
        price = liquidation_price_hyperliquid_isolated(size=size, raw_usd=cash, tiers=tiers)
        assume(price is not None)
        owed = maintenance_margin(notional=abs(size) * price, tiers=tiers)
        assert abs(cash + size * price - owed) <= abs(size) * Decimal("1e-17") + Decimal("1e-15")

    @RUNS
    @given(sizes, prices, st.integers(2, 49), tier_tables())
    def test_more_leverage_is_liquidated_sooner(self, size, entry, leverage, tiers):
        def price(times: int) -> Decimal | None:
            cash = abs(size) * entry / times - size * entry
            return liquidation_price_hyperliquid_isolated(size=size, raw_usd=cash, tiers=tiers)

        lower, higher = price(leverage), price(leverage + 1)
        assert lower is not None
        assert higher is not None
        assert (higher > lower) if size > 0 else (higher < lower)

    @RUNS
    @given(sizes, prices, leverages)
    def test_one_tier_is_the_closed_form_of_the_venue(self, size, entry, leverage):
        rate, side = Decimal(1) / 80, (1 if size > 0 else -1)
        cash = abs(size) * entry / leverage - size * entry
        price = liquidation_price_hyperliquid_isolated(
            size=size, raw_usd=cash, tiers=tiers_by_leverage(steps=[(Decimal(0), Decimal(40))])
        )
        assert abs(price - -cash / (size * (1 - rate * side))) < Decimal("1e-15")

    @RUNS
    @given(sizes, prices, leverages, decimals("0.001", "0.05"), decimals("0", "0.002"))
    def test_okx_equity_there_pays_maintenance_and_the_fee_to_close(self, size, entry, times, rate, fee):
        for contract in (BTC_USDT, BTC_INVERSE):
            cost = notional(contract=contract, size=size, price=entry)
            price = liquidation_price_okx_gate_isolated(
                contract=contract,
                size=size,
                entry_price=entry,
                margin=cost / times,
                maintenance_rate=rate,
                taker_fee_rate=fee,
            )
            if price is None:
                continue
            value = notional(contract=contract, size=size, price=price)
            equity = cost / times + contract.pnl(size, cost, value)
            assert abs(equity - value * (rate + fee)) < Decimal("1e-9")


class TestBinanceCross:
    @RUNS
    @given(
        decimals("0.1", "100"),
        decimals("0.1", "100"),
        prices,
        prices,
        tier_tables(),
        decimals("0.05", "0.9"),
        st.booleans(),
    )
    def test_with_both_legs_of_a_hedge_the_whole_account_meets_maintenance(
        self, long, short, entry, other_entry, tiers, share, inverse
    ):
        contract = BTC_INVERSE if inverse else BTC_USDT

        def leg(size: Decimal, price: Decimal) -> CrossPosition:
            return CrossPosition(
                symbol="BTC", contract=contract, size=size, entry_price=price, mark=None, tiers=tiers
            )

        legs = [leg(long, entry), leg(-short, other_entry)]
        cost = [notional(contract=contract, size=each.size, price=each.entry_price) for each in legs]
        wallet = sum(cost) * share
        for asked, other in (legs, legs[::-1]):
            price = liquidation_price_binance_cross(position=asked, others=[other], wallet_balance=wallet)
            if price is None:
                continue
            values = [notional(contract=contract, size=each.size, price=price) for each in legs]
            gains = [
                contract.pnl(each.size, paid, value)
                for each, paid, value in zip(legs, cost, values, strict=True)
            ]
            owed = sum(maintenance_margin(notional=value, tiers=tiers) for value in values)
            assert abs(wallet + sum(gains) - owed) <= max(values) * Decimal("1e-12") + Decimal("1e-12")


class TestMeasures:
    @RUNS
    @given(sizes, prices, decimals("-0.0009", "0.0009", 7))
    def test_inverse_and_linear_gain_the_same_to_first_order(self, size, entry, move):
        mark = entry * (1 + move)
        coins = unrealized_pnl(contract=BTC_INVERSE, size=size, entry_price=entry, mark=mark)
        dollars = unrealized_pnl(
            contract=BTC_USDT, size=size * BTC_INVERSE.multiplier / entry, entry_price=entry, mark=mark
        )
        assert abs(coins * entry - dollars) <= abs(dollars) * abs(move) * 2 + Decimal("1e-12")

    @RUNS
    @given(sizes, prices, decimals("-50", "50"), decimals("-50", "50"), decimals("-0.0005", "0.002"))
    def test_closing_at_break_even_leaves_nothing(self, size, entry, fees, funding, rate):
        for contract in (BTC_USDT, BTC_INVERSE):
            price = break_even_price(
                contract=contract,
                size=size,
                entry_price=entry,
                fees=fees,
                funding=funding,
                exit_fee_rate=rate,
            )
            if price is None:
                continue
            value = notional(contract=contract, size=size, price=price)
            gain = unrealized_pnl(contract=contract, size=size, entry_price=entry, mark=price)
            net = gain - fees + funding - value * rate
            # The price is rounded to 18 places; an inverse value answers with its square.
            assert abs(net) <= Decimal("1e-12") * max(1, value, value * value)

    @RUNS
    @given(sizes, prices, prices)
    def test_nothing_depends_on_the_context_of_the_thread(self, size, entry, mark):
        terms = {"contract": BTC_INVERSE, "size": size, "entry_price": entry}
        tiers = tiers_by_leverage(steps=[(Decimal(0), Decimal(40)), (Decimal(1000), Decimal(7))])
        wallet = Decimal("0.37")
        here = unrealized_pnl(**terms, mark=mark)
        price = liquidation_price_binance_isolated(**terms, isolated_wallet=wallet, tiers=tiers)
        with localcontext(prec=5):
            assert unrealized_pnl(**terms, mark=mark) == here
            same = tiers_by_leverage(steps=[(Decimal(0), Decimal(40)), (Decimal(1000), Decimal(7))])
            assert same == tiers
            assert liquidation_price_binance_isolated(**terms, isolated_wallet=wallet, tiers=same) == price

    @RUNS
    @given(cross_accounts())
    def test_nor_does_what_a_whole_account_is_built_and_measured_in(self, account):
        cash, positions = account
        here = hyperliquid_margin(raw_usd=cash, positions=positions)
        with localcontext(prec=3):
            again = [at_price(each, each.mark) for each in positions]
            assert hyperliquid_margin(raw_usd=cash, positions=again) == here

    def test_nor_does_what_counts_as_too_large(self):
        twenty_digits = Decimal("99999999999999999999")
        with localcontext(prec=3):
            assert notional(contract=BTC_USDT, size=twenty_digits, price=Decimal(1)) == twenty_digits
            assert MarginTier(lower_bound=twenty_digits, rate=Decimal("0.1")).lower_bound == twenty_digits
