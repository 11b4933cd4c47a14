"""The contracts that the examples trade, and numbers as a trader writes them."""

from decimal import Decimal

from positions.book.contracts import Contract, ContractKind, spot

BTC_USDT = Contract(kind=ContractKind.LINEAR, base="BTC", quote="USDT", settle="USDT")
BTC_SPOT = spot("BTC")
# One contract is 100 USD of BTC, as on Binance COIN-M.
BTC_INVERSE = Contract(
    kind=ContractKind.INVERSE, base="BTC", quote="USD", settle="BTC", multiplier=Decimal(100)
)
# One contract is 10 USD of ETH, as on OKX.
ETH_INVERSE = Contract(
    kind=ContractKind.INVERSE, base="ETH", quote="USD", settle="ETH", multiplier=Decimal(10)
)
# One contract is 0.1 ETH, as on OKX.
ETH_TENTHS = Contract(
    kind=ContractKind.LINEAR, base="ETH", quote="USDT", settle="USDT", multiplier=Decimal("0.1")
)


def D(text: str | int | None) -> Decimal | None:  # noqa: N802
    return None if text is None else Decimal(text)


def near(ours: Decimal, expected: str, places: int = 12) -> bool:
    return abs(ours - Decimal(expected)) <= Decimal(1).scaleb(-places)
