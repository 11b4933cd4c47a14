"""Maintenance margin in tiers, and the price at which equity meets it.

Venues differ in what they call things; the arithmetic is one. Equity is a straight line in the price,
maintenance margin a continuous line that only steepens: they meet at most once on each side.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

from positions.risk.exact import ONE, ZERO, BadRiskInput, check_not_negative, check_positive, exactly, rounded

# A published deduction is rounded by the venue; a larger step at a bound is a wrong table.
STEP_TOLERANCE = Decimal("1e-6")
# How far past a bound such a step can push the solution.
STEP_SLACK = Decimal("1e-5")


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginTier:
    """From notional `lower_bound` on, maintenance margin = notional · `rate` − `deduction`.

    Bounds and deductions in settle currency (for an inverse contract that is the base asset);
    `rate` a fraction (0.01 = 1 %). Binance calls the deduction cum, Bybit mmDeduction.
    Raises BadRiskInput unless lower_bound ≥ 0, 0 < rate < 1, deduction ≥ 0.
    """

    lower_bound: Decimal
    rate: Decimal
    deduction: Decimal = ZERO

    def __post_init__(self) -> None:
        check_not_negative(lower_bound=self.lower_bound, deduction=self.deduction)
        check_positive(rate=self.rate)
        if self.rate >= 1:
            raise BadRiskInput(field="rate", value=self.rate, reason="must be a fraction below one")

    def margin(self, notional: Decimal) -> Decimal:
        """Maintenance margin of `notional`, which must lie in this tier."""
        return notional * self.rate - self.deduction


Tiers = tuple[MarginTier, ...]


@exactly
def check_tiers(tiers: Sequence[MarginTier]) -> None:
    """Raise BadRiskInput unless tiers start at zero, ascend in bound and rate, and join without a step."""
    if not tiers:
        raise BadRiskInput(field="tiers", value=tiers, reason="must not be empty")
    if tiers[0].lower_bound != 0:
        raise BadRiskInput(field="tiers", value=tiers[0], reason="the first tier must start at zero")
    for below, above in pairwise(tiers):
        if above.lower_bound <= below.lower_bound or above.rate < below.rate:
            raise BadRiskInput(field="tiers", value=above, reason="bounds and rates must ascend")
        step = above.margin(above.lower_bound) - below.margin(above.lower_bound)
        if abs(step) > STEP_TOLERANCE * above.lower_bound:
            raise BadRiskInput(field="tiers", value=above, reason="maintenance margin must not jump")


def tier_at(notional: Decimal, tiers: Sequence[MarginTier]) -> MarginTier:
    """The tier in which `notional` (≥ 0) lies; a bound belongs to the tier above it."""
    return next(tier for tier in reversed(tiers) if notional >= tier.lower_bound)


@exactly
def maintenance_margin(*, notional: Decimal | None, tiers: Sequence[MarginTier] | None) -> Decimal | None:
    """Margin a position must keep, in settle currency.

    `notional` ≥ 0. None when the notional or the tiers are unknown. Raises BadRiskInput.
    """
    check_not_negative(notional=notional)
    if tiers is None:
        return None
    check_tiers(tiers)
    if notional is None:
        return None
    return rounded(tier_at(notional, tiers).margin(notional))


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """What moves with x: value changes by `slope` · x, and margin is due on the notional |slope| · x.

    Linear contract: x is the price, slope the signed size in base. Inverse: x is 1/price, slope minus the
    signed size in quote.
    """

    slope: Decimal
    tiers: Sequence[MarginTier]


def meeting_point(
    *, leg: Leg, beside: Sequence[Leg] = (), cash: Decimal, maintenance_elsewhere: Decimal
) -> Decimal | None:
    """The x > 0 at which equity falls to maintenance margin as x moves against `leg`.

    Equity = `cash` + Σ slope·x over `leg` and the legs `beside` it (the other side of a hedge, at the same
    price); what must stay = `maintenance_elsewhere` + Σ maintenance margin. The tiers are those that hold the
    notionals at the solution: between two bounds everything is a straight line, so each stretch is tried.
    None when no x > 0 does it. Not rounded.
    """
    if leg.slope == 0:
        return None
    legs = [leg, *(each for each in beside if each.slope != 0)]
    bounds = sorted({tier.lower_bound / abs(each.slope) for each in legs for tier in each.tiers})
    for slack in (ZERO, STEP_SLACK):
        for low, high in zip(bounds, [*bounds[1:], None], strict=True):
            slope, constant = _line(legs, low)
            constant += cash - maintenance_elsewhere
            if slope == 0 or (slope > 0) is not (leg.slope > 0):
                continue
            x = -constant / slope
            if x > 0 and x >= low * (1 - slack) and (high is None or x <= high * (1 + slack)):
                return x
    return None


def _line(legs: Sequence[Leg], low: Decimal) -> tuple[Decimal, Decimal]:
    """Slope and constant of Σ(value − maintenance margin) in the stretch that starts at `low`."""
    slope = constant = ZERO
    for leg in legs:
        size = abs(leg.slope)
        tier = next(tier for tier in reversed(leg.tiers) if tier.lower_bound / size <= low)
        slope += leg.slope - size * tier.rate
        constant += tier.deduction
    return slope, constant


def tiers_by_leverage(*, steps: Sequence[tuple[Decimal, Decimal]]) -> Tiers:
    """Tiers of a venue that publishes (lower bound, max leverage) and asks half the initial margin.

    rate = 1/(2·max leverage); deductions make the maintenance margin continuous (Hyperliquid's
    `meta.marginTables`). Raises BadRiskInput for an empty, unordered or non-positive table.
    """
    return _continuous([(bound, _half_of_initial(leverage)) for bound, leverage in steps])


@exactly
def _half_of_initial(max_leverage: Decimal) -> Decimal:
    check_positive(max_leverage=max_leverage)
    return ONE / (2 * max_leverage)


@exactly
def _continuous(steps: Sequence[tuple[Decimal, Decimal]]) -> Tiers:
    tiers: list[MarginTier] = []
    for bound, rate in steps:
        deduction = tiers[-1].deduction + bound * (rate - tiers[-1].rate) if tiers else ZERO
        tiers.append(MarginTier(lower_bound=bound, rate=rate, deduction=deduction))
    check_tiers(tiers)
    return tuple(tiers)
