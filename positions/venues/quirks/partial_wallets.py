"""Venues of which ccxt reads one wallet and calls it the balance: their balances prove nothing; unproven."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from positions.venues.base import Method
from positions.venues.generic.adapter import Generic


class Lighter(Generic):
    """ccxt reads the spot assets; the collateral of perpetuals is apart."""

    exchange_id = "lighter"
    doubts: ClassVar[Mapping[Method, str]] = {
        Method.BALANCES: "the spot assets only, without the collateral of perpetuals",
    }


class KrakenFutures(Generic):
    """ccxt reads the flex account; each market has a margin account, and there is a cash account."""

    exchange_id = "krakenfutures"
    doubts: ClassVar[Mapping[Method, str]] = {
        Method.BALANCES: "the flex account only, without cash and the margin accounts of markets",
    }


class Whitebit(Generic):
    """ccxt reads the trading balance; the main and the collateral balance are apart."""

    exchange_id = "whitebit"
    doubts: ClassVar[Mapping[Method, str]] = {
        Method.BALANCES: "the trading balance only, without the main and the collateral balance",
    }
