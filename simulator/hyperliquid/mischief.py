"""Things that happen to accounts when a test or a scenario says so: each is one call on the exchange."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

from simulator.engine import deleveraging, funding, liquidation, settlement, transfers
from simulator.engine.accounts import Account, Position, add_to
from simulator.engine.exchange import Exchange, Withheld
from simulator.engine.matching import Rejected, Request, cancel, place
from simulator.engine.steps import settle_marks
from simulator.hyperliquid.faults import BadFault
from simulator.wire import ZERO_HASH, number, to_micro

Body = dict[str, Any]
ZERO = Decimal(0)


def act(exchange: Exchange, spec: Body) -> Any:
    """Do what `spec["kind"]` names. Raises BadFault."""
    deed = DEEDS.get(str(spec.get("kind")))
    if deed is None:
        raise BadFault(f"unknown kind: one of {', '.join(sorted(DEEDS))}")
    try:
        return deed(exchange, spec)
    except (KeyError, TypeError, InvalidOperation, AttributeError) as error:
        raise BadFault(f"{spec.get('kind')}: missing or wrong {error}") from error
    except (Rejected, transfers.Insufficient) as refusal:
        raise BadFault(str(refusal)) from refusal


def _account(exchange: Exchange, spec: Body) -> Account:
    return exchange.account(str(spec["user"]))


def _position(exchange: Exchange, spec: Body) -> Position:
    position = _account(exchange, spec).positions.get(spec["coin"])
    if position is None:
        raise BadFault(f"{spec['user']} has no position in {spec['coin']}")
    return position


def trade(exchange: Exchange, spec: Body) -> Any:
    """An order in a user's name, as if somebody else had the key: `side` buy or sell, `size`, `price`."""
    market = exchange.markets[spec["coin"]]
    is_buy = {"buy": True, "sell": False}[spec["side"]]
    far = market.mark * (Decimal("1.05") if is_buy else Decimal("0.95"))
    price = Decimal(str(spec["price"])) if "price" in spec else market.listing.rounded(far)
    tif = spec.get("tif", "Gtc" if "price" in spec else "Ioc")
    order = Request(market, is_buy, price, Decimal(str(spec["size"])), tif, bool(spec.get("reduce_only")))
    return place(exchange, _account(exchange, spec), order)


def force_liquidation(exchange: Exchange, spec: Body) -> None:
    """Liquidate a position whatever its margin: all of it, a `share`, or by the `backstop`."""
    account, position = _account(exchange, spec), _position(exchange, spec)
    size, share = abs(position.leg.size), Decimal(str(spec.get("share", 1)))
    step = Decimal(1).scaleb(-position.market.listing.size_decimals)
    if spec.get("backstop"):
        equity = account.margin(position.market.listing.dex).cross_value
        notional = position.holding().notional
        capped = (
            min(equity, notional / 50) if position.cash is None else position.cash + position.holding().value
        )
        price = deleveraging.bankruptcy_price(position, equity=capped, notional=notional)
        liquidation.take_over(exchange, account, [(position, price)])
        return
    units = max(step, (size * share).quantize(step))
    liquidation.close_in_market(exchange, account, position, min(size, units))


def auto_deleverage(exchange: Exchange, spec: Body) -> Any:
    """Close somebody's position against the other side's most profitable."""
    account, position = _account(exchange, spec), _position(exchange, spec)
    price = deleveraging.closing_price(account, position)
    return deleveraging.deleverage(exchange, account, position, price)


def withhold(exchange: Exchange, spec: Body) -> None:
    """The next `count` rows of `what` (fill, funding, ledger) show up `seconds` late; without it, never."""
    if spec["what"] not in ("fill", "funding", "ledger"):
        raise BadFault("what must be fill, funding or ledger")
    until = exchange.now + round(float(spec["seconds"]) * 1000) if "seconds" in spec else 2**62
    rule = Withheld(spec["what"], str(spec["user"]).lower(), int(spec.get("count", 1)), until)
    exchange.withheld.append(rule)


def release(exchange: Exchange, spec: Body) -> int:
    """Show every withheld row now; how many."""
    exchange.withheld.clear()
    exchange.hidden = [(exchange.now, kind, account, row) for _, kind, account, row in exchange.hidden]
    count = len(exchange.hidden)
    exchange.reveal()
    return count


def repeat_fill(exchange: Exchange, spec: Body) -> Any:
    """The last fill told again under a new tid, as if it were another."""
    account = _account(exchange, spec)
    if len(account.fills) == 0:
        raise BadFault("no fill to repeat")
    row = account.fills[-1] | {"tid": exchange.next_tid()}
    exchange.file_fill(account, row)
    return row


def dust(exchange: Exchange, spec: Body) -> Any:
    """A daily dust conversion: all of a spot token becomes USDC at the mark, trade id 0."""
    account, token = _account(exchange, spec), spec["token"]
    amount = account.spot.get(token, ZERO)
    market = next(m for m in exchange.markets.values() if m.listing.base == token)
    if amount <= 0:
        raise BadFault(f"no {token} to convert")
    received = to_micro(amount * market.mark)
    add_to(account.spot, token, -amount)
    account.add_spot("USDC", received)
    account.cost[token] = ZERO
    # The house is the other side.
    add_to(exchange.fees, token, amount)
    add_to(exchange.fees, "USDC", -received)
    row = _bare_fill(
        exchange, market.listing.coin, number(market.mark), number(amount), "Spot Dust Conversion"
    )
    account.totals.fills += 1
    exchange.file_fill(account, row | {"startPosition": number(amount), "tid": 0, "hash": ZERO_HASH})
    return row


