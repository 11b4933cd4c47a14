"""Adding the portfolio up, again and again: positions and account summaries → totals → Redis and live log.

No network but Postgres and Redis, and at most once a second whoever asks. Alerts are evaluated
afterwards, so that an error in one of their rules takes no totals away.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

import redis
import structlog

from core.storage.redis import client
from portfolio import rollup
from portfolio.alerts.evaluate import evaluate
from portfolio.live import rows
from portfolio.totals import account_summaries, totals_store
from portfolio.totals.totals_store import PortfolioTotals, Price
from positions import live, queries
from positions.models import Position

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
    totals = compute(now=now)
    totals_store.store(totals)
    shown = totals.by_environment()
    live.append(kind="portfolio", frame={"at": now.isoformat(), "totals": shown, "accounts": totals.accounts})
    evaluate(now)
    return shown


def compute(*, now: datetime) -> PortfolioTotals:
    """Add up the whole book, from Postgres. Raises DatabaseError."""
    # Before the positions: who compares these with later ones must not take older positions for newer.
    sequences = dict(queries.change_sequences())
    sums, marks = position_sums(queries.open_positions(), now=now)
    accounts = account_summaries.of_accounts(now=now)
    return PortfolioTotals(at=now, accounts=accounts, sums=sums, sequences=sequences, marks=marks)


def position_sums(
    positions: Iterable[Position], *, now: datetime
) -> tuple[dict[int, rollup.PositionSums], dict[str, dict[int, Price]]]:
    """Add up positions read by `queries.board()`; return sums by account, and the marks they were made of."""
    held = list(positions)
    summed = rows.totals_rows(held, now=now)
    marks: dict[str, dict[int, Price]] = {}
    for position, row in zip(held, summed, strict=True):
        if row["mark_at"] is not None:
            mark = row["mark_price"], row["mark_at"]
            marks.setdefault(row["environment"], {})[position.instrument_id] = mark
    return rollup.sums_by_account(summed), marks


def stored(*, now: datetime, accounts: Collection[int] | None) -> PortfolioTotals | None:
    """Return the refresh's totals over the accounts that may be seen (None: all); None: add them up here.

    That is so, and logged, while Redis or the refresh is away: no older number is shown as the one of now.
    """
    try:
        totals = totals_store.load()
    except redis.RedisError as error:
        log.warning("totals are added up by who shows them: Redis does not answer", error=str(error))
        return None
    if totals is None or not totals.is_fresh(now=now):
        at = None if totals is None else totals.at.isoformat()
        log.info("totals are added up by who shows them: nobody refreshed them", refreshed_at=at)
        return None
    return totals.seen_by(accounts)


def current(*, now: datetime) -> tuple[PortfolioTotals, bool]:
    """Return the newest totals over everything, and whether they are the refresh's; else they are added up
    here. Raises DatabaseError.
    """
    totals = stored(now=now, accounts=None)
    return (compute(now=now), False) if totals is None else (totals, True)
