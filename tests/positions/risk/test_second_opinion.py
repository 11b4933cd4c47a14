"""The simulated venue computes Hyperliquid's margin by its own code: both must agree on any account."""

from decimal import Decimal

from hypothesis import given

from positions.risk.hyperliquid_margin import hyperliquid_margin, tiers_by_leverage
from simulator.margin import Holding, Margin, Tier
from tests.positions.risk.test_properties import RUNS, cross_accounts


def as_the_venue_holds_it(position) -> Holding:
    steps = [(tier.lower_bound, int(1 / (2 * tier.rate) + Decimal("0.5"))) for tier in position.tiers]
    assert tiers_by_leverage(steps=[(bound, Decimal(most)) for bound, most in steps]) == position.tiers
    return Holding(
        coin=position.coin,
        size=position.size,
        entry=position.mark,
        mark=position.mark,
        leverage=int(position.leverage),
        tiers=tuple(Tier(bound, most) for bound, most in steps),
        price_decimals=6,
    )


def same(ours: Decimal, theirs: Decimal) -> bool:
    """Equal but for our rounding to 18 places."""
    return abs(ours - theirs) <= Decimal("1e-15") * max(1, abs(theirs))


class TestSecondOpinion:
    @RUNS
    @given(cross_accounts())
    def test_the_simulated_venue_agrees_on_sums_and_liquidation_prices(self, account):
        cash, positions = account
        ours = hyperliquid_margin(raw_usd=cash, positions=positions)
        venue = Margin(cash=cash, holdings=tuple(as_the_venue_holds_it(each) for each in positions))
        assert same(ours.cross.account_value, venue.cross_value)
        assert same(ours.cross_maintenance_margin, venue.cross_maintenance)
        assert same(ours.cross.total_margin_used, venue.cross_used)
        assert same(ours.withdrawable, venue.withdrawable)
        for holding in venue.holdings:
            price, stated = ours.positions[holding.coin].liquidation_price, venue.liquidation_price(holding)
            assert (price is None) is (stated is None)
            assert price is None or same(price, stated)
