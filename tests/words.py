"""A trader's words for the book's tests.

    fill("buy 2 BTC @ 60000 fee 1.2 USDT")      one entry
    entries("buy 2 @ 60000", "sell 1 @ 61000")  a story: one entry a minute, references "1", "2", …
    book("buy 2 @ 60000", "sell 1 @ 61000")     what the book makes of the story (a Fold)
    position("long 2 @ 60000")                  a position in that state
    in_words(position)                              the state in the same words

A line is one of

    buy|sell QTY [ASSET] @ PRICE|? [DETAIL …]                   a fill; by default a trade with fee 0
    funding|fee|interest AMOUNT CURRENCY [worth USD] [loose]    + received, - paid; loose: of no instrument
    deposit|withdraw|move|hold AMOUNT CURRENCY [worth USD]      a transfer; hold: the balance at connection
    adjust buy|sell QTY @ PRICE|? [DETAIL …] because REASON     a stated quantity
    adjust AMOUNT CURRENCY because REASON                       a stated amount of cash
    bust REFERENCE
    amend REFERENCE [qty QTY] [price PRICE] [fee AMOUNT CURRENCY] [worth USD]

and a DETAIL is one of

    fee AMOUNT CURRENCY
    fee 0
    fee ?             the fee is unknown
    before SIZE       the position that the venue states before the fill
    worth USD         the par value of what changed hands
    fee-worth USD     the par value of the fee
    until MINUTE      the watermark of an inferred fill or an opening lot
    CAUSE             trade, liquidation, adl, settlement, dust, opening, inferred, manual

A line may begin with `at MINUTE`, then with `long`, `short` or `unlegged` (the leg, by default net), and may
end with `as REFERENCE`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from positions.book import (
    BaseFee,
    Cause,
    Contract,
    ContractKind,
    Entry,
    Fold,
    Kind,
    Leg,
    ParValue,
    PositionState,
    Side,
    by_asset,
    fold,
    fold_facts,
    plain,
    resolve,
)

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
PAR = frozenset({"USD", "USDT", "USDC"})
CASH = {
    "deposit": Cause.DEPOSIT,
    "withdraw": Cause.WITHDRAWAL,
    "move": Cause.INTERNAL,
    "hold": Cause.OPENING,
}


def perp(pair: str = "BTC/USDT", multiplier: str = "1") -> Contract:
    """A linear perpetual: P&L in the quote."""
    base, quote = pair.split("/")
    return Contract(ContractKind.LINEAR, base, quote, quote, Decimal(multiplier))


def inverse(pair: str = "BTC/USD", multiplier: str = "1") -> Contract:
    """A coin-margined perpetual: quantity in contracts of `multiplier` USD, P&L in the base."""
    base, quote = pair.split("/")
    return Contract(ContractKind.INVERSE, base, quote, base, Decimal(multiplier))


def pair(name: str = "BTC/USDT", base_fee: BaseFee = BaseFee.SEPARATE) -> Contract:
    """A spot pair."""
    base, quote = name.split("/")
    return Contract(ContractKind.SPOT, base, quote, quote, base_fee=base_fee)


def minute(number: float) -> datetime:
    return START + timedelta(minutes=number)


def fill(line: str, **changes: Any) -> Entry:
    """One fill in words; fields in keywords win."""
    return entry(line, **changes)


def entry(line: str, *, number: int = 1, **changes: Any) -> Entry:
    """One entry in words. Its time is START + `number` minutes and its reference that number, by default."""
    words = line.split()
    values: dict[str, Any] = {
        "venue_ref": str(number),
        "time": minute(number),
        "leg": Leg.NET,
        "received": number,
    }
    if words[0] == "at":
        values["time"] = minute(float(words[1]))
        words = words[2:]
    if words[0] in ("long", "short", "unlegged"):
        values["leg"] = None if words[0] == "unlegged" else Leg(words[0])
        words = words[1:]
    if "as" in words:
        values["venue_ref"] = words[words.index("as") + 1]
        words = words[: words.index("as")]
    values |= _read(words, values["time"])
    return Entry(**(values | changes))


def entries(*lines: str | Entry) -> list[Entry]:
    """A story in words: one entry a minute, references "1", "2", …"""
    return [
        line if isinstance(line, Entry) else entry(line, number=n) for n, line in enumerate(lines, start=1)
    ]


def book(*lines: str | Entry, contract: Contract | None = None, leg: Leg = Leg.NET) -> Fold:
    """What the book makes of a story on one instrument; for a spot pair, the position of its base asset."""
    contract = contract or perp()
    if contract.kind is ContractKind.SPOT:
        return asset_book(*lines, asset=contract.base, contract=contract)
    return fold(entries(*lines), start=flat(contract, leg=leg))


def asset_book(*lines: str | Entry, asset: str, contract: Contract) -> Fold:
    """What the book makes of a spot pair's story for one asset, priced in the par currency."""
    facts = resolve(entries(*lines))
    parts = [part for fact in facts.effective for part in by_asset(fact, contract, par=PAR)]
    start = flat(pair(f"{asset}/USD"), instrument=asset)
    folded = fold_facts([part for part in parts if part.instrument == asset], start=start)
    return replace(folded, conflicts=facts.conflicts, waiting=facts.waiting, replaced=facts.replaced)


