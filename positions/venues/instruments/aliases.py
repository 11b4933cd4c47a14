"""Names of one thing on different venues: wrapped and scaled tickers, as a literal table. Pure."""

from __future__ import annotations

from decimal import Decimal

# Hyperliquid's bridged spot tokens (Unit): one token is one coin.
_WRAPPED = {
    "UBTC": "BTC", "UETH": "ETH", "USOL": "SOL", "UFART": "FARTCOIN", "UPUMP": "PUMP", "UBONK": "BONK",
    "UENA": "ENA", "UXPL": "XPL", "UWLD": "WLD", "UMON": "MON", "UZEC": "ZEC", "UAVAX": "AVAX",
    "UMEGA": "MEGA", "HPENGU": "PENGU", "USDT0": "USDT", "WBTC": "BTC",
    "WETH": "ETH", "XBT": "BTC", "CBBTC": "BTC",
}  # fmt: skip
_THOUSAND = Decimal(1000)
_MILLION = Decimal(1_000_000)
# Hyperliquid: a lower-case k before a ticker means 1000 of it.
_SCALED = {
    "kPEPE": ("PEPE", _THOUSAND), "kSHIB": ("SHIB", _THOUSAND), "kBONK": ("BONK", _THOUSAND),
    "kFLOKI": ("FLOKI", _THOUSAND), "kLUNC": ("LUNC", _THOUSAND), "kDOGS": ("DOGS", _THOUSAND),
    "kNEIRO": ("NEIRO", _THOUSAND),
    # Binance, Bybit: the number is written out.
    "1000PEPE": ("PEPE", _THOUSAND), "1000SHIB": ("SHIB", _THOUSAND), "1000BONK": ("BONK", _THOUSAND),
    "1000FLOKI": ("FLOKI", _THOUSAND), "1000LUNC": ("LUNC", _THOUSAND), "1000SATS": ("SATS", _THOUSAND),
    "1000RATS": ("RATS", _THOUSAND), "1000XEC": ("XEC", _THOUSAND), "1000CAT": ("CAT", _THOUSAND),
    "1000CHEEMS": ("CHEEMS", _THOUSAND), "1000000MOG": ("MOG", _MILLION),
    "1MBABYDOGE": ("BABYDOGE", _MILLION), "SHIB1000": ("SHIB", _THOUSAND),
}  # fmt: skip


def underlying(base: str) -> tuple[str, Decimal]:
    """(underlying asset, how many of it one unit is): ("PEPE", 1000) for kPEPE; a name not in the table is
    itself.
    """
    name = base.rpartition(":")[2] or base
    if name in _SCALED:
        return _SCALED[name]
    return _WRAPPED.get(name, name), Decimal(1)
