"""Accounts beside their positions: cash in USD and the feed. Reads only, from Postgres and Redis."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from core.values.money import fixed
from portfolio.rollup import AccountSummary
from portfolio.totals.today import day_bases
from positions.models import Account, Balance
from positions.queries import accounts_in_use
from positions.sync import feed_words as words
from positions.sync.feeds import NOBODY, POLLED_WITHIN, Feed
from positions.valuation import cash


def of_accounts(
    *, now: datetime, feeds: Mapping[int, str] | None = None, accounts: Sequence[Account] | None = None
) -> list[AccountSummary]:
    """Return the summary of each account in use. Its cash is that of the book, coins included.

    `feeds` are the `feed_states` that whoever is in a transaction asked before it; `accounts` those in use,
    where somebody read them already.
    """
    if accounts is None:
        accounts = list(accounts_in_use(with_manual=True).order_by("pk"))
    balances = Balance.objects.filter(account__in=accounts).select_related("account").order_by("pk")
    worth = cash(balances=balances)
    bases = day_bases(now=now)
    states = _feeds(accounts, now) if feeds is None else feeds
    summaries = []
    for account in accounts:
        held = worth.get(account.pk)
        summaries.append(
            AccountSummary(
                id=account.pk,
                environment=account.environment,
                cash=None if held is None or held.value is None else fixed(held.value),
                cash_unknown=0 if held is None else len(held.left_out),
                feed=states.get(account.pk, "down"),
                day_base=bases.get(account.pk),
            )
        )
    return summaries


def feed_states(*, now: datetime) -> dict[int, str]:
    """Return the state of the feed of each account in use. Asks Redis: not inside a transaction."""
    return _feeds(accounts_in_use(with_manual=True), now)


def _feeds(accounts: Iterable[Account], now: datetime) -> dict[int, str]:
    return words.of({account.pk: account.is_manual for account in accounts}, now=now)


class FeedWord(NamedTuple):
    """How an account's feed stands: a word of FEED_STATES, since when (None: never), and why."""

    word: str
    since: datetime | None = None
    reason: str = ""


def feed_word(*, streamed: Feed | None, polled_at: datetime | None, now: datetime) -> FeedWord:
    """Return how the feed of an account at a venue stands; `streamed` is what a stream last said of it."""
    if streamed is not None and streamed.reason != NOBODY:
        return FeedWord(streamed.state.value, streamed.since, streamed.reason)
    polled = polled_at is not None and now - polled_at <= POLLED_WITHIN
    return FeedWord("polled" if polled else "down", polled_at, "" if polled else NOBODY)
