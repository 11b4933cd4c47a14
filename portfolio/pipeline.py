"""Adding the portfolio up, again and again: positions and account summaries → totals → Redis and live log.

No network but Postgres and Redis, and at most once a second whoever asks. Alerts are evaluated
afterwards, so that an error in one of their rules takes no totals away.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import redis
import structlog

from core.storage.redis import client
from portfolio import rollup
from portfolio.alerts.evaluate import evaluate
from portfolio.alerts.limit_breaches import limit_breaches
from portfolio.live import rows
from portfolio.live.held_rows import held_book
from portfolio.pnl import closing_marks, keeping
from portfolio.totals import account_summaries, desk, figures, limit_keeping, totals_store
from portfolio.totals.totals_store import PortfolioTotals
from positions import live, queries

EVERY_MS = 1000
DUE = "plumbline:portfolio:done"
SLACK_MS = 50  # a clock that ticks each second must not be refused for being early by a hair

log = structlog.get_logger("pipeline")


def refresh(now: datetime) -> dict[str, dict[str, Any]] | None:
    """Add up all that is held, keep it and publish a `portfolio` frame; None if that was done this second.

    The frame has `totals` by environment, and `accounts` (see `account_summaries`) for whoever adds up less
    than everything: only who may see all accounts may be shown its totals.
    Raises DatabaseError, redis.RedisError.
    """
    if not client().set(DUE, b"1", nx=True, px=EVERY_MS - SLACK_MS):
        return None
    if closing_marks.keep_due(now=now):
        keeping.keep_days(now=now)
    keeping.keep_flows(now=now)
    totals = compute(now=now)
    states = limit_keeping.evaluate(figures=totals.figures, groups=totals.groups, now=now)
    totals = replace(totals, limits=states)
    totals_store.store(totals)
    shown = totals.by_environment()
    live.append(kind="portfolio", frame={"at": now.isoformat(), "totals": shown, "accounts": totals.accounts})
    labels = {one["id"]: one["label"] for one in totals.figures}
    evaluate(now, limits=limit_breaches(states, labels=labels))
    return shown


def compute(*, now: datetime) -> PortfolioTotals:
    """Add up the whole book, from Postgres. Raises DatabaseError."""
    # Before the positions: who compares these with later ones must not take older positions for newer.
    sequences = dict(queries.change_sequences())
    start = figures.day_start(now=now)
    held = held_book(now=now, since=start.at)
    sums = rollup.sums_by_account(held.rows)
    accounts = list(queries.accounts_in_use(with_manual=True).order_by("pk"))
    summaries = account_summaries.of_accounts(now=now, accounts=accounts)
    return PortfolioTotals(
        at=now,
        accounts=summaries,
        sums=sums,
        sequences=sequences,
        marks=held.prices,
        conversions=held.rates,
        figures=figures.accounts(
            accounts, summaries, sums, start=start, stale_marks=_stale_marks(held.rows, now)
        ),
        groups=figures.groups(held.positions, held.rows, start=start, rates=held.rates),
    )


def _stale_marks(found: Iterable[rows.Row], now: datetime) -> Counter[int]:
    """Return how many positions of each account have a price that is old."""
    oldest = (now - timedelta(seconds=rows.stale_after())).isoformat()
    return Counter(
        row["account_id"] for row in found if row["mark_at"] is not None and row["mark_at"] < oldest
    )


def position_sums(
    *, now: datetime, accounts: Collection[int] | None = None
) -> dict[int, rollup.PositionSums]:
    """Add up the open positions of these accounts, or of all, by account. Raises DatabaseError."""
    begun = desk.day_start(desk.day_of(now))
    return rollup.sums_by_account(held_book(now=now, since=begun, accounts=accounts).rows)


def stored(*, now: datetime, accounts: Collection[int] | None) -> PortfolioTotals | None:
    """Return the refresh's totals over the accounts that may be seen (None: all); None: add them up here.

    That is so, and logged, while Redis or the refresh is away: no older number is shown as the one of now.
    """
    try:
        totals = totals_store.load()
        totals_store.count_use(hit=totals is not None and totals.is_fresh(now=now))
    except redis.RedisError as error:
        log.warning("totals are added up by who shows them: Redis does not answer", error=str(error))
        return None
    if totals is None or not totals.is_fresh(now=now):
        at = None if totals is None else totals.at.isoformat()
        log.info("totals are added up by who shows them: nobody refreshed them", refreshed_at=at)
        return None
    return totals.seen_by(accounts)


def last_known(*, accounts: Collection[int] | None) -> PortfolioTotals | None:
    """Return the last totals that a refresh made, at most an hour old: for while Postgres is away, and to be
    shown as stale. None: there are none, or Redis is away too.
    """
    try:
        totals = totals_store.load(totals_store.LAST)
    except redis.RedisError as error:
        log.warning("no totals are known: Redis does not answer", error=str(error))
        return None
    return None if totals is None else totals.seen_by(accounts)


def current(*, now: datetime) -> tuple[PortfolioTotals, bool]:
    """Return the newest totals over everything, and whether they are the refresh's; else they are added up
    here. Raises DatabaseError.
    """
    totals = stored(now=now, accounts=None)
    return (compute(now=now), False) if totals is None else (totals, True)
