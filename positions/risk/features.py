"""What models read about a position, besides `unrealized_pnl_pct`. Unknown in, unknown (None) out."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal

from positions.risk.exact import ZERO, BadRiskInput, check_not_negative, exactly, rounded
from positions.risk.measures import unrealized_pnl_pct as unrealized_pnl_pct

MICROSECOND = timedelta(microseconds=1)
MICROSECONDS_A_MINUTE = Decimal(60_000_000)
# A venue's clock may run ahead of ours: a fill from the near future was opened just now.
CLOCK_SKEW = timedelta(minutes=1)


@exactly
def time_held_minutes(*, opened_at: datetime | None, until: datetime | None) -> Decimal | None:
    """Minutes from opening to `until` (now, or when it was closed). Both aware.

    Zero when `until` is up to a minute before the opening (clocks differ). Raises BadRiskInput for a naive
    time, or an earlier `until`.
    """
    for field, moment in (("opened_at", opened_at), ("until", until)):
        if moment is not None and moment.utcoffset() is None:
            raise BadRiskInput(field=field, value=moment, reason="must carry a time zone")
    if opened_at is None or until is None:
        return None
    held = until - opened_at
    if held < -CLOCK_SKEW:
        raise BadRiskInput(field="until", value=until, reason=f"is before the opening at {opened_at}")
    return rounded(Decimal(max(held, timedelta(0)) // MICROSECOND) / MICROSECONDS_A_MINUTE)


@exactly
def total_exposure(*, notionals: Iterable[Decimal | None]) -> Decimal | None:
    """Σ of the notionals (≥ 0, one currency) of all open positions; None as soon as one is unknown.

    Raises BadRiskInput for a negative notional.
    """
    total: Decimal | None = ZERO
    for notional in notionals:
        check_not_negative(notional=notional)
        total = None if total is None or notional is None else total + notional
    return total


@exactly
def position_size_norm(*, notional: Decimal | None, total_exposure: Decimal | None) -> Decimal | None:
    """A position's share of the total exposure, 0 to 1: its notional / Σ of all open notionals, one currency.

    None where the exposure is unknown (any notional in it is) or zero. Raises BadRiskInput for a negative
    figure, or a notional above the exposure that should contain it.
    """
    check_not_negative(notional=notional, total_exposure=total_exposure)
    if notional is None or total_exposure is None:
        return None
    if notional > total_exposure:
        raise BadRiskInput(field="notional", value=notional, reason=f"exceeds the exposure {total_exposure}")
    return None if total_exposure == 0 else rounded(notional / total_exposure)
