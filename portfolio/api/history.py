"""History over HTTP: snapshots of a position, an account and the portfolio; by hand; as files."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from django.db.models import QuerySet
from django.http import HttpRequest, StreamingHttpResponse
from django.utils import timezone
from ninja import Query, Router, Schema
from ninja import Status as Answer
from pydantic import Field

from core.api import paging
from core.api.auth import needs, principal_of
from core.http.inputs import MAX_LIMIT, Cursor, Limit, Text
from core.http.problems import Problem
from core.http.slow_work import Kind, slot
from core.security.scopes import Scope
from portfolio.api.schemas_history import PortfolioSnapshots, PositionSnapshots, RestatementPage, Taken
from portfolio.models import (
    AccountHour,
    AccountSnapshot,
    PortfolioHour,
    PortfolioSnapshot,
    PositionHour,
    PositionSnapshot,
    Restatement,
)
from portfolio.snapshots import export, quality, taking
from portfolio.snapshots.series import Series, Subject, TooFine, begins, series
from positions.api.as_of import moment
from positions.api.positions import find, find_account
from positions.api.queries import seen_by
from positions.models import Environment
from positions.queries import accounts_in_use

router = Router(tags=["history"])

RAW = "raw"
MAX_OFFSET = 100_000
DAY = timedelta(days=1)
Resolution = Literal["auto", "raw", "1m", "5m", "15m", "1h", "4h", "12h", "1d", "7d"]
_TABLES: dict[str, tuple[type[Any], type[Any], str]] = {
    "position": (PositionSnapshot, PositionHour, "position_id"),
    "account": (AccountSnapshot, AccountHour, "account_id"),
    "portfolio": (PortfolioSnapshot, PortfolioHour, "environment"),
}


class Range(Schema):
    """A stretch of time. Without `since` the last day; `until` is not included."""

    since: Text | None = Field(None, description="ISO 8601 with a zone; not in the future.")
    until: Text | None = Field(None, description="ISO 8601 with a zone; now without it.")


class SnapshotQuery(Range):
    """`raw`: single rows, the newest first, by `cursor` or by `limit` and `offset`. Else steps, the oldest
    first, in one answer of at most 2,000; `auto` takes the finest that fits.
    """

    resolution: Resolution = "auto"
    cursor: Cursor | None = None
    limit: Limit = 100
    offset: Annotated[int, Field(ge=0, le=MAX_OFFSET)] = 0


class WholeQuery(SnapshotQuery):
    """Of one account, or (without) of all accounts of an environment."""

    environment: Environment | None = None
    account: Text | None = None


class ExportQuery(Range):
    """`raw` rows, or those of each hour, which are kept for ever."""

    format: Literal["csv", "jsonl"] = "csv"
    resolution: Literal["raw", "1h"] = "raw"


class WholeExportQuery(ExportQuery):
    """Of one account, or (without) of all accounts of an environment."""

    environment: Environment | None = None
    account: Text | None = None


@router.get(
    "/positions/{path:ref}/snapshots",
    response=PositionSnapshots,
    auth=needs(Scope.READ),
    summary="A position minute by minute",
)
def position_snapshots(request: HttpRequest, ref: Text, asked: Query[SnapshotQuery]) -> dict[str, Any]:
    """How a position stood, in steps or row by row. A minute without a row is a gap; none is made up."""
    return _answer(request, Subject("position", find(request, ref).pk), asked)


@router.get(
    "/positions/{path:ref}/snapshots/export",
    response={200: None},
    auth=needs(Scope.READ),
    summary="A position's history as a file",
)
def position_export(request: HttpRequest, ref: Text, asked: Query[ExportQuery]) -> StreamingHttpResponse:
    """A position's rows of a range as CSV or JSON lines, the oldest first, streamed."""
    found = find(request, ref)
    return _file(request, Subject("position", found.pk), asked, name=f"position-{found.pk}")


@router.post(
    "/positions/{path:ref}/snapshot",
    response={201: PositionSnapshots},
    auth=needs(Scope.WRITE),
    summary="Take a position's snapshot now",
)
def take_position(request: HttpRequest, ref: Text) -> Answer[dict[str, Any]]:
    """Write a row of an open position as it stands now. 409 for one that is closed."""
    found = find(request, ref, only_open=True)
    row = taking.take_position(found, now=timezone.now())
    if row is None:
        raise Problem(409, "not_open", "This position is closed: there is nothing to take a snapshot of.")
    return Answer(201, _rows([row], None))


@router.get(
    "/portfolio/snapshots",
    response=PortfolioSnapshots,
    auth=needs(Scope.READ),
    summary="The portfolio minute by minute",
)
def portfolio_snapshots(request: HttpRequest, asked: Query[WholeQuery]) -> dict[str, Any]:
    """How all accounts of an environment stood together, or one account. Environments are never added up."""
    return _answer(request, _whole(request, asked.environment, asked.account), asked)


@router.get(
    "/portfolio/snapshots/export",
    response={200: None},
    auth=needs(Scope.READ),
    summary="The portfolio's history as a file",
)
def portfolio_export(request: HttpRequest, asked: Query[WholeExportQuery]) -> StreamingHttpResponse:
    """The rows of a range as CSV or JSON lines, the oldest first, streamed."""
    subject = _whole(request, asked.environment, asked.account)
    return _file(request, subject, asked, name=f"{subject.kind}-{subject.key}")


