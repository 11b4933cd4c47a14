"""What accounts were worth in the past: the venue's own history, sampled as time passes. In memory only."""

from __future__ import annotations

from collections import deque
from decimal import Decimal

from simulator.wire import number

from .accounts import Account
from .catalogue import COLLATERAL, SPOT
from .exchange import Exchange

SAMPLE_EVERY = 300_000
KEPT = 3_000
DAY = 86_400_000
PERIODS = {"day": DAY, "week": 7 * DAY, "month": 30 * DAY, "allTime": None}
Sample = tuple[int, Decimal, Decimal]


class AccountValues:
    """(time, value of everything, value of the perpetual dexs) of each user, every five minutes."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.samples: dict[str, deque[Sample]] = {}
        self.sampled_at = 0

    def sample(self) -> None:
        """Note what everybody is worth now, if the last time is long enough ago."""
        now = self.exchange.now
        if now - self.sampled_at < SAMPLE_EVERY:
            return
        self.sampled_at = now
        prices = {
            market.listing.base: market.mark
            for market in self.exchange.markets.values()
            if market.listing.kind == SPOT
        }
        for account in self.exchange.accounts.values():
            if not account.house:
                kept = self.samples.setdefault(account.address, deque(maxlen=KEPT))
                perps = perp_value(account)
                kept.append((now, perps + spot_value(account, prices), perps))

    def portfolio(self, user: str) -> list[list[object]]:
        """The answer to `portfolio`: of each period the values of everything, then of perpetuals alone."""
        known = self.samples.get(user, ())
        found: list[list[object]] = []
        for prefix in ("", "perp"):
            for name, length in PERIODS.items():
                since = 0 if length is None else self.exchange.now - length
                values = [
                    [at, number(perps if prefix else whole)] for at, whole, perps in known if at >= since
                ]
                title = f"{prefix}{name[:1].upper()}{name[1:]}" if prefix else name
                found.append([title, {"accountValueHistory": values, "pnlHistory": [], "vlm": "0.0"}])
        return found


def perp_value(account: Account) -> Decimal:
    """What an account is worth on all perpetual dexs, positions at their marks."""
    total = sum(account.cash.values(), Decimal(0))
    for position in account.positions.values():
        total += position.leg.size * position.market.mark + (position.cash or Decimal(0))
    return total


def spot_value(account: Account, prices: dict[str, Decimal]) -> Decimal:
    """What an account's spot tokens are worth; collateral counts as 1, a token without a pair as nothing."""
    return sum(
        (
            amount * (Decimal(1) if token in COLLATERAL.values() else prices.get(token, Decimal(0)))
            for token, amount in account.spot.items()
        ),
        Decimal(0),
    )
