"""What a run tells of each leg and balance, as JSON types: the lines of its certificate."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from core.money import fixed
from positions.venues.base import Method
from reconciliation.compare import LegKey, LegResult, LegState, WalletResult
from reconciliation.judging import plain


def legs(
    results: Iterable[LegResult],
    *,
    stated: Mapping[LegKey, LegState],
    as_of: datetime,
    windows: Mapping[str, Mapping[str, Any]],
    withheld: Collection[str | None],
) -> list[dict[str, Any]]:
    """Return a line for each leg: observed or not, whether it proves, the window of its fills, what differs.

    `stated` is what the venue says of each; `withheld` names the venue symbols (None: all) of rows that
    nobody could read.
    """
    window = windows.get(Method.FILLS.value, {})
    return [
        {
            "symbol": one.key.venue_symbol,
            "leg": one.key.leg,
            "observed": one.observed,
            "judged": one.observed,
            "proves": one.observed and not {one.key.venue_symbol, None} & set(withheld),
            "as_of": as_of.isoformat(),
            "asked": window.get("asked"),
            "covered": window.get("covered"),
            "venue": _stated(stated.get(one.key)),
            "differences": [plain(found) for found in one.differences],
        }
        for one in results
    ]


def _stated(state: LegState | None) -> dict[str, str | None] | None:
    if state is None:
        return None
    return {
        "quantity": fixed(state.quantity),
        "entry_price": None if state.entry_price is None else fixed(state.entry_price),
        "liquidation_price": None if state.liquidation_price is None else fixed(state.liquidation_price),
    }


def balances(results: Iterable[WalletResult]) -> list[dict[str, Any]]:
    """Return a line for each wallet's currency or coin."""
    return [
        {
            "wallet": one.key.wallet,
            "asset": one.key.asset,
            "observed": one.observed,
            "unknown_entries": one.unknown,
            "proves": one.provable,
            "differences": [plain(found) for found in one.differences],
        }
        for one in results
    ]
