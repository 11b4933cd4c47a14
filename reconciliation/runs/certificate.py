"""The lines of a certificate, one for each leg and balance, as JSON types."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from core.values.money import fixed
from positions.models import Instrument
from positions.venues.base import Method
from reconciliation.models import leg_name
from reconciliation.rules.compare import LegKey, LegResult, LegState, WalletResult
from reconciliation.runs.fact_requests import ReadSummary


def legs(
    results: Iterable[LegResult],
    *,
    stated: Mapping[LegKey, LegState],
    as_of: datetime,
    read: ReadSummary,
    withheld: Collection[str | None],
    instruments: Mapping[str, Instrument],
) -> list[dict[str, Any]]:
    """Return a line for each leg: observed or not, whether it proves, the window of its fills, how many facts
    named it and what became of them, what differs.

    `stated` has the venue's figures of each; `withheld` names the venue symbols (None: all) of rows that
    nobody could read. `proves`: its state was read whole; `complete`: so was all that was asked of it (where
    nothing was asked, `asked` is None).
    """
    window = read.windows.get(Method.FILLS.value, {})
    found = []
    for one in results:
        symbol, leg = one.key.venue_symbol, one.key.leg
        proves = one.observed and not {symbol, None} & set(withheld)
        found.append(
            {
                "subject": leg_name(instruments[symbol], leg) if symbol in instruments else symbol,
                "symbol": symbol,
                "leg": leg,
                "observed": one.observed,
                "judged": one.observed,
                "proves": proves,
                "complete": proves and window.get("complete", True),
                "as_of": as_of.isoformat(),
                "asked": window.get("asked"),
                "covered": window.get("covered"),
                "counts": read.counts_of(symbol=symbol, leg=leg),
                "venue": _stated(stated.get(one.key)),
                "differences": [found.to_plain() for found in one.differences],
            }
        )
    return found


def _stated(state: LegState | None) -> dict[str, str | None] | None:
    if state is None:
        return None
    return {
        "quantity": fixed(state.quantity),
        "entry_price": None if state.entry_price is None else fixed(state.entry_price),
        "liquidation_price": None if state.liquidation_price is None else fixed(state.liquidation_price),
    }


def balances(
    results: Iterable[WalletResult], *, as_of: datetime, read: ReadSummary, withheld: Collection[str | None]
) -> list[dict[str, Any]]:
    """Return a line for each wallet's currency or coin; `complete` as of a leg, for every kind of fact."""
    found = []
    for one in results:
        proves = one.provable and None not in withheld
        found.append(
            {
                "wallet": one.key.wallet,
                "asset": one.key.asset,
                "observed": one.observed,
                "unknown_entries": one.unknown,
                "proves": proves,
                "complete": proves and read.complete,
                "as_of": as_of.isoformat(),
                "differences": [found.to_plain() for found in one.differences],
            }
        )
    return found
