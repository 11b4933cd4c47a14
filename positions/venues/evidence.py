"""How far our reading of each venue's methods is proven, with a note for the reader where needed.

PROVEN is generated from the test suite (python -m tests.positions.venues.evidence) and checked by it.
"""

from __future__ import annotations

from collections.abc import Mapping

from positions.venues.base import Capability, Evidence, Method

# BEGIN GENERATED
PROVEN: Mapping[str, Mapping[Method, Evidence]] = {
    "hyperliquid": {
        Method.POSITIONS: Evidence.RECORDED,
        Method.BALANCES: Evidence.RECORDED,
        Method.FILLS: Evidence.RECORDED,
        Method.FUNDING: Evidence.RECORDED,
        Method.TRANSFERS: Evidence.RECORDED,
        Method.INSTRUMENTS: Evidence.SIMULATED,
        Method.MARKS: Evidence.SIMULATED,
        Method.CANDLES: Evidence.SIMULATED,
        Method.STREAMS: Evidence.SIMULATED,
        Method.VALUES: Evidence.SIMULATED,
    },
    "coinbase": {
        Method.POSITIONS: Evidence.RECORDED,
        Method.BALANCES: Evidence.RECORDED,
        Method.FILLS: Evidence.RECORDED,
        Method.FUNDING: Evidence.UNSUPPORTED,
        Method.TRANSFERS: Evidence.SIMULATED,
        Method.INSTRUMENTS: Evidence.SIMULATED,
        Method.MARKS: Evidence.SIMULATED,
        Method.CANDLES: Evidence.SIMULATED,
        Method.STREAMS: Evidence.UNSUPPORTED,
        Method.VALUES: Evidence.UNSUPPORTED,
    },
    "binance": {
        Method.POSITIONS: Evidence.UNSUPPORTED,
        Method.BALANCES: Evidence.RECORDED,
        Method.FILLS: Evidence.RECORDED,
        Method.FUNDING: Evidence.UNSUPPORTED,
        Method.TRANSFERS: Evidence.RECORDED,
        Method.INSTRUMENTS: Evidence.UNPROVEN,
        Method.MARKS: Evidence.UNPROVEN,
        Method.CANDLES: Evidence.UNPROVEN,
        Method.STREAMS: Evidence.UNPROVEN,
        Method.VALUES: Evidence.UNSUPPORTED,
    },
    "binanceusdm": {
        Method.POSITIONS: Evidence.RECORDED,
        Method.BALANCES: Evidence.RECORDED,
        Method.FILLS: Evidence.UNPROVEN,
        Method.FUNDING: Evidence.UNPROVEN,
        Method.TRANSFERS: Evidence.RECORDED,
        Method.INSTRUMENTS: Evidence.UNPROVEN,
        Method.MARKS: Evidence.UNPROVEN,
        Method.CANDLES: Evidence.UNPROVEN,
        Method.STREAMS: Evidence.UNPROVEN,
        Method.VALUES: Evidence.UNSUPPORTED,
    },
    "binancecoinm": {
        Method.POSITIONS: Evidence.RECORDED,
        Method.BALANCES: Evidence.UNPROVEN,
        Method.FILLS: Evidence.UNPROVEN,
        Method.FUNDING: Evidence.UNPROVEN,
        Method.TRANSFERS: Evidence.UNPROVEN,
        Method.INSTRUMENTS: Evidence.UNPROVEN,
        Method.MARKS: Evidence.UNPROVEN,
        Method.CANDLES: Evidence.UNPROVEN,
        Method.STREAMS: Evidence.UNPROVEN,
        Method.VALUES: Evidence.UNSUPPORTED,
    },
    "bybit": {
        Method.POSITIONS: Evidence.RECORDED,
        Method.BALANCES: Evidence.RECORDED,
        Method.FILLS: Evidence.RECORDED,
        Method.FUNDING: Evidence.UNPROVEN,
        Method.TRANSFERS: Evidence.RECORDED,
        Method.INSTRUMENTS: Evidence.UNPROVEN,
        Method.MARKS: Evidence.UNPROVEN,
        Method.CANDLES: Evidence.UNPROVEN,
        Method.STREAMS: Evidence.UNPROVEN,
        Method.VALUES: Evidence.UNSUPPORTED,
    },
    "okx": {
        Method.POSITIONS: Evidence.RECORDED,
        Method.BALANCES: Evidence.RECORDED,
        Method.FILLS: Evidence.RECORDED,
        Method.FUNDING: Evidence.UNPROVEN,
        Method.TRANSFERS: Evidence.RECORDED,
        Method.INSTRUMENTS: Evidence.UNPROVEN,
        Method.MARKS: Evidence.UNPROVEN,
        Method.CANDLES: Evidence.UNPROVEN,
        Method.STREAMS: Evidence.UNPROVEN,
        Method.VALUES: Evidence.UNSUPPORTED,
    },
    "deribit": {
        Method.POSITIONS: Evidence.RECORDED,
        Method.BALANCES: Evidence.RECORDED,
        Method.FILLS: Evidence.RECORDED,
        Method.FUNDING: Evidence.UNPROVEN,
        Method.TRANSFERS: Evidence.RECORDED,
        Method.INSTRUMENTS: Evidence.UNPROVEN,
        Method.MARKS: Evidence.UNPROVEN,
        Method.CANDLES: Evidence.UNPROVEN,
        Method.STREAMS: Evidence.UNPROVEN,
        Method.VALUES: Evidence.UNSUPPORTED,
    },
}
# END GENERATED

_NOTES: Mapping[str, Mapping[Method, str]] = {
    "hyperliquid": {
        Method.BALANCES: "unified and portfolio-margin modes are not proven",
        Method.FILLS: "the 10 000 newest",
        Method.TRANSFERS: "recorded: deposit, withdraw, class and spot transfer; other types unproven",
        Method.MARKS: "mids",
        Method.CANDLES: "the 5000 newest",
        Method.VALUES: "`portfolio` in the documented shape; no answer was recorded",
    },
    "coinbase": {
        Method.POSITIONS: "US futures, where options.futures is set",
        Method.STREAMS: "no private stream of fills: polled",
    },
    "binance": {Method.FILLS: "asked pair by pair: options.symbols, else of what is held"},
    "binanceusdm": {
        Method.FILLS: "asked symbol by symbol, in windows of a week",
        Method.FUNDING: "3 months",
        Method.TRANSFERS: "3 months",
    },
    "binancecoinm": {
        Method.FILLS: "asked symbol by symbol, in windows of a week",
        Method.FUNDING: "3 months",
        Method.TRANSFERS: "3 months",
    },
    "bybit": {
        Method.FILLS: "2 years, in windows of a week",
        Method.FUNDING: "2 years, in windows of a week",
    },
    "okx": {
        Method.FILLS: "3 months",
        Method.FUNDING: "3 months, one page of 100 at a time",
        Method.TRANSFERS: "moves between wallets: a week",
    },
    "deribit": {Method.POSITIONS: "sizes are in units already"},
}

EVIDENCE: Mapping[str, Mapping[Method, Capability]] = {
    venue: {
        method: Capability(evidence, _NOTES.get(venue, {}).get(method, ""))
        for method, evidence in methods.items()
    }
    for venue, methods in PROVEN.items()
}


def evidence_of(venue: str) -> Mapping[Method, Capability]:
    """A venue's table; unproven throughout where no adapter of its own exists."""
    unproven = {method: Capability(Evidence.UNPROVEN) for method in Method}
    return EVIDENCE.get(venue, unproven)
