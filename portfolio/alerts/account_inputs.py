"""Reads the accounts in use: their newest runs, how many positions are open, how their feeds stand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import Any

from django.db import connection

from portfolio.alerts.snapshot import RunOutcome, WatchedAccount
from portfolio.totals import account_summaries
from positions.models import OPEN_STATUSES
from positions.queries import accounts_in_use
from positions.sync.feeds import Feed
from positions.venues.base import Method
from positions.venues.errors import names_the_key

# One statement, and not compiled anew each second: Django's compiler would cost more than Postgres does.
_ACCOUNTS = """
SELECT a.id, a.label, a.created_at, a.paused_until, COALESCE(held.number, 0), polled.updated_at,
       newest.id, newest.as_of, newest.problem, report.id, report.as_of, report.problem
FROM positions_account a
LEFT JOIN LATERAL (
    SELECT r.id, r.as_of, r.problem FROM reconciliation_run r
    WHERE r.account_id = a.id AND r.finished_at IS NOT NULL ORDER BY r.started_at DESC, r.id DESC LIMIT 1
) newest ON true
LEFT JOIN LATERAL (
    SELECT r.id, r.as_of, r.problem FROM reconciliation_run r
    WHERE r.account_id = a.id AND r.finished_at IS NOT NULL AND r.as_of IS NOT NULL
    ORDER BY r.started_at DESC, r.id DESC LIMIT 1
) report ON true
LEFT JOIN (
    SELECT p.account_id, count(*) AS number FROM positions_position p WHERE p.status = ANY(%s)
    GROUP BY p.account_id
) held ON held.account_id = a.id
LEFT JOIN positions_feedcursor polled ON polled.account_id = a.id AND polled.feed = %s
WHERE a.id IN ({in_use})
ORDER BY a.id
"""


@cache
def _statement() -> tuple[str, tuple[Any, ...]]:
    in_use, parameters = accounts_in_use().order_by().values("pk").query.sql_with_params()
    return _ACCOUNTS.format(in_use=in_use), parameters


def watched(*, streamed: Mapping[int, Feed] | None, now: datetime) -> dict[int, WatchedAccount]:
    """Return the accounts in use by id; `streamed` are the feeds that streams spoke of, None: not known."""
    sql, parameters = _statement()
    with connection.cursor() as cursor:
        cursor.execute(sql, [[str(status) for status in OPEN_STATUSES], str(Method.FILLS), *parameters])
        return {row[0]: _account(row, streamed, now) for row in cursor.fetchall()}


def _account(row: tuple[Any, ...], streamed: Mapping[int, Feed] | None, now: datetime) -> WatchedAccount:
    pk, label, created_at, paused_until, held, polled_at = row[:6]
    feed = None
    if streamed is not None:
        feed = account_summaries.feed_word(streamed=streamed.get(pk), polled_at=polled_at, now=now)
    return WatchedAccount(
        id=pk,
        label=label,
        created_at=created_at,
        paused=paused_until is not None and paused_until > now,
        open_positions=held,
        feed=None if feed is None else feed.word,
        feed_since=created_at if feed is None or feed.since is None else feed.since,
        feed_reason="" if feed is None else feed.reason,
        run=_outcome(row[6:9]),
        report=_outcome(row[9:12]),
    )


def _outcome(found: Iterable[Any]) -> RunOutcome | None:
    pk, as_of, problem = found
    if pk is None:
        return None
    return RunOutcome(id=pk, as_of=as_of, problem=problem, refused=names_the_key(problem))
