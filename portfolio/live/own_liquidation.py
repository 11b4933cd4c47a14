"""Our own liquidation price of a position, to stand beside the venue's.

It follows from what the venue last reported of the whole account (sizes, marks, cash, tiers) by the formulas
of `positions.risk`, not from the venue's own figure. One input that is missing, or of another moment, makes
it unknown: a cross account that is known in part has no known liquidation price.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from positions.models import Instrument, InstrumentKind, Position, VenueState
from positions.risk.exact import BadRiskInput
from positions.risk.hyperliquid_margin import HyperliquidPosition, hyperliquid_margin
from positions.risk.tiers import Tiers, tiers_by_leverage

PLEDGING_COINS = frozenset({"unifiedAccount", "portfolioMargin"})
NO_LIQUIDATION = "no price liquidates it at this equity"


@dataclass(frozen=True, slots=True)
class OwnLiquidation:
    """Our price; None: `reason` says why. `difference` is ours − venue's, where both state one."""

    price: Decimal | None = None
    reason: str = ""
    difference: Decimal | None = None
    as_of: datetime | None = None

    @property
    def off_pct(self) -> Decimal | None:
        """How far ours is from the venue's, in percent of ours and unsigned; None: not known."""
        if self.price is None or self.difference is None or not self.price:
            return None
        return abs(self.difference / self.price * 100)


class UnknownInput(Exception):
    """An input of the formula is not known; the message says which."""


def own_liquidation(position: Position) -> OwnLiquidation:
    """Return our own liquidation price of an open position read with its account and instrument."""
    instrument = position.instrument
    if instrument.kind in (InstrumentKind.ASSET, InstrumentKind.SPOT):
        return OwnLiquidation(reason="no price liquidates a coin")
    if position.account.venue != "hyperliquid":
        return OwnLiquidation(reason="what the formula needs is not read from this venue")
    scope = str(instrument.details.get("scope", ""))
    states = VenueState.objects.filter(account=position.account_id).select_related("instrument")
    legs: dict[str, VenueState] = {}
    wallet: VenueState | None = None
    for state in states:
        if state.instrument is None:
            wallet = state if state.wallet == (f"perp:{scope}" if scope else "perp") else wallet
        elif state.quantity and str(state.instrument.details.get("scope", "")) == scope:
            legs[state.instrument.venue_symbol] = state
    mine = legs.get(instrument.venue_symbol)
    try:
        price = _hyperliquid(position, mine, legs, wallet)
    except (UnknownInput, BadRiskInput) as unknown:
        return OwnLiquidation(reason=str(unknown))
    stated = None if mine is None else mine.liquidation_price
    return OwnLiquidation(
        price=price,
        reason=NO_LIQUIDATION if price is None else "",
        difference=None if price is None or stated is None else price - stated,
        as_of=None if mine is None else mine.as_of,
    )


def _hyperliquid(
    position: Position, mine: VenueState | None, legs: dict[str, VenueState], wallet: VenueState | None
) -> Decimal | None:
    """Return the price; None: no price liquidates it. Raises UnknownInput, BadRiskInput."""
    if mine is None or mine.quantity != position.quantity:
        raise UnknownInput("the venue's last report has another size than the book")
    if wallet is None or wallet.margin_balance is None:
        raise UnknownInput("the account's equity is not known")
    mode = wallet.details.get("account_mode")
    if mode is None or mode in PLEDGING_COINS:
        raise UnknownInput(
            "the account pledges its coins too" if mode else "what the account pledges is not known"
        )
    if any(state.as_of != wallet.as_of for state in legs.values()):
        raise UnknownInput("the venue's figures are of different moments")
    rows = [_row(symbol, state) for symbol, state in legs.items()]
    crossed = sum((row.size * (row.mark or 0) for row in rows if row.mode == "cross"), Decimal(0))
    margin = hyperliquid_margin(raw_usd=wallet.margin_balance - crossed, positions=rows)
    if margin is None:
        raise UnknownInput("an input of the formula is not known")
    return margin.positions[position.instrument.venue_symbol].liquidation_price


def _row(symbol: str, state: VenueState) -> HyperliquidPosition:
    size, notional = state.quantity or Decimal(0), state.details.get("notional")
    tiers = _tiers(state.instrument)
    if notional is None or state.leverage is None or tiers is None:
        missing = "mark" if notional is None else "leverage" if state.leverage is None else "margin tiers"
        raise UnknownInput(f"the {missing} of {symbol} is not known yet")
    value = Decimal(notional) if size > 0 else -Decimal(notional)
    mode: Literal["cross", "isolated"] = "isolated" if state.margin_mode == "isolated" else "cross"
    if mode == "isolated" and state.margin is None:
        raise UnknownInput(f"the margin of {symbol} is not known")
    own_cash = state.margin - value if mode == "isolated" and state.margin is not None else None
    return HyperliquidPosition(
        coin=symbol,
        size=size,
        mark=value / size,
        leverage=state.leverage,
        tiers=tiers,
        mode=mode,
        raw_usd=own_cash,
    )


def _tiers(instrument: Instrument | None) -> Tiers | None:
    steps = [] if instrument is None else instrument.details.get("margin_tiers") or []
    if not steps:
        return None
    return tiers_by_leverage(steps=[(Decimal(bound), Decimal(leverage)) for bound, leverage in steps])
