"""On what our reading of each venue's methods rests."""

from __future__ import annotations

from collections.abc import Mapping

from positions.venues.base import Capability, Evidence, Method

_R, _S, _U, _N = Evidence.RECORDED, Evidence.SIMULATED, Evidence.UNPROVEN, Evidence.UNSUPPORTED

EVIDENCE: Mapping[str, Mapping[Method, Capability]] = {
    "hyperliquid": {
        Method.POSITIONS: Capability(_R, "net, cross and isolated; main and builder dexes"),
        Method.BALANCES: Capability(_R, "perp wallet per dex, spot wallet; unified modes unproven"),
        Method.FILLS: Capability(_R, "the 10 000 newest; paged by 2000"),
        Method.FUNDING: Capability(_R, "hourly; paged by 500"),
        Method.TRANSFERS: Capability(
            _R, "deposits, withdrawals, class and spot transfers recorded; others unproven"
        ),
        Method.INSTRUMENTS: Capability(_S),
        Method.MARKS: Capability(_S, "mids"),
        Method.CANDLES: Capability(_U),
        Method.STREAMS: Capability(_S),
    },
    "coinbase": {method: Capability(_U) for method in Method},
    "binance": {method: Capability(_U) for method in Method},
    "binanceusdm": {method: Capability(_U) for method in Method},
    "binancecoinm": {method: Capability(_U) for method in Method},
    "bybit": {method: Capability(_U) for method in Method},
    "deribit": {method: Capability(_U) for method in Method},
    "okx": {method: Capability(_U) for method in Method},
}
