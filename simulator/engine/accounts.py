"""A user of the exchange: wallets, positions, orders, and the records that the venue keeps of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from simulator.ledger import Leg
from simulator.margin import CumulativeFunding, Holding, Margin
from simulator.wire import number

from . import unified
from .book import Order
from .catalogue import COLLATERAL, TOKEN_INDEX
from .market import Market
from .records import Archive

ZERO = Decimal(0)
KEPT_FILLS = 10_000
KEPT_ORDERS = 2_000
KEPT_HOUSE = 200
DEFAULT_LEVERAGE = 20
Row = dict[str, Any]


@dataclass(slots=True)
class Position:
    """An open position; `cash` (USD) only when isolated."""

    market: Market
    leg: Leg
    leverage: int
    cash: Decimal | None
    funding: CumulativeFunding = field(default_factory=CumulativeFunding)

    def holding(self) -> Holding:
        """As margin sees it."""
        listing = self.market.listing
        return Holding(
            coin=listing.coin,
            size=self.leg.size,
            entry=self.leg.entry,
            mark=self.market.mark,
            leverage=self.leverage,
            tiers=listing.tiers,
            price_decimals=listing.price_decimals,
            cash=self.cash,
            funding=self.funding,
        )


@dataclass(slots=True)
class Totals:
    """The simulator's own ledger of a user since it joined: what a book of its entries must add up to."""

    fills: int = 0
    volume: Decimal = ZERO
    closed_pnl: Decimal = ZERO
    fees: dict[str, Decimal] = field(default_factory=dict)
    funding: Decimal = ZERO
    deposits: dict[str, Decimal] = field(default_factory=dict)
    withdrawals: dict[str, Decimal] = field(default_factory=dict)

    def wire(self) -> Row:
        """As /sim/truth tells it."""
        return {
            "fills": self.fills,
            "closed_pnl": number(self.closed_pnl),
            "fees": {token: number(amount) for token, amount in sorted(self.fees.items())},
            "funding": number(self.funding),
            "deposits": {token: number(amount) for token, amount in sorted(self.deposits.items())},
            "withdrawals": {token: number(amount) for token, amount in sorted(self.withdrawals.items())},
        }


def add_to(book: dict[str, Decimal], key: str, amount: Decimal) -> None:
    """Add an amount to a sum by key."""
    book[key] = book.get(key, ZERO) + amount


