"""Hyperliquid's margin arithmetic, the simulator's own: a second opinion beside positions.risk.

Checked against recorded account states (tests/simulator/test_margin.py). Sources:
hyperliquid.gitbook.io/hyperliquid-docs/trading/margining, /liquidations, /margin-tiers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from typing import Any

from .wire import EXACT, cut, number, usd

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Tier:
    """From notional `lower_bound` (USD) on, leverage is at most `max_leverage`."""

    lower_bound: Decimal
    max_leverage: int

    @property
    def rate(self) -> Decimal:
        """Maintenance margin as a share of notional: half the initial margin at maximum leverage."""
        return EXACT.divide(Decimal(1), Decimal(2 * self.max_leverage))


def flat(max_leverage: int) -> tuple[Tier, ...]:
    """The tiers of a market whose maximum leverage does not depend on size."""
    return (Tier(ZERO, max_leverage),)


def deductions(tiers: Sequence[Tier]) -> list[Decimal]:
    """Per tier, what makes maintenance margin continuous where the rate steps up (USD)."""
    found = [ZERO]
    for below, above in pairwise(tiers):
        step = EXACT.subtract(above.rate, below.rate)
        found.append(EXACT.add(found[-1], EXACT.multiply(above.lower_bound, step)))
    return found


def maintenance_margin(notional: Decimal, tiers: Sequence[Tier]) -> Decimal:
    """USD below which equity must not fall for a position of `notional` (USD, >= 0)."""
    for tier, deduction in zip(reversed(tiers), reversed(deductions(tiers)), strict=True):
        if notional >= tier.lower_bound:
            return EXACT.subtract(EXACT.multiply(notional, tier.rate), deduction)
    raise ValueError("tiers must start at notional 0")


def liquidation_price(
    *, size: Decimal, mark: Decimal, equity: Decimal, other_maintenance: Decimal, tiers: Sequence[Tier]
) -> Decimal | None:
    """The mark at which equity equals maintenance margin; None where no positive price does that.

    `size` signed, in units; `equity` (USD) of what stands behind the position at `mark`: the cross account
    value, or the isolated position's own margin; `other_maintenance` (USD): maintenance margin of the
    other positions behind the same equity. Solves, in the tier that holds at the answer,
    `equity + size*(p - mark) = other_maintenance + |size|*p*rate - deduction`.
    """
    units = abs(size)
    for index, (tier, deduction) in enumerate(zip(tiers, deductions(tiers), strict=True)):
        slope = EXACT.subtract(size, EXACT.multiply(units, tier.rate))
        fixed = EXACT.subtract(EXACT.multiply(size, mark), equity)
        price = EXACT.divide(EXACT.subtract(EXACT.add(fixed, other_maintenance), deduction), slope)
        notional = EXACT.multiply(units, price)
        upper = tiers[index + 1].lower_bound if index + 1 < len(tiers) else None
        if price > 0 and notional >= tier.lower_bound and (upper is None or notional < upper):
            return price
    return None


@dataclass(slots=True)
class CumulativeFunding:
    """Funding paid by the user on one coin (USD, positive = paid)."""

    all_time: Decimal = ZERO
    since_open: Decimal = ZERO
    since_change: Decimal = ZERO

    def wire(self) -> dict[str, str]:
        """As in clearinghouseState."""
        return {
            "allTime": usd(self.all_time),
            "sinceOpen": usd(self.since_open),
            "sinceChange": usd(self.since_change),
        }


@dataclass(frozen=True, slots=True)
class Holding:
    """One open position as margin sees it: signed `size`, exact average `entry`, `cash` only if isolated."""

    coin: str
    size: Decimal
    entry: Decimal
    mark: Decimal
    leverage: int
    tiers: tuple[Tier, ...]
    price_decimals: int
    cash: Decimal | None = None
    funding: CumulativeFunding = field(default_factory=CumulativeFunding)

    @property
    def value(self) -> Decimal:
        """Signed notional at the mark (USD)."""
        return EXACT.multiply(self.size, self.mark)

    @property
    def notional(self) -> Decimal:
        """Unsigned notional at the mark (USD)."""
        return abs(self.value)

    @property
    def maintenance(self) -> Decimal:
        """Maintenance margin (USD)."""
        return maintenance_margin(self.notional, self.tiers)

    @property
    def equity(self) -> Decimal | None:
        """What an isolated position is worth with its own cash (USD); None when cross."""
        return None if self.cash is None else EXACT.add(self.cash, self.value)

    @property
    def margin_used(self) -> Decimal:
        """Cross: initial margin at the chosen leverage. Isolated: its equity (USD)."""
        equity = self.equity
        return EXACT.divide(self.notional, Decimal(self.leverage)) if equity is None else equity

    @property
    def unrealized(self) -> Decimal:
        """Unrealized P&L at the mark (USD)."""
        return EXACT.multiply(self.size, EXACT.subtract(self.mark, self.entry))


@dataclass(frozen=True, slots=True)
class Margin:
    """An account's margin on one perp dex: `cash` is the cross account's raw USD."""

    cash: Decimal
    holdings: tuple[Holding, ...]
    held_by_orders: Decimal = ZERO

    @property
    def cross(self) -> list[Holding]:
        """The positions that share the account's cash."""
        return [holding for holding in self.holdings if holding.cash is None]

    @property
    def cross_value(self) -> Decimal:
        """Account value of the cross account: cash plus signed notionals (USD)."""
        return EXACT.add(self.cash, total(holding.value for holding in self.cross))

    @property
    def cross_used(self) -> Decimal:
        """Initial margin of the cross positions (USD)."""
        return total(holding.margin_used for holding in self.cross)

    @property
    def cross_maintenance(self) -> Decimal:
        """Maintenance margin of the cross positions (USD)."""
        return total(holding.maintenance for holding in self.cross)

    @property
    def withdrawable(self) -> Decimal:
        """Cross value beyond initial margin and open orders, at least 0 (USD)."""
        free = EXACT.subtract(EXACT.subtract(self.cross_value, self.cross_used), self.held_by_orders)
        return max(ZERO, free)

    def liquidation_price(self, holding: Holding) -> Decimal | None:
        """Where `holding` would be liquidated, other marks unchanged."""
        equity, others = holding.equity, ZERO
        if equity is None:
            equity = self.cross_value
            others = EXACT.subtract(self.cross_maintenance, holding.maintenance)
        return liquidation_price(
            size=holding.size, mark=holding.mark, equity=equity, other_maintenance=others, tiers=holding.tiers
        )

    def wire(self, *, time: int) -> dict[str, Any]:
        """The account as clearinghouseState (`time` in milliseconds)."""
        everything = self.holdings
        isolated_cash = total(holding.cash for holding in everything if holding.cash is not None)
        isolated_equity = total(holding.equity for holding in everything if holding.equity is not None)
        return {
            "marginSummary": summary(
                value=EXACT.add(self.cross_value, isolated_equity),
                notional=total(holding.notional for holding in everything),
                cash=EXACT.add(self.cash, isolated_cash),
                used=total(holding.margin_used for holding in everything),
            ),
            "crossMarginSummary": summary(
                value=self.cross_value,
                notional=total(holding.notional for holding in self.cross),
                cash=self.cash,
                used=self.cross_used,
            ),
            "crossMaintenanceMarginUsed": usd(self.cross_maintenance),
            "withdrawable": usd(self.withdrawable),
            "assetPositions": [{"type": "oneWay", "position": self.position(one)} for one in everything],
            "time": time,
        }

    def position(self, holding: Holding) -> dict[str, Any]:
        """One row of assetPositions."""
        leverage: dict[str, Any] = {"type": "cross", "value": holding.leverage}
        if holding.cash is not None:
            leverage = {"type": "isolated", "value": holding.leverage, "rawUsd": usd(holding.cash)}
        at_entry = EXACT.multiply(abs(holding.size), holding.entry)
        initial = EXACT.divide(at_entry, Decimal(holding.leverage))
        liquidation = self.liquidation_price(holding)
        return {
            "coin": holding.coin,
            "szi": number(holding.size),
            "leverage": leverage,
            "entryPx": number(cut(holding.entry, holding.price_decimals)),
            "positionValue": usd(holding.notional),
            "unrealizedPnl": usd(holding.unrealized),
            "returnOnEquity": number(EXACT.divide(holding.unrealized, initial), 10),
            "liquidationPx": None if liquidation is None else number(liquidation, 10),
            "marginUsed": usd(holding.margin_used),
            "maxLeverage": holding.tiers[0].max_leverage,
            "cumFunding": holding.funding.wire(),
        }


def summary(*, value: Decimal, notional: Decimal, cash: Decimal, used: Decimal) -> dict[str, str]:
    """A marginSummary object."""
    return {
        "accountValue": usd(value),
        "totalNtlPos": usd(notional),
        "totalRawUsd": usd(cash),
        "totalMarginUsed": usd(used),
    }


def total(amounts: Iterable[Decimal | None]) -> Decimal:
    """An exact sum; None is skipped."""
    result = ZERO
    for amount in amounts:
        if amount is not None:
            result = EXACT.add(result, amount)
    return result
