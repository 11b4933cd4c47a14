"""Entries over HTTP: a bot reports facts, and each entry gets a result of its own."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router
from pydantic import ValidationError

from core.api.auth import needs, principal_of
from core.http.inputs import shortened
from core.http.problems import MAX_ERRORS, Problem
from core.http.slow_work import Kind, slot
from core.security.scopes import Scope
from core.tracing.trace import current_trace_id
from positions import ingest
from positions.api.positions import find_account
from positions.api.schemas_entries import EntriesIn, EntriesOut, EntryIn
from positions.models import Account

router = Router(tags=["entries"])


@router.post("/entries", response=EntriesOut, auth=needs(Scope.WRITE), summary="Report 1 to 1,000 facts")
def post_entries(request: HttpRequest, body: EntriesIn) -> dict[str, Any]:
    """Report 1 to 1,000 facts of one account: fills, funding, fees, transfers. Safe to send again.

    Each entry has its own result. With `all_or_nothing` one that cannot be booked stops all (422, with the
    results).
    """
    account = find_account(request, body.account)
    results: list[dict[str, Any]] = []
    good: dict[int, dict[str, str]] = {}
    for index, given in enumerate(body.entries):
        try:
            good[index] = EntryIn.model_validate(given).plain()
        except ValidationError as error:
            results.append(_invalid(index, given, error))
    if results and body.all_or_nothing:
        raise _nothing_booked(results, good)
    recorded = _record(request, account, body.all_or_nothing, good) if good else None
    if recorded is not None:
        for index, result in zip(good, recorded.results, strict=True):
            results.append(_result(index, result))
    results.sort(key=lambda one: int(one["index"]))
    return {
        "results": results,
        "counts": Counter(one["outcome"] for one in results),
        "positions": [row["id"] for row in recorded.positions] if recorded else [],
    }


def _record(
    request: HttpRequest, account: Account, all_or_nothing: bool, good: dict[int, dict[str, str]]
) -> ingest.BookingResult:
    who = principal_of(request).name
    try:
        with slot(kind=Kind.BOOK, who=who, account=account.pk):
            return ingest.record(
                account=account,
                entries=list(good.values()),
                source="api",
                trace_id=current_trace_id(),
                now=timezone.now(),
                on_error="reject" if all_or_nothing else "quarantine",
                who=who,
            )
    except ingest.BatchRejection as error:
        indexes = list(good)
        refused = [
            {
                "index": indexes[one.index],
                "venue_ref": one.venue_ref,
                "outcome": "conflict" if one.reason == "conflict" else "quarantined",
                "detail": shortened(one.detail),
            }
            for one in error.offenders
        ]
        raise _nothing_booked(refused, good) from error


def _nothing_booked(refused: list[dict[str, Any]], good: dict[int, dict[str, str]]) -> Problem:
    named = {one["index"] for one in refused}
    others = [
        {"index": index, "venue_ref": plain["venue_ref"], "outcome": "not_booked"}
        for index, plain in good.items()
        if index not in named
    ]
    results = sorted([*refused, *others], key=lambda one: int(one["index"]))
    detail = f"nothing was booked: {len(refused)} of {len(results)} entries cannot be"
    return Problem(422, "rejected", detail, results=results)


def _result(index: int, result: ingest.EntryResult) -> dict[str, Any]:
    return {
        "index": index,
        "venue_ref": result.venue_ref,
        "outcome": result.outcome.value,
        "sequence": result.sequence,
        "detail": shortened(result.detail),
    }


def _invalid(index: int, given: Any, error: ValidationError) -> dict[str, Any]:
    problems = [
        ": ".join(filter(None, [".".join(map(str, one["loc"])), one["msg"]]))
        for one in error.errors(include_url=False, include_input=False)[:MAX_ERRORS]
    ]
    ref = given.get("venue_ref") if isinstance(given, dict) else None
    if isinstance(ref, str):  # it may be the very text that was refused: halves of characters, a megabyte
        ref = shortened(ref.encode(errors="replace").decode())
    return {
        "index": index,
        "venue_ref": ref if isinstance(ref, str) else None,
        "outcome": "invalid",
        "detail": shortened("; ".join(problems)),
    }
