"""Margin and liquidation as Hyperliquid computes them, per perp dex (each has its own collateral).

Source: the venue's margining and liquidation pages, checked against recorded clearinghouse states
(relative error ≤ 5e-13; sums exact). Rules of 2023 differed and are not reproduced.
Accounts in unified or portfolio-margin mode pledge spot balances too: their cash is not `raw_usd` alone,
so give None for it rather than a part.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from positions.risk.exact import (
    ZERO,
    BadRiskInput,
    check_finite,
    check_not_negative,
    check_positive,
    exactly,
    price_or_none,
    rounded,
)
from positions.risk.tiers import (
    Leg,
    MarginTier,
    Tiers,
    check_tiers,
    maintenance_margin,
    meeting_point,
    tiers_by_leverage,
)

__all__ = [
    "HyperliquidMargin",
    "HyperliquidPosition",
    "MarginTier",
    "hyperliquid_margin",
    "hyperliquid_tiers",
    "liquidation_price_hyperliquid_cross",
    "liquidation_price_hyperliquid_isolated",
    "maintenance_margin",
    "tiers_by_leverage",
]


# The venue writes USD with six decimals.
VENUE_ROUNDING = Decimal("1e-6")
FIRST_LISTED_TABLE = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class HyperliquidPosition:
    """One open perp position as margin sees it.

    `size` is szi (positive long, units of base); `mark` in collateral per base; `leverage` the one set for
    the coin; `raw_usd` an isolated position's own cash (None for cross, or unknown).
    Unknown is None. Raises BadRiskInput.
    """

    coin: str
    size: Decimal
    mark: Decimal | None
    leverage: Decimal | None
    tiers: tuple[MarginTier, ...] | None
    mode: Literal["cross", "isolated"] = "cross"
    raw_usd: Decimal | None = None

    def __post_init__(self) -> None:
        check_finite(size=self.size, raw_usd=self.raw_usd)
        check_positive(mark=self.mark, leverage=self.leverage)
        if self.mode not in ("cross", "isolated"):
            raise BadRiskInput(field="mode", value=self.mode, reason="must be cross or isolated")
        if self.mode == "cross" and self.raw_usd is not None:
            raise BadRiskInput(field="raw_usd", value=self.raw_usd, reason="a cross position has no own cash")
        if self.tiers is not None:
            check_tiers(self.tiers)


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionMargin:
    """What the venue shows of one position: notional (positionValue), margins, liquidation price.

    `margin_used` is notional/leverage for cross and the position's own equity for isolated.
    `liquidation_price` None means that no price above zero liquidates it.
    """

    coin: str
    mode: Literal["cross", "isolated"]
    notional: Decimal
    margin_used: Decimal
    maintenance_margin: Decimal
    liquidation_price: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginSummary:
    """The four figures of marginSummary / crossMarginSummary, in collateral."""

    account_value: Decimal
    total_notional: Decimal
    total_raw_usd: Decimal
    total_margin_used: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class HyperliquidMargin:
    """A perp dex account: `cross` alone, `total` with the isolated positions, and each position by coin."""

    cross: MarginSummary
    total: MarginSummary
    cross_maintenance_margin: Decimal
    withdrawable: Decimal | None
    positions: dict[str, PositionMargin]

    def is_cross_liquidatable(self) -> bool:
        """Cross account value below cross maintenance margin."""
        return self.cross.account_value < self.cross_maintenance_margin

    def is_liquidatable(self, coin: str) -> bool:
        """Whether the venue may liquidate this position now (an isolated one by its own equity)."""
        position = self.positions[coin]
        if position.mode == "cross":
            return self.is_cross_liquidatable()
        return position.margin_used < position.maintenance_margin


def hyperliquid_tiers(
    *,
    margin_table_id: int | None,
    margin_tables: Mapping[int, Sequence[tuple[Decimal, Decimal]]],
) -> Tiers | None:
    """Tiers of a coin from meta: an id below 50 is the max leverage itself, others are in `marginTables`.

    `margin_tables` maps an id to its (lowerBound, maxLeverage) steps. None for an unknown id. Raises
    BadRiskInput for a table that cannot be.
    """
    if margin_table_id is None:
        return None
    if margin_table_id < FIRST_LISTED_TABLE:
        return tiers_by_leverage(steps=[(ZERO, Decimal(margin_table_id))])
    steps = margin_tables.get(margin_table_id)
    return None if steps is None else tiers_by_leverage(steps=steps)


@exactly
def liquidation_price_hyperliquid_isolated(
    *, size: Decimal | None, raw_usd: Decimal | None, tiers: Sequence[MarginTier] | None
) -> Decimal | None:
    """Price at which raw_usd + size·price meets the position's maintenance margin.

    `size` signed (positive long), `raw_usd` the position's own signed cash (leverage.rawUsd).
    With one tier of rate l: −rawUsd/(size·(1 − l·side)). None when an input is unknown, the position is
    flat, or no price above zero liquidates it. Raises BadRiskInput.
    """
    check_finite(size=size, raw_usd=raw_usd)
    if tiers is not None:
        check_tiers(tiers)
    if size is None or raw_usd is None or tiers is None:
        return None
    return _price(size=size, cash=raw_usd, maintenance_elsewhere=ZERO, tiers=tiers)


@exactly
def liquidation_price_hyperliquid_cross(
    *,
    size: Decimal | None,
    mark: Decimal | None,
    account_value: Decimal | None,
    cross_maintenance_margin: Decimal | None,
    tiers: Sequence[MarginTier] | None,
) -> Decimal | None:
    """Price of this coin at which the whole cross account meets its maintenance, the other marks standing.

    `account_value` and `cross_maintenance_margin` are the account's, over ALL cross positions, this one
    included, at the same marks (crossMarginSummary.accountValue, crossMaintenanceMarginUsed). With one tier
    of rate l: mark − side·(account_value − maintenance)/|size|/(1 − l·side). None when an input is unknown,
    the position is flat, or no price above zero liquidates it. Raises BadRiskInput, also when the account's
    maintenance is less than this position's own (figures that do not belong together).
    """
    check_finite(size=size, account_value=account_value)
    check_positive(mark=mark)
    check_not_negative(cross_maintenance_margin=cross_maintenance_margin)
    if tiers is not None:
        check_tiers(tiers)
    if size is None or mark is None or tiers is None:
        return None
    if account_value is None or cross_maintenance_margin is None:
        return None
    own = maintenance_margin(notional=abs(size) * mark, tiers=tiers)
    assert own is not None
    elsewhere = cross_maintenance_margin - own
    if elsewhere < -VENUE_ROUNDING:
        raise BadRiskInput(
            field="cross_maintenance_margin",
            value=cross_maintenance_margin,
            reason=f"is less than this position's own {own}",
        )
    return _price(size=size, cash=account_value - size * mark, maintenance_elsewhere=elsewhere, tiers=tiers)


@exactly
def hyperliquid_margin(
    *,
    raw_usd: Decimal | None,
    positions: Sequence[HyperliquidPosition] | None,
    open_order_margin: Decimal | None = ZERO,
) -> HyperliquidMargin | None:
    """Everything clearinghouseState says about margin, from the cash and ALL open positions of one perp dex.

    `raw_usd` is the signed cash of the cross account (crossMarginSummary.totalRawUsd): deposits − signed
    trade notionals − fees − funding, without the isolated positions' cash. `open_order_margin` ≥ 0 only
    lowers `withdrawable`, and None makes that unknown. None when the cash or anything of any position is
    unknown: a cross account that is known in part has no known liquidation price. Raises BadRiskInput, also
    for a coin given twice.
    """
    check_finite(raw_usd=raw_usd)
    check_not_negative(open_order_margin=open_order_margin)
    if positions is None:
        return None
    coins: set[str] = set()
    for position in positions:
        if position.coin in coins:
            raise BadRiskInput(field="positions", value=position.coin, reason="one row a coin")
        coins.add(position.coin)
    known = [_Known.of(position) for position in positions]
    if raw_usd is None or None in known:
        return None
    return _of_known(raw_usd, [row for row in known if row is not None], open_order_margin)


@dataclass(frozen=True, slots=True)
class _Known:
    """A position of which nothing is missing, and its own share of the figures."""

    coin: str
    size: Decimal
    value: Decimal
    margin_used: Decimal
    maintenance: Decimal
    tiers: Sequence[MarginTier]
    own_cash: Decimal | None

    @classmethod
    def of(cls, position: HyperliquidPosition) -> "_Known | None":
        if position.mark is None or position.leverage is None or position.tiers is None:
            return None
        if position.mode == "isolated" and position.raw_usd is None:
            return None
        value = position.size * position.mark
        maintenance = maintenance_margin(notional=abs(value), tiers=position.tiers)
        assert maintenance is not None
        own_cash = position.raw_usd
        margin_used = rounded(abs(value) / position.leverage) if own_cash is None else own_cash + value
        return cls(position.coin, position.size, value, margin_used, maintenance, position.tiers, own_cash)


def _of_known(
    raw_usd: Decimal, rows: Sequence[_Known], open_order_margin: Decimal | None
) -> HyperliquidMargin:
    cross_rows = [row for row in rows if row.own_cash is None]
    cross = _summary(raw_usd, cross_rows)
    free = cross.account_value - cross.total_margin_used
    maintenance = sum((row.maintenance for row in cross_rows), ZERO)
    return HyperliquidMargin(
        cross=cross,
        total=_summary(raw_usd, rows),
        cross_maintenance_margin=maintenance,
        withdrawable=None if open_order_margin is None else max(ZERO, free - open_order_margin),
        positions={row.coin: _position_margin(row, cross.account_value, maintenance) for row in rows},
    )


def _position_margin(row: _Known, cross_value: Decimal, cross_maintenance: Decimal) -> PositionMargin:
    isolated = row.own_cash is not None
    return PositionMargin(
        coin=row.coin,
        mode="isolated" if isolated else "cross",
        notional=abs(row.value),
        margin_used=row.margin_used,
        maintenance_margin=row.maintenance,
        liquidation_price=_price(
            size=row.size,
            cash=cross_value - row.value if row.own_cash is None else row.own_cash,
            maintenance_elsewhere=ZERO if isolated else cross_maintenance - row.maintenance,
            tiers=row.tiers,
        ),
    )


def _summary(cross_cash: Decimal, rows: Sequence[_Known]) -> MarginSummary:
    cash = sum((row.own_cash for row in rows if row.own_cash is not None), cross_cash)
    return MarginSummary(
        account_value=sum((row.value for row in rows), cash),
        total_notional=sum((abs(row.value) for row in rows), ZERO),
        total_raw_usd=cash,
        total_margin_used=sum((row.margin_used for row in rows), ZERO),
    )


def _price(
    *, size: Decimal, cash: Decimal, maintenance_elsewhere: Decimal, tiers: Sequence[MarginTier]
) -> Decimal | None:
    leg = Leg(slope=size, tiers=tiers)
    return price_or_none(meeting_point(leg=leg, cash=cash, maintenance_elsewhere=maintenance_elsewhere))