@router.get(
    "/portfolio/restatements",
    response=RestatementPage,
    auth=needs(Scope.READ),
    summary="Closed days that changed",
)
def restatements(request: HttpRequest, cursor: Cursor | None = None, limit: Limit = 100) -> dict[str, Any]:
    """Closed days whose P&L is not what it was: before, after, why, by which entry, who. The newest first."""
    mine = seen_by(Restatement.objects.select_related("account"), accounts=principal_of(request).accounts)
    found, following = paging.page(mine, order=("-id",), cursor=cursor, limit=limit)
    items = [{**_columns(row), "account": row.account.label} for row in found]
    return {"items": items, "next_cursor": following}


def _columns(row: Restatement) -> dict[str, Any]:
    return {name: getattr(row, name) for name in export.columns(type(row))}


@router.post(
    "/portfolio/snapshot", response={201: Taken}, auth=needs(Scope.WRITE), summary="Take a snapshot now"
)
def take_portfolio(request: HttpRequest) -> Answer[dict[str, Any]]:
    """Write a row of every open position, account and environment as they stand now."""
    if principal_of(request).accounts is not None:
        raise Problem(403, "limited_key", "This key may not see all accounts: take one position's snapshot.")
    at = timezone.now()
    return Answer(201, {"at": at, **taking.take(now=at)._asdict()})


def _whole(request: HttpRequest, environment: str | None, account: str | None) -> Subject:
    """Return whose history is asked for. Raises Problem 403, 404 and 422."""
    if account is not None:
        found = find_account(request, account)
        if environment is not None and found.environment != environment:
            raise Problem(422, "invalid_input", f"Check: account {found.label} is {found.environment}.")
        return Subject("account", found.pk)
    if principal_of(request).accounts is not None:
        raise Problem(403, "limited_key", "This key may not see all accounts: say which one with account=….")
    return Subject("portfolio", environment or default_environment())


def default_environment() -> str:
    """Return live where an account in use is, else the first environment that has one, else live."""
    used = set(accounts_in_use(with_manual=True).order_by().values_list("environment", flat=True))
    return next((name for name in Environment.values if name in used), str(Environment.LIVE))


def _range(asked: Range, *, earliest: datetime | None) -> tuple[datetime, datetime]:
    now = timezone.now()
    until = moment(asked.until, now=now + DAY) or now
    since = moment(asked.since, now=now) or max(until - DAY, earliest or until - DAY)
    if since >= until:
        raise Problem(422, "invalid_input", "Check: since must lie before until.")
    return since, until


def _answer(request: HttpRequest, subject: Subject, asked: SnapshotQuery) -> dict[str, Any]:
    if asked.resolution == RAW:
        return _page(subject, asked)
    if asked.cursor or asked.offset:
        raise Problem(422, "invalid_input", "Check: cursor and offset are for resolution=raw.")
    since, until = _range(asked, earliest=begins(subject))
    step = None if asked.resolution == "auto" else asked.resolution
    with slot(kind=Kind.PAST, who=principal_of(request).name):
        try:
            found = series(subject, since=since, until=until, now=timezone.now(), step=step)
        except TooFine as error:
            raise Problem(422, "too_fine", f"Check: resolution: {error}.", coarser=error.coarser) from error
    return _steps(found)


def _page(subject: Subject, asked: SnapshotQuery) -> dict[str, Any]:
    if asked.cursor and asked.offset:
        raise Problem(422, "invalid_input", "Check: cursor and offset exclude each other.")
    rows = _table(subject, asked, hours=False)
    if asked.offset:
        limit = min(max(asked.limit, 1), MAX_LIMIT)
        return _rows(list(rows.order_by("-at")[asked.offset : asked.offset + limit]), None)
    items, following = paging.page(rows, order=("-at",), cursor=asked.cursor, limit=asked.limit)
    return _rows(items, following)


def _table(subject: Subject, asked: Range, *, hours: bool) -> QuerySet[Any]:
    raw, hourly, column = _TABLES[subject.kind]
    rows: QuerySet[Any] = (hourly if hours else raw).objects.filter(**{column: subject.key})
    if asked.since or asked.until:
        since, until = _range(asked, earliest=None)
        rows = rows.filter(at__lt=until)
        rows = rows.filter(at__gte=since) if asked.since else rows
    return rows


def _rows(rows: list[Any], cursor: str | None) -> dict[str, Any]:
    names = export.columns(type(rows[0])) if rows else []
    items = [{name: getattr(row, name) for name in names} for row in rows]
    return {"items": [_item(one) for one in items], "next_cursor": cursor, "gaps": [], "missing": 0}


def _steps(found: Series) -> dict[str, Any]:
    return {
        "items": [_item(point) for point in found.points],
        "next_cursor": None,
        "since": found.since,
        "until": found.until,
        "step_seconds": int(found.step.total_seconds()),
        "gaps": [gap._asdict() for gap in found.gaps],
        "missing": found.missing,
    }


def _item(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"quality": quality.names(row["quality"])}


def _file(request: HttpRequest, subject: Subject, asked: ExportQuery, *, name: str) -> StreamingHttpResponse:
    rows = _table(subject, asked, hours=asked.resolution != RAW)
    return export.export(request, rows, name=f"{name}-{asked.resolution}", kind=asked.format)
