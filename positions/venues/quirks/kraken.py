"""Kraken spot: margin positions say what of them is closed, and ccxt counts it as held; unproven."""

from __future__ import annotations

from decimal import Decimal

from positions.book.money import subtract
from positions.venues.fields import number, required
from positions.venues.generic.adapter import Generic
from positions.venues.generic.unified_rows import Row


class Kraken(Generic):
    """Coins by balances; margin positions leave the coins of their pair unknown."""

    exchange_id = "kraken"

    def margin_size(self, row: Row) -> Decimal:
        """`vol` less `vol_closed`. Raises InvalidField."""
        info = row["info"]
        return subtract(required(info, "vol"), number(info.get("vol_closed"), "vol_closed") or Decimal(0))
