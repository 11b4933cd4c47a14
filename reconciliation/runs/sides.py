"""Both sides of what a report observed: its rows, and the book as of its time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal

from positions.models import Account, Instrument
from positions.venues.base import PositionRow, Report
from reconciliation import queries
from reconciliation.cases.case_report import CaseReport
from reconciliation.rules.compare import (
    LegKey,
    LegResult,
    LegState,
    WalletKey,
    WalletResult,
    compare_balances,
)
from reconciliation.runs.verdict_store import Key

_FLAT = LegState(Decimal(0))


def stated(rows: Iterable[PositionRow]) -> dict[LegKey, LegState]:
    """Return the legs that a report states."""
    return {LegKey(row.venue_symbol, row.leg.value): _leg_state(row) for row in rows}


def _leg_state(row: PositionRow) -> LegState:
    return LegState(
        row.quantity,
        row.entry_price,
        leverage=row.leverage,
        margin=row.isolated_margin if row.isolated_margin is not None else row.initial_margin,
        liquidation_price=row.liquidation_price,
        realized=row.realized_pnl,
        unrealized=row.unrealized_pnl,
    )


def case_reports(
    *,
    as_of: datetime,
    legs: Iterable[LegResult],
    book: Mapping[LegKey, LegState],
    venue: Mapping[LegKey, LegState],
    instruments: Mapping[str, Instrument],
) -> dict[Key, CaseReport]:
    """Return what cases of legs keep of one report, by subject; a side without the leg is flat."""
    found: dict[Key, CaseReport] = {}
    for one in legs:
        instrument = instruments.get(one.key.venue_symbol)
        if one.observed and instrument is not None:
            ours, theirs = book.get(one.key, _FLAT), venue.get(one.key, _FLAT)
            found[instrument.pk, one.key.leg, "", ""] = CaseReport(
                as_of, ours.quantity, ours.entry_price, theirs.quantity, theirs.entry_price
            )
    return found


def balances(*, account: Account, report: Report, book: queries.AccountBook) -> list[WalletResult]:
    """Return the comparison of each wallet; nothing before T0 of the account is fixed."""
    if not book.opened:
        return []
    venue = {WalletKey(row.wallet, row.asset): row.total for row in report.balances}
    assets = {key.asset for key in (*venue, *book.wallets)}
    return compare_balances(
        book=book.wallets,
        venue=venue,
        complete=report.balances_complete,
        tolerances=queries.wallet_tolerances(account=account, assets=assets),
    )
