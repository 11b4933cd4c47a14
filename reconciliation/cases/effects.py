"""What a correction would change: its entries are booked, looked at, and rolled back.

Both sides are those of the case's report: a book that is another by now, and entries that do not lead to what
the venue reports, are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.conf import settings
from django.db.models import Sum

from core.values.money import fixed
from positions import ingest
from positions import queries as ledger
from positions.book import Entry, PositionState
from positions.book.money import QUANTUM, ZERO
from positions.models import Position, Status
from reconciliation.cases.case_report import CaseReport
from reconciliation.models import Case
from reconciliation.queries import wallet_tolerances
from reconciliation.rules.compare import Difference, Family


class PlanRefusal(ValueError):
    """An action that makes no sense for this case, with the reason. `code` is stable."""

    def __init__(self, code: str, problem: str) -> None:
        super().__init__(problem)
        self.code = code


@dataclass(frozen=True, slots=True)
class PlanEffect:
    """What a plan's entries change. `before` and `after` are of the report's time: size and entry price of a
    leg, or `book` of a balance, beside `venue`. `pnl` is the change of realized P&L (None: unknown), `usd`
    the worth of what changes.
    """

    before: dict[str, str | None]
    after: dict[str, str | None]
    pnl: Decimal | None
    usd: Decimal | None


def report_of(case: Case) -> CaseReport:
    """Return both sides of a case. Raises PlanRefusal where no report has shown them."""
    report = CaseReport.from_plain(case.report)
    if report is None:
        raise PlanRefusal("never_seen", "no complete report has shown this yet: the next comparison may")
    return report


def leg_as_of(case: Case, report: CaseReport) -> tuple[PositionState, str]:
    """Return the book's leg as of the report, as known now. Raises PlanRefusal when it was another then."""
    if case.instrument is None:
        raise PlanRefusal("no_leg", "a balance has no position")
    held = _held(case, report.as_of)
    average = held.state.entry_price if held.state.size else None
    if held.state.size != (report.book_quantity or ZERO) or _differs(average, report.book_entry_price):
        raise _changed(report)
    return held.state, held.symbol


def _changed(report: CaseReport) -> PlanRefusal:
    return PlanRefusal(
        "changed",
        f"the book has changed since the report of {report.as_of:%H:%M:%S} UTC: "
        "the next comparison shows what is left",
    )


def _held(case: Case, at: datetime) -> ledger.PastPosition:
    return ledger.position_as_of(
        account=case.account, instrument=case.instrument_id or 0, leg=case.leg, at=at
    )


def _differs(average: Decimal | None, compared: Decimal | None) -> bool:
    """Return whether two averages differ by more than what rounding to the book's places makes."""
    if average is None or compared is None:
        return average is not compared
    return abs(average - compared) > 2 * QUANTUM


@dataclass(frozen=True, slots=True)
class _BookSide:
    """What a plan may move: a leg or a balance as of a moment, and a leg's realized P&L so far.

    `unknown` counts what that P&L leaves out. A fee is no part of it.
    """

    size: Decimal = ZERO
    entry_price: Decimal | None = None
    realized: Decimal = ZERO
    unknown: int = 0
    balance: Decimal = ZERO


def _book_side(case: Case, at: datetime) -> _BookSide:
    if case.instrument is None:
        balances = ledger.book_as_of(account=case.account, at=at).balances
        return _BookSide(balance=balances.get((case.wallet, case.asset), (ZERO, 0))[0])
    state = _held(case, at).state
    episodes = Position.objects.filter(account=case.account, instrument=case.instrument_id, leg=case.leg)
    sums = episodes.exclude(status=Status.VOID).aggregate(
        realized=Sum("realized_pnl"), adjusted=Sum("adjustment_pnl")
    )
    return _BookSide(
        size=state.size,
        entry_price=state.entry_price if state.size else None,
        realized=(sums["realized"] or ZERO) + (sums["adjusted"] or ZERO),
        unknown=state.unknown_pnl,
    )


def effect(*, case: Case, shown: Difference, entries: Sequence[Entry]) -> PlanEffect:
    """Return what booking these entries would change. Raises PlanRefusal where it must not be done."""
    if not entries:
        unchanged = {"book": text(shown.book), "venue": text(shown.venue)}
        return PlanEffect(unchanged, unchanged, ZERO, ZERO)
    report = report_of(case)
    at = max(report.as_of, *(entry.time for entry in entries))
    try:
        before, after = ingest.rehearse(
            account=case.account,
            entries=entries,
            source="preview",
            trace_id="",
            now=report.as_of,
            read=lambda: _book_side(case, at),
        )
    except ingest.BatchRejection as rejection:
        raise PlanRefusal("unbookable", str(rejection)) from rejection
    # A fact of before the report that came since may be what was missing: leg_as_of looks at legs.
    if case.instrument is None and abs(before.balance - (shown.book or ZERO)) > _allowed(case):
        raise _changed(report)
    _check_it_leads_to_the_venue(case, shown, report, before, after)
    venue = {"venue": text(shown.venue)}
    if case.instrument is None:
        moved = after.balance - before.balance
        old, new = ({"book": text(book)} for book in (shown.book, (shown.book or ZERO) + moved))
        return PlanEffect(old | venue, new | venue, moved, _worth(case, report, moved))
    old, new = ({"size": text(one.size), "entry_price": text(one.entry_price)} for one in (before, after))
    realized = after.realized - before.realized if after.unknown <= before.unknown else None
    return PlanEffect(old | venue, new | venue, realized, _worth(case, report, shown.amount))


def _check_it_leads_to_the_venue(
    case: Case, shown: Difference, report: CaseReport, before: _BookSide, after: _BookSide
) -> None:
    """Raise PlanRefusal unless the entries make the difference that the case shows."""
    if case.instrument is None:
        left = shown.amount - (after.balance - before.balance)
        enough = abs(left) <= _allowed(case)
    elif case.family == Family.ENTRY_PRICE:
        left = (shown.venue or ZERO) - (after.entry_price or ZERO)
        tick = case.instrument.price_tick or ZERO
        enough = after.size == before.size and abs(left) <= max(tick, QUANTUM * 2)
    else:
        left = (report.venue_quantity or ZERO) - after.size
        enough = left == 0
    if not enough:
        raise PlanRefusal(
            "does_not_add_up",
            f"this would leave {fixed(left)} between book and venue: it is not what explains this difference",
        )


def _allowed(case: Case) -> Decimal:
    return wallet_tolerances(account=case.account, assets=[case.asset])[case.asset].allowed


def _worth(case: Case, report: CaseReport, amount: Decimal) -> Decimal | None:
    """Return the USD value of a difference: a size at its mark, cash at par or its price; None if unknown."""
    if case.family == Family.ENTRY_PRICE:
        return None if report.venue_quantity is None else abs(amount * report.venue_quantity)
    if case.instrument is not None:
        return None if report.mark_price is None else abs(amount * report.mark_price)
    if case.asset in settings.PAR_CURRENCIES:
        return abs(amount)
    prices = ledger.coin_prices(world=case.account.world, coins=[case.asset])
    price = prices.get(case.asset)
    return abs(amount * price.price) if price else None


def text(value: Decimal | None) -> str | None:
    return None if value is None else fixed(value)
