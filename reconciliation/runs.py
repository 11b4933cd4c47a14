"""One comparison of an account with its venue, its certificate, and what it makes of each leg's verdict.

The report comes first, then the fills up to now, then the comparison: so a fill that the report knows is in
the book. A leg that traded after the report's time is not judged by it; its proof only ages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from core.money import fixed
from positions import poll
from positions.models import OPEN_STATUSES, Account, Instrument, Position
from positions.venues.base import Method, Report, VenueError
from reconciliation.compare import LegKey, LegResult, LegState, Tolerance, compare
from reconciliation.models import Run, Status, Verdict

# The same difference makes a drift only in two reports at least this far apart.
CONFIRMED_AFTER = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class _Book:
    """The account's legs as booked, when each last moved (venue time), and those that have a verdict."""

    legs: dict[LegKey, LegState]
    moved_at: dict[LegKey, datetime]
    judged: set[LegKey]


def reconcile(*, account: Account, now: datetime, trace_id: str) -> Run:
    """Compare an account with its venue once and keep the certificate.

    A venue that cannot be read gives a run with a problem, which changes no verdict.
    """
    run = Run.objects.create(account=account, started_at=now, trace_id=trace_id)
    try:
        report = poll.report(account=account, now=now)
        polled = poll.facts(account=account, methods=[Method.FILLS], now=now, trace_id=trace_id)
    except VenueError as error:
        return _finish(run, finished_at=now, problem=str(error))
    instruments = _instruments(account)
    book = _book(account)
    results = _compare(report, book, instruments)
    judged = [one for one in results if not _moved_since(one.key, report, book)]
    complete = report.complete and polled.complete
    # One transaction: a certificate and the verdicts that rest on it.
    with transaction.atomic():
        for result in judged if polled.complete else []:
            _judge(account, instruments[result.key.venue_symbol], result, report, run, now)
        return _finish(
            run,
            finished_at=now,
            as_of=report.as_of,
            complete=complete,
            legs=[_told(one, judged=one in judged) for one in results],
            counts={"booked": polled.booked, "known": polled.known, "zero_rows": report.zero_rows},
            problem="; ".join(report.problems),
        )


def _finish(run: Run, **values: Any) -> Run:
    for name, value in values.items():
        setattr(run, name, value)
    run.save(update_fields=list(values))
    return run


def _instruments(account: Account) -> dict[str, Instrument]:
    world = {"venue": account.venue, "environment": account.environment, "base_url": account.base_url}
    return {row.venue_symbol: row for row in Instrument.objects.filter(**world)}


def _book(account: Account) -> _Book:
    newest = (
        Position.objects.filter(account=account)
        .select_related("instrument")
        .order_by("instrument_id", "leg", "-opened_at", "-pk")
        .distinct("instrument_id", "leg")
    )
    legs, moved_at = {}, {}
    for row in newest:
        key = LegKey(row.instrument.venue_symbol, row.leg)
        moved_at[key] = row.last_at
        if row.status in OPEN_STATUSES:
            legs[key] = LegState(row.quantity, row.entry_price)
    verdicts = Verdict.objects.filter(account=account).values_list("instrument__venue_symbol", "leg")
    return _Book(legs, moved_at, {LegKey(symbol, leg) for symbol, leg in verdicts})


def _compare(report: Report, book: _Book, instruments: Mapping[str, Instrument]) -> list[LegResult]:
    venue = {
        LegKey(row.venue_symbol, row.leg.value): LegState(row.quantity, row.entry_price)
        for row in report.positions
        if row.venue_symbol in instruments
    }
    return compare(
        book=book.legs,
        venue=venue,
        observed=_observed({*book.judged, *venue, *book.moved_at}, report, instruments),
        tolerances={
            symbol: Tolerance(quantity_step=row.quantity_step, price_tick=row.price_tick)
            for symbol, row in instruments.items()
        },
    )


def _observed(keys: Iterable[LegKey], report: Report, instruments: Mapping[str, Instrument]) -> list[LegKey]:
    scopes = {symbol: str(row.details.get("scope", "")) for symbol, row in instruments.items()}
    return [key for key in keys if report.observed(key.venue_symbol, scope=scopes[key.venue_symbol])]


def _moved_since(key: LegKey, report: Report, book: _Book) -> bool:
    moved_at = book.moved_at.get(key)
    return moved_at is not None and moved_at > report.as_of


def _judge(
    account: Account, instrument: Instrument, result: LegResult, report: Report, run: Run, now: datetime
) -> None:
    """Move one leg's verdict. Not observed, or a first sight of a difference: nothing is concluded."""
    if not result.observed:
        return
    verdict, _ = Verdict.objects.select_for_update().get_or_create(
        account=account, instrument=instrument, leg=result.key.leg, defaults={"changed_at": now}
    )
    found = [_plain(one) for one in result.differences]
    values: dict[str, Any] = {"run": run, "suspected": found, "suspected_as_of": report.as_of}
    if not found:
        values |= {"status": Status.SYNCED, "as_of": report.as_of, "suspected_as_of": None}
    elif verdict.suspected == found and verdict.suspected_as_of is not None:
        values["suspected_as_of"] = verdict.suspected_as_of
        if report.as_of - verdict.suspected_as_of >= CONFIRMED_AFTER:
            values["status"] = Status.DRIFT
    if values.get("status", verdict.status) != verdict.status:
        values |= {"changed_at": now, "revision": verdict.revision + 1}
    for name, value in values.items():
        setattr(verdict, name, value)
    verdict.save(update_fields=list(values))


def _plain(difference: Any) -> dict[str, str | None]:
    return {
        "kind": difference.kind.value,
        "book": None if difference.book is None else fixed(difference.book),
        "venue": None if difference.venue is None else fixed(difference.venue),
    }


def _told(result: LegResult, *, judged: bool) -> dict[str, Any]:
    return {
        "symbol": result.key.venue_symbol,
        "leg": result.key.leg,
        "observed": result.observed,
        "judged": judged,
        "differences": [_plain(one) for one in result.differences],
    }
