"""Adding it all up, again and again: how accounts stand → totals → told on the live log.

No network but Postgres and Redis, and at most once a second whoever asks. Limits and alerts come between.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from core.redis import client
from portfolio import account_summaries, rollup
from portfolio.live import rows
from positions import live

EVERY_MS = 1000
DUE = "plumbline:portfolio:done"
SLACK_MS = 50  # a clock that ticks each second must not be refused for being early by a hair


def refresh(now: datetime) -> dict[str, dict[str, Any]] | None:
    """Add up all that is held and tell it as a `portfolio` frame; None if that was done this second.

    The frame has `totals` by environment, and `accounts` (see `standing.of_accounts`) for whoever adds up
    less than everything: only who may see all accounts may be shown its totals.
    Raises DatabaseError, redis.RedisError.
    """
    if not client().set(DUE, b"1", nx=True, px=EVERY_MS - SLACK_MS):
        return None
    accounts = account_summaries.of_accounts(now=now)
    totals = rollup.totals(rows=rows.board(now=now), environments=rows.environments(), accounts=accounts)
    account_summaries.keep(accounts=accounts, now=now)
    live.append(kind="portfolio", frame={"at": now.isoformat(), "totals": totals, "accounts": accounts})
    return totals
