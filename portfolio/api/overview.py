"""The API's answers about many positions: totals, positions at risk, how fresh everything is. Reads only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import redis
import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.db.models import Count

from core.values.money import fixed
from portfolio import pipeline, rollup
from portfolio.live import rows
from portfolio.rollup import NearestLiquidation, PositionSums
from portfolio.totals import totals_store
from portfolio.totals.totals_store import PortfolioTotals
from positions import queries
from positions.api import as_of
from positions.api import queries as api_queries
from positions.models import Account, FeedCursor, Position, QuarantinedEntry
from positions.queries import accounts_in_use
from positions.risk.bands import RiskBand
from positions.sync import feeds
from positions.sync.feeds import State
from positions.venues.base import Method
from reconciliation.models import Run
from reconciliation.models import VerdictStatus as Proof

log = structlog.get_logger("overview")

Facts = dict[str, Any]
Accounts = frozenset[int] | None

# Of an account that no stream watches.
FILLS_STALE_SECONDS = 30.0  # polled every few seconds
FEED_STALE_SECONDS = 180.0  # funding and transfers: every minute

PROOF_STALE_INTERVALS = 3
_AT_RISK = frozenset(band.value for band in RiskBand if band.at_risk)


def summary(*, accounts: Accounts, now: datetime, at: datetime | None = None) -> Facts:
    """Return totals of open positions by environment, over the accounts that may be seen; `at` a moment, of
    those that were open then. `as_of` is the time they were made: that of the last refresh, while nothing
    was booked since.
    """
    if at is not None:
        return {"as_of": at, "environments": _environments(_sums_then(accounts, at), accounts)}
    try:
        return _summary_now(accounts, now)
    except (OperationalError, InterfaceError) as error:
        last = pipeline.last_known(accounts=accounts)
        if last is None:
            raise
        log.warning("old totals are shown: the database does not answer", error=str(error))
        in_use = {account["environment"] for account in last.accounts}
        found = _environments(last.sums, accounts, in_use)
        return {"as_of": last.at, "stale": True, "environments": found}


def _summary_now(accounts: Accounts, now: datetime) -> Facts:
    stored = pipeline.stored(now=now, accounts=accounts)
    if stored is not None and _is_of_the_book(stored, accounts):
        in_use = {account["environment"] for account in stored.accounts}
        return {"as_of": stored.at, "environments": _environments(stored.sums, accounts, in_use)}
    sums = pipeline.position_sums(now=now, accounts=accounts)
    return {"as_of": now, "environments": _environments(sums, accounts)}


def _sums_then(accounts: Accounts, at: datetime) -> dict[int, PositionSums]:
    """Return sums of what was open at a moment, at prices that nobody knows any more."""
    then = as_of.standing(api_queries.seen_by(queries.board(), accounts=accounts), at=at)
    past = as_of.rows(then.order_by("pk"), at=at)
    return rollup.sums_by_account(rows.row(one, price=None) for one in past)


def _is_of_the_book(totals: PortfolioTotals, accounts: Accounts) -> bool:
    """Return whether nothing was booked since: totals must include a fill that was reported before them."""
    last = dict(queries.change_sequences())
    return totals.sequences == {key: one for key, one in last.items() if accounts is None or key in accounts}


def _environments(
    sums: Mapping[int, PositionSums], accounts: Accounts, in_use: Collection[str] | None = None
) -> list[Facts]:
    if in_use is None:
        known = api_queries.seen_by(accounts_in_use(with_manual=True), accounts=accounts, field="pk")
        in_use = set(known.order_by().values_list("environment", flat=True))
    totals = rollup.sums_by_environment(sums.values(), environments=sorted(in_use))
    return [_environment(total) for total in totals.values()]


def _environment(total: PositionSums) -> Facts:
    gross, left_out = total.notional.amount, total.notional.left_out
    return {
        "environment": total.environment,
        "positions": total.positions,
        "long": total.sides["long"],
        "short": total.sides["short"],
        "unrealized_pnl": {"value": _text(total.unrealized.amount), "left_out": total.unrealized.left_out},
        "realized_pnl": {"value": _text(total.realized.amount), "left_out": total.realized.left_out},
        "gross_exposure": {"value": _text(gross), "left_out": left_out},
        "net_exposure": {"value": _text(total.net), "left_out": left_out},
        "at_risk": sum(total.risks[band] for band in _AT_RISK),
        "risk_unknown": total.risks["unknown"],
        "proof": {proof: total.proofs[proof] for proof in Proof.values},
        "nearest": _nearest(total.nearest),
    }


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else fixed(amount)


def _nearest(found: NearestLiquidation | None) -> Facts | None:
    if found is None:
        return None
    return {
        "id": found.id,
        "account": found.account,
        "symbol": found.symbol,
        "liquidation_distance_pct": fixed(found.distance_pct),
        "risk": found.risk,
    }


def at_risk(
    *, accounts: Accounts, threshold_pct: Decimal, now: datetime
) -> tuple[list[tuple[Position, rows.Row]], list[tuple[Position, rows.Row]]]:
    """Return open positions within `threshold_pct` of liquidation (nearest first), and those of unknown
    distance.
    """
    found = list(api_queries.seen_by(queries.open_positions(), accounts=accounts))
    both = list(zip(found, rows.rows(found, now=now), strict=True))
    near = [one for one in both if _distance(one[1]) is not None and _distance(one[1]) <= threshold_pct]  # type: ignore[operator]
    unknown = [one for one in both if one[1]["risk"] == "unknown"]
    return sorted(near, key=lambda one: _distance(one[1]) or Decimal(0)), unknown


def _distance(row: rows.Row) -> Decimal | None:
    return None if row["liquidation_distance_pct"] is None else Decimal(row["liquidation_distance_pct"])


def health(*, accounts: Accounts, now: datetime) -> Facts:
    """Return how fresh feeds, marks and proofs of each account are, and what waits for somebody.

    The stream process knows how fresh what it watches is; lists of that are read seldom, to prove it.
    """
    streams = _streams(now)
    known = list(api_queries.seen_by(Account.objects.order_by("label"), accounts=accounts, field="pk"))
    cursors = _grouped(api_queries.seen_by(FeedCursor.objects.order_by("feed"), accounts=accounts))
    held: dict[int, list[rows.Row]] = defaultdict(list)
    for row in rows.rows(api_queries.seen_by(queries.open_positions(), accounts=accounts), now=now):
        held[row["account_id"]].append(row)
    proven = _proven(accounts)
    waiting = dict(
        api_queries.seen_by(QuarantinedEntry.objects.filter(settled_at__isnull=True), accounts=accounts)
        .order_by()
        .values_list("account")
        .annotate(Count("pk"))
    )
    found = [
        _account(
            one,
            cursors[one.pk],
            held[one.pk],
            streams=streams,
            proof_at=proven.get(one.pk),
            waiting=waiting.get(one.pk, 0),
            now=now,
        )
        for one in known
    ]
    return {
        "as_of": now,
        "state": "stale" if any(one["state"] == "stale" for one in found) else "ok",
        "open_positions": sum(one["open_positions"] for one in found),
        "totals_cache": _uses(),
        "accounts": found,
    }


def _uses() -> dict[str, int] | None:
    try:
        return totals_store.uses()
    except redis.RedisError as error:
        log.warning("the use of stored totals is not known: Redis does not answer", error=str(error))
        return None


def _streams(now: datetime) -> dict[int, feeds.Feed] | None:
    """Return the states of feeds by account; None while Redis does not answer."""
    try:
        return feeds.known(now=now)
    except redis.RedisError:
        return None


def _grouped(cursors: Iterable[FeedCursor]) -> dict[int, list[FeedCursor]]:
    grouped: dict[int, list[FeedCursor]] = defaultdict(list)
    for cursor in cursors:
        grouped[cursor.account_id].append(cursor)
    return grouped


def _proven(accounts: Accounts) -> dict[int, datetime]:
    """The venue time of each account's last complete comparison."""
    complete = api_queries.seen_by(Run.objects.filter(complete=True, as_of__isnull=False), accounts=accounts)
    newest = complete.order_by("account", "-started_at", "-pk").distinct("account")
    return {account: as_of for account, as_of in newest.values_list("account", "as_of") if as_of is not None}


