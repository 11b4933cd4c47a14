"""Orders and the book they rest in: best price first, then first come."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from simulator.wire import number

if TYPE_CHECKING:
    from .accounts import Account
    from .market import Market


@dataclass(slots=True, eq=False)
class Order:
    """An order. `size` is what is left (units), `tif` one of Gtc, Ioc, Alo; a trigger waits for the mark."""

    oid: int
    account: Account
    market: Market
    is_buy: bool
    price: Decimal
    size: Decimal
    original: Decimal
    time: int
    tif: str = "Gtc"
    reduce_only: bool = False
    cloid: str | None = None
    trigger: Trigger | None = None
    builder: Builder | None = None
    liquidation: Any = None

    @property
    def rank(self) -> tuple[Decimal, int]:
        """Sort key in its side of the book."""
        return (-self.price if self.is_buy else self.price, self.oid)

    def __lt__(self, other: Order) -> bool:
        return self.rank < other.rank

    def basic(self) -> dict[str, Any]:
        """As in openOrders and orderUpdates."""
        row: dict[str, Any] = {
            "coin": self.market.listing.coin,
            "side": "B" if self.is_buy else "A",
            "limitPx": number(self.price),
            "sz": number(self.size),
            "oid": self.oid,
            "timestamp": self.time,
            "origSz": number(self.original),
        }
        if self.cloid is not None:
            row["cloid"] = self.cloid
        return row

    def full(self) -> dict[str, Any]:
        """As in frontendOpenOrders, historicalOrders and orderStatus."""
        trigger = self.trigger
        kind = "Limit"
        if trigger is not None:
            name = "Take Profit" if trigger.take_profit else "Stop"
            kind = f"{name} {'Market' if trigger.is_market else 'Limit'}"
        return self.basic() | {
            "triggerCondition": "N/A" if trigger is None else trigger.condition(self.is_buy),
            "isTrigger": trigger is not None,
            "triggerPx": "0.0" if trigger is None else number(trigger.price),
            "children": [],
            "isPositionTpsl": trigger is not None and trigger.whole_position,
            "reduceOnly": self.reduce_only,
            "orderType": kind,
            "tif": None if trigger is not None else self.tif,
            "cloid": self.cloid,
        }


@dataclass(frozen=True, slots=True)
class Trigger:
    """Waits until the mark reaches `price`, from below or above as its side and purpose say."""

    price: Decimal
    is_market: bool
    take_profit: bool
    whole_position: bool = False

    def above(self, is_buy: bool) -> bool:
        """Whether it fires at marks at or above its price."""
        return is_buy != self.take_profit

    def condition(self, is_buy: bool) -> str:
        """In words, as the venue shows it."""
        return f"Price {'above' if self.above(is_buy) else 'below'} {self.price.normalize():f}"

    def reached(self, mark: Decimal, is_buy: bool) -> bool:
        """Whether `mark` fires it."""
        return mark >= self.price if self.above(is_buy) else mark <= self.price


@dataclass(frozen=True, slots=True)
class Builder:
    """Who gets an extra fee of `rate` (fraction of notional) on an order's fills."""

    address: str
    rate: Decimal


class Book:
    """Resting orders of one market."""

    def __init__(self) -> None:
        self._sides: dict[bool, list[Order]] = {True: [], False: []}

    def best(self, is_buy: bool) -> Order | None:
        """The first order of a side."""
        side = self._sides[is_buy]
        return side[0] if side else None

    def add(self, order: Order) -> None:
        """Rest an order."""
        insort(self._sides[order.is_buy], order)

    def remove(self, order: Order) -> None:
        """Take an order out. Raises ValueError when it does not rest here."""
        self._sides[order.is_buy].remove(order)

    def crossing(self, is_buy: bool, limit: Decimal) -> Order | None:
        """The order that a buy (sell) at `limit` would meet first."""
        other = self.best(not is_buy)
        if other is None:
            return None
        meets = other.price <= limit if is_buy else other.price >= limit
        return other if meets else None

    def levels(self, is_buy: bool, count: int = 20) -> list[dict[str, Any]]:
        """Aggregated price levels, best first."""
        found: list[tuple[Decimal, Decimal, int]] = []
        for order in self._sides[is_buy]:
            if found and found[-1][0] == order.price:
                _, size, orders = found[-1]
                found[-1] = (order.price, size + order.size, orders + 1)
            elif len(found) == count:
                break
            else:
                found.append((order.price, order.size, 1))
        return [{"px": number(px), "sz": number(size), "n": orders} for px, size, orders in found]

    def __iter__(self) -> Iterator[Order]:
        yield from self._sides[True]
        yield from self._sides[False]
