"""Liquidation prices by the formulae of Binance, Bybit, OKX and Gate (Hyperliquid has its own file).

All of them solve equity = maintenance margin; they differ in what counts. Sizes are signed (positive long) in
the contract's units, money is in its settle currency, rates are fractions. Unknown in, unknown (None) out: a
cross position is never priced as if it were isolated.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal

from positions.book.contracts import Contract, ContractKind
from positions.risk.exact import (
    ONE,
    ZERO,
    BadRiskInput,
    check_finite,
    check_not_negative,
    check_positive,
    exactly,
    price_or_none,
    rounded,
)
from positions.risk.tiers import Leg, MarginTier, check_tiers, maintenance_margin, meeting_point


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossPosition:
    """One position of a Binance cross account (one collateral), one per symbol and leg.

    `size` signed; `mark` may be None only for the position asked about. Raises BadRiskInput.
    """

    symbol: str
    contract: Contract
    size: Decimal
    entry_price: Decimal | None
    mark: Decimal | None
    tiers: tuple[MarginTier, ...] | None

    def __post_init__(self) -> None:
        _check_derivative(self.contract)
        check_finite(size=self.size)
        check_positive(entry_price=self.entry_price, mark=self.mark)
        if self.tiers is not None:
            check_tiers(self.tiers)


@exactly
def liquidation_price_binance_isolated(
    *,
    contract: Contract,
    size: Decimal | None,
    entry_price: Decimal | None,
    isolated_wallet: Decimal | None,
    tiers: Sequence[MarginTier] | None,
) -> Decimal | None:
    """(WB + cum − side·|size|·entry) / (|size|·MMR − side·|size|), the bracket at the liquidation price.

    `isolated_wallet` is the position's wallet without unrealized P&L; `tiers` its brackets (notionalFloor,
    maintMarginRatio, cum). Source: Binance's FAQ "How to calculate liquidation price". None when an input is
    unknown, the position is flat, or no price above zero liquidates it. Raises BadRiskInput.
    """
    check_finite(isolated_wallet=isolated_wallet)
    position = _asked(contract, size, entry_price, tiers)
    if position is None or isolated_wallet is None:
        return None
    return _solve(position, beside=(), wallet=isolated_wallet, maintenance_elsewhere=ZERO)


@exactly
def liquidation_price_binance_cross(
    *,
    position: CrossPosition | None,
    others: Sequence[CrossPosition] | None,
    wallet_balance: Decimal | None,
) -> Decimal | None:
    """(WB − TMM + UPNL + cum − side·|size|·entry) / (|size|·MMR − side·|size|), the bracket at that price.

    `others` are ALL other cross positions of the account with the same collateral (empty = there are none,
    None = not known): their unrealized P&L and maintenance margin count at their marks; the other leg of the
    same symbol moves with the price. `wallet_balance` is crossWalletBalance. In a hedge the venue shows one
    price on both legs; here each leg has the price on its own losing side. Multi-assets and portfolio margin
    are other rules: give wallet_balance None. Source: as for isolated. None when anything of any position is
    unknown, the position is flat, or no price above zero liquidates it. Raises BadRiskInput, also when
    `others` gives a leg twice or `position` again, or two contracts for a symbol.
    """
    check_finite(wallet_balance=wallet_balance)
    if position is None or others is None:
        return None
    _check_legs([position, *others])
    if wallet_balance is None:
        return None
    asked = _known(position)
    beside = [_known(other) for other in others if other.symbol == position.symbol]
    elsewhere = [_standing(other) for other in others if other.symbol != position.symbol]
    if asked is None or None in beside or None in elsewhere:
        return None
    standing = [each for each in elsewhere if each is not None]
    return _solve(
        asked,
        beside=[each for each in beside if each is not None],
        wallet=wallet_balance + sum((unrealized for unrealized, _ in standing), ZERO),
        maintenance_elsewhere=sum((maintenance for _, maintenance in standing), ZERO),
    )


@exactly
def liquidation_price_okx_gate_isolated(
    *,
    contract: Contract,
    size: Decimal | None,
    entry_price: Decimal | None,
    margin: Decimal | None,
    maintenance_rate: Decimal | None,
    taker_fee_rate: Decimal | None,
) -> Decimal | None:
    """(entry − side·margin/|size|) / (1 − side·(mmr + taker fee)) for a linear contract; OKX and Gate.

    `margin` is what the position holds, without unrealized P&L; `maintenance_rate` that of the position's
    tier: both venues choose it by size, so it stands whatever the price. Inverse: the same equation in
    1/price. None when an input is unknown, the position is flat, or no price above zero liquidates it.
    Raises BadRiskInput, also when the two rates reach one.
    """
    check_finite(margin=margin)
    check_positive(maintenance_rate=maintenance_rate)
    check_not_negative(taker_fee_rate=taker_fee_rate)
    tiers = None
    if maintenance_rate is not None and taker_fee_rate is not None:
        tiers = (MarginTier(lower_bound=ZERO, rate=maintenance_rate + taker_fee_rate),)
    position = _asked(contract, size, entry_price, tiers)
    if position is None or margin is None:
        return None
    return _solve(position, beside=(), wallet=margin, maintenance_elsewhere=ZERO)


@exactly
def liquidation_price_bybit_isolated(
    *,
    size: Decimal | None,
    entry_price: Decimal | None,
    initial_margin: Decimal | None,
    maintenance_margin: Decimal | None,
    extra_margin: Decimal | None = ZERO,
    tick_size: Decimal | None = None,
) -> Decimal | None:
    """Entry − side·(IM − MM + extra)/|size|, cut to the tick. Linear contracts.

    `initial_margin` = value/leverage and `maintenance_margin` = value·mmr − deduction at the entry price,
    both without the fee to close that the API's positionIM and positionMM contain; `extra_margin` was added
    by hand (negative: taken out); `tick_size` None leaves the price uncut. Source: Bybit's help centre,
    "Liquidation Price (USDT Contract)", the rule of 2024; its page of 2026-05 values maintenance at the mark
    instead. None when an input is unknown, the position is flat, or the price is not above zero. Raises
    BadRiskInput.
    """
    check_finite(size=size, extra_margin=extra_margin)
    check_positive(entry_price=entry_price, tick_size=tick_size)
    check_not_negative(initial_margin=initial_margin, maintenance_margin=maintenance_margin)
    if size is None or entry_price is None or extra_margin is None or size == 0:
        return None
    if initial_margin is None or maintenance_margin is None:
        return None
    price = entry_price - (initial_margin - maintenance_margin + extra_margin) / size
    if tick_size is not None:
        price = (price / tick_size).to_integral_value(ROUND_DOWN) * tick_size
    return price_or_none(price)


@dataclass(frozen=True, slots=True)
class _Position:
    """A position of which everything that liquidation needs is known."""

    contract: Contract
    size: Decimal
    entry_price: Decimal
    tiers: Sequence[MarginTier]

    @property
    def inverse(self) -> bool:
        return self.contract.kind is ContractKind.INVERSE

    def leg(self) -> Leg:
        slope = self.size * self.contract.multiplier
        return Leg(slope=-slope if self.inverse else slope, tiers=self.tiers)

    def cash(self) -> Decimal:
        """What its unrealized P&L is apart from slope · x: minus the signed cost."""
        x = ONE / self.entry_price if self.inverse else self.entry_price
        return -self.leg().slope * x


def _check_derivative(contract: Contract) -> None:
    if contract.kind is ContractKind.SPOT:
        raise BadRiskInput(field="contract", value=contract.kind, reason="spot is not liquidated")


def _check_legs(positions: Sequence[CrossPosition]) -> None:
    contracts: dict[str, Contract] = {}
    seen = set()
    for position in positions:
        leg = (position.symbol, position.size > 0)
        if position.size != 0 and leg in seen:
            raise BadRiskInput(field="others", value=position.symbol, reason="each leg counts once")
        if contracts.setdefault(position.symbol, position.contract) != position.contract:
            raise BadRiskInput(field="others", value=position.symbol, reason="one contract a symbol")
        if position.size != 0:
            seen.add(leg)


def _asked(
    contract: Contract,
    size: Decimal | None,
    entry_price: Decimal | None,
    tiers: Sequence[MarginTier] | None,
) -> _Position | None:
    _check_derivative(contract)
    check_finite(size=size)
    check_positive(entry_price=entry_price)
    if tiers is not None:
        check_tiers(tiers)
    if size is None or entry_price is None or tiers is None:
        return None
    return _Position(contract, size, entry_price, tiers)


def _known(position: CrossPosition) -> _Position | None:
    if position.entry_price is None or position.tiers is None:
        return None
    return _Position(position.contract, position.size, position.entry_price, position.tiers)


def _standing(position: CrossPosition) -> tuple[Decimal, Decimal] | None:
    """Unrealized P&L and maintenance margin of a position whose mark stands."""
    known = _known(position)
    if known is None or position.mark is None:
        return None
    x = ONE / position.mark if known.inverse else position.mark
    value = known.leg().slope * x
    maintenance = maintenance_margin(notional=abs(value), tiers=known.tiers)
    return (rounded(value + known.cash()), maintenance or ZERO)


def _solve(
    position: _Position, *, beside: Sequence[_Position], wallet: Decimal, maintenance_elsewhere: Decimal
) -> Decimal | None:
    x = meeting_point(
        leg=position.leg(),
        beside=[other.leg() for other in beside],
        cash=wallet + position.cash() + sum((other.cash() for other in beside), ZERO),
        maintenance_elsewhere=maintenance_elsewhere,
    )
    if x is None:
        return None
    return price_or_none(ONE / x if position.inverse else x)