def _bare_fill(exchange: Exchange, coin: str, price: str, size: str, name: str) -> Body:
    return {
        "coin": coin,
        "px": price,
        "sz": size,
        "side": "A",
        "time": exchange.now,
        "startPosition": "0.0",
        "dir": name,
        "closedPnl": "0.0",
        "hash": exchange.next_hash(),
        "oid": exchange.next_oid(),
        "crossed": True,
        "fee": "0.0",
        "tid": exchange.next_tid(),
        "feeToken": "USDC",
        "twapId": None,
    }


def unknown_coin(exchange: Exchange, spec: Body) -> Any:
    """A fill of a coin that is in no list, such as an outcome market's."""
    row = _bare_fill(exchange, str(spec.get("coin", "#4710")), "0.53", "20.0", "Buy") | {"side": "B"}
    exchange.file_fill(_account(exchange, spec), row)
    return row


def unknown_ledger(exchange: Exchange, spec: Body) -> None:
    """A ledger row of a type that nobody has heard of."""
    delta = {"type": str(spec.get("type", "quantumRebate")), "usdc": str(spec.get("usdc", "1.0"))}
    exchange.file_ledger(_account(exchange, spec), delta)


def delist(exchange: Exchange, spec: Body) -> None:
    """Trading in a coin ends: orders go, positions settle at the mark against the backstop."""
    market = exchange.markets[spec["coin"]]
    exchange.delisted.add(market.listing.coin)
    for order in list(market.book):
        cancel(exchange, order, "delistedCanceled")
    for account in list(exchange.accounts.values()):
        position = account.positions.get(market.listing.coin)
        if position is not None and account is not exchange.backstop:
            size = abs(position.leg.size)
            settlement.transfer(
                exchange, account, exchange.backstop, position, size, market.mark, name="Settlement"
            )


def unlist(exchange: Exchange, spec: Body) -> None:
    """Take a coin out of what the venue says it lists, though it trades; `listed` puts it back."""
    coin = exchange.markets[spec["coin"]].listing.coin
    if spec.get("listed"):
        exchange.unlisted.discard(coin)
    else:
        exchange.unlisted.add(coin)


def price(exchange: Exchange, spec: Body) -> None:
    """Put a market's oracle somewhere; `hold` stops its path there."""
    market = exchange.markets[spec["coin"]]
    market.jump(Decimal(str(spec["price"])), now=exchange.now)
    market.frozen = bool(spec.get("hold", False))
    settle_marks(exchange)


def deposit(exchange: Exchange, spec: Body) -> None:
    """Money from outside: `amount` USDC (USDH on a `dex`), or spot `token`."""
    account, amount = _account(exchange, spec), Decimal(str(spec["amount"]))
    if "token" in spec:
        cost = Decimal(str(spec.get("cost", 0)))
        transfers.deposit_spot(exchange, account, spec["token"], amount, cost=cost)
    else:
        exchange.deposit(account, amount, dex=str(spec.get("dex", "")))


def withdraw(exchange: Exchange, spec: Body) -> None:
    """Money to outside."""
    transfers.withdraw(exchange, _account(exchange, spec), Decimal(str(spec["amount"])))


def class_transfer(exchange: Exchange, spec: Body) -> None:
    """USDC between spot and perp wallet."""
    amount = Decimal(str(spec["amount"]))
    transfers.to_class(exchange, _account(exchange, spec), amount, to_perp=bool(spec["to_perp"]))


def pay_funding(exchange: Exchange, spec: Body) -> None:
    """Funding now."""
    funding.pay(exchange)


def lever(exchange: Exchange, spec: Body) -> None:
    """Leverage and margin mode for positions to come."""
    account = _account(exchange, spec)
    account.settings[spec["coin"]] = (bool(spec.get("cross", True)), int(spec["leverage"]))


def abstraction(exchange: Exchange, spec: Body) -> None:
    """The account's mode: default, disabled, unifiedAccount, portfolioMargin, dexAbstraction."""
    _account(exchange, spec).switch_mode(str(spec["mode"]))


def agent_key(exchange: Exchange, spec: Body) -> None:
    """An agent key for an account, approved or (with `expired`) no longer."""
    agent = str(spec["agent"]).lower()
    account = _account(exchange, spec)
    account.agents[agent] = exchange.now - 1 if spec.get("expired") else None
    exchange.agents[agent] = account.address


DEEDS: dict[str, Callable[[Exchange, Body], Any]] = {
    "trade": trade,
    "liquidate": force_liquidation,
    "adl": auto_deleverage,
    "withhold": withhold,
    "release": release,
    "repeat_fill": repeat_fill,
    "dust": dust,
    "unknown_coin": unknown_coin,
    "unknown_ledger": unknown_ledger,
    "delist": delist,
    "unlist": unlist,
    "price": price,
    "deposit": deposit,
    "withdraw": withdraw,
    "class_transfer": class_transfer,
    "funding": pay_funding,
    "lever": lever,
    "abstraction": abstraction,
    "agent": agent_key,
}