def flat(contract: Contract | None = None, *, leg: Leg = Leg.NET, instrument: str = "BTC") -> PositionState:
    return PositionState(contract=contract or perp(), instrument=instrument, leg=leg)


def position(text: str, contract: Contract | None = None) -> PositionState:
    """A position in words: "long 2 @ 60000", "short 1 @ ?", "flat"."""
    if text == "flat":
        return flat(contract)
    side, quantity, _, price = text.split()
    return book(
        f"{'buy' if side == 'long' else 'sell'} {quantity} @ {price} fee 0", contract=contract
    ).position


def in_words(state: PositionState) -> str:
    """The state in words: side, size and entry price; realized P&L, fees and funding where there are any."""
    side = "long" if state.size > 0 else "short"
    price = "?" if state.entry_price is None else plain(state.entry_price)
    text = f"{side} {plain(abs(state.size))} @ {price}" if state.size else "flat"
    if state.realized_pnl:
        text += f" realized {plain(state.realized_pnl)}"
    for name, sums in (("fees", state.fees), ("funding", state.funding), ("interest", state.interest)):
        text += "".join(f" {name} {plain(amount)} {currency}" for currency, amount in sums.items() if amount)
    return text


def _read(words: list[str], time: datetime) -> dict[str, Any]:
    match words:
        case ["buy" | "sell", *_]:
            return {"kind": Kind.FILL, "cause": Cause.TRADE, "instrument": "BTC", **_sized(words, time)}
        case ["funding" | "fee" | "interest" as kind, amount, currency, *rest]:
            instrument = None if "loose" in rest else "BTC"
            return {"kind": Kind(kind), "instrument": instrument, **_amount(amount, currency, rest, time)}
        case ["deposit" | "withdraw" | "move" | "hold" as cause, amount, currency, *rest]:
            cash = _amount(amount, currency, rest, time)
            sign = -1 if cause == "withdraw" else 1
            return {"kind": Kind.TRANSFER, "cause": CASH[cause], **cash, "amount": cash["amount"] * sign}
        case ["adjust", "buy" | "sell", *_]:
            reason = words.index("because")
            sized = _sized(words[1:reason], time)
            return {
                "kind": Kind.ADJUSTMENT,
                "instrument": "BTC",
                **sized,
                "reason": " ".join(words[reason + 1 :]),
            }
        case ["adjust", amount, currency, "because", *reason]:
            cash = _amount(amount, currency, [], time)
            return {"kind": Kind.ADJUSTMENT, "instrument": "BTC", **cash, "reason": " ".join(reason)}
        case ["bust", target]:
            return {"kind": Kind.BUST, "instrument": "BTC", "target": target}
        case ["amend", target, *rest]:
            return {"kind": Kind.AMEND, "instrument": "BTC", "target": target, **_details(rest, time)}
    raise ValueError(f"not a word of ours: {' '.join(words)}")


def _sized(words: list[str], time: datetime) -> dict[str, Any]:
    values: dict[str, Any] = {"side": Side(words[0]), "quantity": Decimal(words[1])}
    at = words.index("@")
    values["price"] = None if words[at + 1] == "?" else Decimal(words[at + 1])
    return values | {"fee": Decimal(0)} | _details(words[at + 2 :], time)


def _amount(amount: str, currency: str, rest: list[str], time: datetime) -> dict[str, Any]:
    return {"amount": Decimal(amount), "currency": currency} | _details(rest, time)


def _details(words: list[str], time: datetime) -> dict[str, Any]:
    values: dict[str, Any] = {}
    rest = list(words)
    while rest:
        match rest:
            case ["fee", "?", *rest]:
                values["fee"] = None
            case ["fee", "0", *rest]:
                values["fee"] = Decimal(0)
            case ["fee", amount, currency, *rest]:
                values |= {"fee": Decimal(amount), "fee_currency": currency}
            case ["price", price, *rest]:
                values["price"] = Decimal(price)
            case ["qty", quantity, *rest]:
                values["quantity"] = Decimal(quantity)
            case ["before", size, *rest]:
                values["position_before"] = Decimal(size)
            case ["worth" | "fee-worth" as what, amount, *rest]:
                values["par" if what == "worth" else "fee_par"] = ParValue(Decimal(amount), "mark", time)
            case ["until", number, *rest]:
                values["watermark"] = minute(float(number))
            case ["loose", *rest]:
                pass
            case [cause, *rest]:
                values["cause"] = Cause(cause)
    return values
