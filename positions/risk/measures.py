"""What a position is worth, what it risks, and where it breaks even.

Money is in the contract's settle currency, sizes are signed (positive long). A name ending in `_pct` is in
percent; without it a ratio is a fraction, as venues state it. Unknown in, unknown (None) out.
"""

from decimal import Decimal

from positions.book.contracts import Contract, ContractKind
from positions.risk.exact import (
    HUNDRED,
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


@exactly
def notional(*, contract: Contract, size: Decimal | None, price: Decimal | None) -> Decimal | None:
    """Unsigned value of a size at a price: size · multiplier · price, inverse size · multiplier / price.

    Settle currency, rounded once to 18 places. A flat position's is zero. Raises BadRiskInput.
    """
    check_finite(size=size)
    check_positive(price=price)
    if size is None or price is None:
        return None
    return contract.notional(abs(size), price)


@exactly
def unrealized_pnl(
    *,
    contract: Contract,
    size: Decimal | None,
    mark: Decimal | None,
    entry_price: Decimal | None = None,
    open_cost: Decimal | None = None,
) -> Decimal | None:
    """What closing at the mark would gain (positive) or lose, before fees and funding.

    Linear and spot: size · multiplier · (mark − entry). Inverse, in base: size · multiplier · (1/entry −
    1/mark). The book's `open_cost` (unsigned) is used where given, as an average price is rounded; else
    `entry_price`. Zero when flat. Raises BadRiskInput, also for a spot position below zero.
    """
    check_finite(size=size)
    check_positive(mark=mark)
    cost = _cost(contract, size, entry_price, open_cost)
    if size is not None and size == 0:
        return ZERO
    value = notional(contract=contract, size=size, price=mark)
    if size is None or cost is None or value is None:
        return None
    return contract.pnl(size, cost, value)


@exactly
def unrealized_pnl_pct(*, unrealized_pnl: Decimal | None, entry_notional: Decimal | None) -> Decimal | None:
    """Unrealized P&L in percent of the notional at entry (the open cost). None when that is zero.

    Raises BadRiskInput for a negative notional.
    """
    check_finite(unrealized_pnl=unrealized_pnl)
    check_not_negative(entry_notional=entry_notional)
    return _ratio(unrealized_pnl, entry_notional, times=HUNDRED)


@exactly
def return_on_margin(*, unrealized_pnl: Decimal | None, initial_margin: Decimal | None) -> Decimal | None:
    """Unrealized P&L as a fraction of the initial margin (notional at entry / leverage set).

    Hyperliquid's returnOnEquity, Binance's and Bybit's ROE. None when the margin is zero. Raises BadRiskInput
    for a negative margin.
    """
    check_finite(unrealized_pnl=unrealized_pnl)
    check_not_negative(initial_margin=initial_margin)
    return _ratio(unrealized_pnl, initial_margin)


@exactly
def leverage(*, notional: Decimal | None, margin_balance: Decimal | None) -> Decimal | None:
    """Effective leverage: notional over the equity that carries it (the account's in cross margin).

    None when the balance is zero or less: nothing carries the position. Raises BadRiskInput for a negative
    notional.
    """
    check_not_negative(notional=notional)
    check_finite(margin_balance=margin_balance)
    return _ratio(notional, margin_balance)


@exactly
def margin_ratio(*, maintenance_margin: Decimal | None, margin_balance: Decimal | None) -> Decimal | None:
    """Maintenance margin over margin balance, a fraction: liquidation begins at 1.

    None when the balance is zero or less: a negative quotient would look safe, so ask `under_maintenance`
    too. Raises BadRiskInput for a negative maintenance margin.
    """
    check_not_negative(maintenance_margin=maintenance_margin)
    check_finite(margin_balance=margin_balance)
    return _ratio(maintenance_margin, margin_balance)


def under_maintenance(*, maintenance_margin: Decimal | None, margin_balance: Decimal | None) -> bool | None:
    """Whether the venue may liquidate now: the balance is less than the maintenance margin.

    None when either is unknown. Raises BadRiskInput for a negative maintenance margin.
    """
    check_not_negative(maintenance_margin=maintenance_margin)
    check_finite(margin_balance=margin_balance)
    if maintenance_margin is None or margin_balance is None:
        return None
    return margin_balance < maintenance_margin


@exactly
def liquidation_distance_pct(
    *, size: Decimal | None, mark: Decimal | None, liquidation_price: Decimal | None
) -> Decimal | None:
    """How far the mark may move against the position before liquidation, in percent of the mark.

    Long: (mark − liq)/mark; short: (liq − mark)/mark. Negative once the price has been passed. None for a
    flat position. Raises BadRiskInput.
    """
    check_finite(size=size)
    check_positive(mark=mark, liquidation_price=liquidation_price)
    if size is None or mark is None or liquidation_price is None or size == 0:
        return None
    gap = mark - liquidation_price if size > 0 else liquidation_price - mark
    return rounded(HUNDRED * gap / mark)


@exactly
def break_even_price(
    *,
    contract: Contract,
    size: Decimal | None,
    fees: Decimal | None,
    funding: Decimal | None,
    entry_price: Decimal | None = None,
    open_cost: Decimal | None = None,
    interest: Decimal | None = ZERO,
    realized_pnl: Decimal | None = ZERO,
    exit_fee_rate: Decimal | None = ZERO,
) -> Decimal | None:
    """The price at which closing everything leaves the episode at zero net P&L.

    Net = realized − fees + funding + interest + unrealized − fee to close, in settle currency. `fees` are
    positive when paid, `funding` and `interest` when received; `exit_fee_rate` is a fraction of the exit
    notional (negative: rebate).
    With `realized_pnl` zero it is the break-even of the open size alone. None when an input is unknown, the
    position is flat, or no price above zero breaks even. Raises BadRiskInput.
    """
    check_finite(
        size=size, fees=fees, funding=funding, realized_pnl=realized_pnl, exit_fee_rate=exit_fee_rate
    )
    if exit_fee_rate is not None and abs(exit_fee_rate) >= 1:
        raise BadRiskInput(field="exit_fee_rate", value=exit_fee_rate, reason="must be a fraction below one")
    cost = _cost(contract, size, entry_price, open_cost)
    if size is None or cost is None or size == 0:
        return None
    if fees is None or funding is None or interest is None or realized_pnl is None or exit_fee_rate is None:
        return None
    # Contract.pnl is ±(value − cost): its sign says which way value must move.
    sign = contract.pnl(size, ZERO, ONE)
    carried = realized_pnl - fees + funding + interest
    value = (sign * cost - carried) / (sign - exit_fee_rate)
    if value <= 0:
        return None
    return price_or_none(contract.average(size, value))


def _cost(
    contract: Contract, size: Decimal | None, entry_price: Decimal | None, open_cost: Decimal | None
) -> Decimal | None:
    check_not_negative(open_cost=open_cost)
    check_positive(entry_price=entry_price)
    if size is not None and size < 0 and contract.kind is ContractKind.SPOT:
        raise BadRiskInput(field="size", value=size, reason="a spot position is not below zero")
    if open_cost is not None:
        return open_cost
    return notional(contract=contract, size=size, price=entry_price)


def _ratio(part: Decimal | None, whole: Decimal | None, *, times: Decimal = ONE) -> Decimal | None:
    if part is None or whole is None or whole <= 0:
        return None
    return rounded(times * part / whole)