def _account(
    account: Account,
    cursors: Iterable[FeedCursor],
    held: Sequence[rows.Row],
    *,
    streams: Mapping[int, feeds.Feed] | None,
    proof_at: datetime | None,
    waiting: int,
    now: datetime,
) -> Facts:
    feed = None if streams is None else streams.get(account.pk)
    read = [
        {
            "feed": one.feed,
            "through": one.through,
            "read_at": one.updated_at,
            "age_seconds": (now - one.updated_at).total_seconds(),
        }
        for one in cursors
    ]
    ages = [(now - datetime.fromisoformat(row["mark_at"])).total_seconds() for row in held if row["mark_at"]]
    problems = []
    if not account.is_manual:
        unasked = ["the state of its stream is not known: Redis does not answer"] if streams is None else []
        problems = unasked + _of_feed(feed, read) + _of_proof(proof_at, now)
    unpriced = len(held) - len(ages)
    if unpriced:
        problems.append(f"{unpriced} of {len(held)} open positions have no price")
    if ages and max(ages) > settings.PRICE_STALENESS_THRESHOLD:
        problems.append(f"the oldest price is {max(ages):.0f} s old")
    return {
        "account_id": account.pk,
        "account": account.label,
        "environment": account.environment,
        "state": _state(account, problems, now),
        "problems": problems,
        "stream": None if feed is None else feed.frame(),
        "feeds": read,
        "open_positions": len(held),
        "marks_unknown": unpriced,
        "oldest_mark_age_seconds": max(ages, default=None),
        "last_reconciliation_at": proof_at,
        "quarantined": waiting,
    }


def _of_feed(feed: feeds.Feed | None, read: Sequence[Facts]) -> list[str]:
    """Return what is wrong with a feed, by its stream, or without one by the age of what was read."""
    if feed is not None and feed.reason != feeds.NOBODY:
        why = f": {feed.reason}" if feed.reason else ""
        since = f"since {feed.since:%Y-%m-%dT%H:%M:%SZ}"
        return [] if feed.state is State.LIVE else [f"its stream is {feed.state.value} {since}{why}"]
    return ([] if read else ["nothing was read from the venue yet"]) + [
        f"{one['feed']} was not read for {one['age_seconds']:.0f} s"
        for one in read
        if one["age_seconds"] > _stale_after(one)
    ]


def _of_proof(proof_at: datetime | None, now: datetime) -> list[str]:
    oldest = PROOF_STALE_INTERVALS * settings.RECONCILIATION_INTERVAL
    if proof_at is None:
        return ["never reconciled"]
    age = (now - proof_at).total_seconds()
    return [f"last reconciled {age:.0f} s ago"] if age > oldest else []


def _stale_after(feed: Facts) -> float:
    return FILLS_STALE_SECONDS if feed["feed"] == Method.FILLS else FEED_STALE_SECONDS


def _state(account: Account, problems: Sequence[str], now: datetime) -> str:
    if account.is_manual:
        return "manual"
    if not account.enabled:
        return "disabled"
    if account.paused_until is not None and account.paused_until > now:
        return "paused"
    return "stale" if problems else "ok"