class Account:
    """One address. `cash` is raw USD per perp dex, `spot` token balances, `cost` what they cost (USD).

    `archive` has its older records; without one it is an address that the venue does not keep.
    """

    def __init__(self, address: str, *, house: bool = False, archive: Archive | None = None) -> None:
        self.address = address
        self.house = house
        self.cash: dict[str, Decimal] = {}
        self.spot: dict[str, Decimal] = {}
        self.cost: dict[str, Decimal] = {}
        self.positions: dict[str, Position] = {}
        self.settings: dict[str, tuple[bool, int]] = {}
        self.all_time_funding: dict[str, Decimal] = {}
        self.orders: dict[int, Order] = {}
        self.by_cloid: dict[str, int] = {}
        self.agents: dict[str, int | None] = {}
        self.builders: dict[str, Decimal] = {}
        self.abstraction = "default"
        self.cooling: dict[str, int] = {}
        self.totals = Totals()
        archive = archive or Archive()
        kept = KEPT_HOUSE if house else KEPT_FILLS
        self.fills = archive.records(kept)
        self.fundings = archive.records(kept)
        self.ledger = archive.records(kept)
        self.history = archive.records(KEPT_HOUSE if house else KEPT_ORDERS)

    def leverage(self, market: Market) -> tuple[bool, int]:
        """(cross?, leverage) chosen for a market, or the venue's default."""
        listing = market.listing
        default = (not listing.only_isolated, min(DEFAULT_LEVERAGE, listing.max_leverage))
        return self.settings.get(listing.coin, default)

    def margin(self, dex: str) -> Margin:
        """Margin on one perp dex, marks as of now."""
        holdings = tuple(one.holding() for one in self.positions.values() if one.market.listing.dex == dex)
        return Margin(self.cash.get(dex, ZERO), holdings, self.held(dex))

    def behind(self, position: Position) -> list[Position]:
        """The positions that share one margin with `position`: itself, or all cross ones of its dex."""
        if position.cash is not None:
            return [position]
        return self.crossed(position.market.listing.dex)

    def crossed(self, dex: str) -> list[Position]:
        """The cross positions on one perp dex."""
        return [one for one in self.positions.values() if one.cash is None and one.market.listing.dex == dex]

    def cross_equity(self, dex: str) -> Decimal:
        """Cash and signed notionals of the cross account (USD), marks as of now."""
        return sum(
            (one.leg.size * one.market.mark for one in self.crossed(dex)), start=self.cash.get(dex, ZERO)
        )

    def equity_behind(self, position: Position) -> Decimal:
        """Equity (USD) that answers for `position`: its own when isolated, else the cross account's."""
        if position.cash is None:
            return self.cross_equity(position.market.listing.dex)
        return position.cash + position.leg.size * position.market.mark

    def notional_behind(self, position: Position) -> Decimal:
        """Unsigned notional (USD) of what shares a margin with `position`."""
        return sum((one.holding().notional for one in self.behind(position)), ZERO)

    def maintenance_behind(self, position: Position) -> Decimal:
        """Maintenance margin (USD) of what shares a margin with `position`."""
        return sum((one.holding().maintenance for one in self.behind(position)), ZERO)

    def held(self, dex: str) -> Decimal:
        """Initial margin that resting orders keep (USD): none for those that can only reduce."""
        if self.house:
            return ZERO
        held = ZERO
        for order in self.orders.values():
            listing = order.market.listing
            if listing.kind == "perp" and listing.dex == dex and not order.reduce_only and not order.trigger:
                held += order.size * order.price / self.leverage(order.market)[1]
        return held + (self.spot_hold(COLLATERAL[dex]) if self.is_unified else ZERO)

    def spot_hold(self, token: str) -> Decimal:
        """Spot tokens that resting orders keep."""
        hold = ZERO
        for order in self.orders.values():
            listing = order.market.listing
            if listing.kind != "spot" or order.trigger:
                continue
            if order.is_buy and listing.quote == token:
                hold += order.size * order.price
            elif not order.is_buy and listing.base == token:
                hold += order.size
        return hold

    @property
    def is_unified(self) -> bool:
        """Whether spot and perp share one balance per token; it is then kept in `cash`."""
        return self.abstraction in unified.MODES

    def switch_mode(self, mode: str) -> None:
        """Set the account mode. Entering a unified mode merges the spot collateral into the perp wallets;
        leaving it keeps that money there.
        """
        self.abstraction = mode
        if self.is_unified:
            for token in COLLATERAL.values():
                self.add_spot(token, self.spot.pop(token, ZERO))

    def add_spot(self, token: str, amount: Decimal) -> None:
        """Tokens into (or out of) the spot wallet, which may be the unified one."""
        dex = unified.dex_of(token) if self.is_unified else None
        if dex is None:
            add_to(self.spot, token, amount)
        else:
            add_to(self.cash, dex, amount)

    def free_spot(self, token: str) -> Decimal:
        """What can be spent of a token."""
        dex = unified.dex_of(token) if self.is_unified else None
        if dex is None:
            return self.spot.get(token, ZERO) - self.spot_hold(token)
        return self.margin(dex).withdrawable

    def dexs(self) -> set[str]:
        """The perp dexs on which it has cash or positions, besides the first."""
        return {""} | set(self.cash) | {one.market.listing.dex for one in self.positions.values()}

    def state(self, dex: str, *, now: int) -> Row:
        """clearinghouseState."""
        margin = self.margin(dex)
        return margin.wire(time=now) | (unified.unpledged(margin) if self.is_unified else {})

    def spot_state(self) -> Row:
        """spotClearinghouseState. A unified account has its perp collateral here."""
        rows = [self._balance(token, amount) for token, amount in self.spot.items() if amount != 0]
        available: Row = {}
        if self.is_unified:
            pools = {token: self.margin(dex) for dex, token in COLLATERAL.items() if self.cash.get(dex)}
            rows += [
                balance_row(token, total=unified.settled(one), hold=unified.hold(one), cost=ZERO)
                for token, one in pools.items()
            ]
            after = [[TOKEN_INDEX[token], number(unified.available(one), 8)] for token, one in pools.items()]
            available = {"tokenToAvailableAfterMaintenance": after}
        return {"balances": sorted(rows, key=lambda row: int(row["token"]))} | available

    def _balance(self, token: str, amount: Decimal) -> Row:
        return balance_row(token, total=amount, hold=self.spot_hold(token), cost=self.cost.get(token, ZERO))

    def truth(self) -> Row:
        """Positions and wallets, exactly, for tests."""
        return {
            "user": self.address,
            "totals": self.totals.wire(),
            "positions": {
                coin: {
                    "size": number(one.leg.size),
                    "entry": number(one.leg.entry, 18),
                    "cash": None if one.cash is None else number(one.cash),
                }
                for coin, one in self.positions.items()
            },
            "cash": {dex: number(amount) for dex, amount in self.cash.items()},
            "spot": {token: number(amount) for token, amount in self.spot.items()},
        }


def balance_row(token: str, *, total: Decimal, hold: Decimal, cost: Decimal) -> Row:
    """One row of spotClearinghouseState."""
    return {
        "coin": token,
        "token": TOKEN_INDEX.get(token, 0),
        "total": number(total, 8),
        "hold": number(hold, 8),
        "entryNtl": number(cost, 8),
    }


def wealth(accounts: Iterable[Account]) -> dict[str, Decimal]:
    """All tokens that users own, positions valued at their marks: what conservation counts."""
    owned: dict[str, Decimal] = {}
    for account in accounts:
        for token, amount in account.spot.items():
            add_to(owned, token, amount)
        for dex, amount in account.cash.items():
            add_to(owned, COLLATERAL[dex], amount)
        for position in account.positions.values():
            value = position.leg.size * position.market.mark + (position.cash or ZERO)
            add_to(owned, position.market.listing.quote, value)
    return owned
