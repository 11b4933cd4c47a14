"""The portfolio's newest totals in Redis: written by the refresh, read by pages, API and stream."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson
from django.conf import settings

from core.storage.redis import client
from core.values.money import fixed
from portfolio import rollup
from portfolio.rollup import AccountSummary, NearestLiquidation, PositionSums, Sum
from portfolio.totals.figures import AccountFigures, GroupFigures
from portfolio.totals.limit_keeping import LimitFigures

KEY = "plumbline:portfolio"
LAST = f"{KEY}:last"
"""The same for longer: what is shown, marked stale, while Postgres is away."""
USES = f"{KEY}:uses"
FRESH_FOR = timedelta(seconds=settings.METRICS_CACHE_TTL)
"""Older totals are not shown: who wants some adds them up."""
KEPT_FOR = max(timedelta(seconds=10), 2 * FRESH_FOR)
"""Cash and feeds move slowly: the stream believes them that long."""

LAST_FOR = timedelta(hours=1)

Price = tuple[str | None, str]
"""A mark as text (None: not believed any more) and its time."""


@dataclass(frozen=True, slots=True)
class PortfolioTotals:
    """What the book adds up to at one moment, by account, and what that was made of.

    `sums` are by account id. `sequences` are the accounts' last changes, read before their positions.
    `marks` are the prices that positions were valued at, by environment and instrument id; `conversions`
    what settle currencies were worth, by account id. `figures` and `groups` are what `totals.figures` makes
    of accounts and of positions; `limits` is where each limit stands (`totals.limit_keeping`).
    """

    at: datetime
    accounts: list[AccountSummary]
    sums: Mapping[int, PositionSums]
    sequences: Mapping[int, int]
    marks: Mapping[str, Mapping[int, Price]]
    conversions: Mapping[int, Mapping[str, tuple[str, str]]] = field(default_factory=dict)
    figures: list[AccountFigures] = field(default_factory=list)
    groups: list[GroupFigures] = field(default_factory=list)
    limits: list[LimitFigures] = field(default_factory=list)

    def is_fresh(self, *, now: datetime) -> bool:
        """Whether these may be shown as the totals of now."""
        return now - self.at <= FRESH_FOR

    def seen_by(self, accounts: Collection[int] | None) -> PortfolioTotals:
        """Return what may be shown to who sees these accounts only; None: all."""
        if accounts is None:
            return self
        environments = {one["environment"] for one in self.accounts if one["id"] in accounts}
        environments |= {one.environment for key, one in self.sums.items() if key in accounts}
        return PortfolioTotals(
            at=self.at,
            accounts=[one for one in self.accounts if one["id"] in accounts],
            sums={key: one for key, one in self.sums.items() if key in accounts},
            sequences={key: last for key, last in self.sequences.items() if key in accounts},
            marks={name: marks for name, marks in self.marks.items() if name in environments},
            conversions={key: one for key, one in self.conversions.items() if key in accounts},
            figures=[one for one in self.figures if one["id"] in accounts],
            groups=[one for one in self.groups if one["account"] in accounts],
            limits=[one for one in self.limits if one["account"] is not None and one["account"] in accounts],
        )

    def environments(self) -> list[str]:
        """Return the environments of accounts at venues."""
        return sorted({one["environment"] for one in self.accounts if one["feed"] != rollup.NO_FEED})

    def by_environment(self) -> dict[str, dict[str, Any]]:
        """Return the totals as pages and stream show them. See `rollup.totals_of`."""
        return rollup.totals_of(self.sums, environments=self.environments(), accounts=self.accounts)


def store(totals: PortfolioTotals) -> None:
    """Keep totals for every process. Raises redis.RedisError."""
    content = {
        "at": totals.at.isoformat(),
        "accounts": totals.accounts,
        "sums": {str(key): _written(sums) for key, sums in totals.sums.items()},
        "sequences": {str(key): last for key, last in totals.sequences.items()},
        "marks": {
            name: {str(key): price for key, price in marks.items()} for name, marks in totals.marks.items()
        },
        "conversions": {str(key): one for key, one in totals.conversions.items()},
        "figures": totals.figures,
        "groups": totals.groups,
        "limits": totals.limits,
    }
    text = orjson.dumps(content)
    both = client().pipeline(transaction=False)
    both.set(KEY, text, px=int(KEPT_FOR.total_seconds() * 1000))
    both.set(LAST, text, ex=int(LAST_FOR.total_seconds()))
    both.execute()


def count_use(*, hit: bool) -> None:
    """Count whether somebody was served what the refresh stored. Raises redis.RedisError."""
    client().hincrby(USES, "hits" if hit else "misses", 1)


def uses() -> dict[str, int]:
    """Return how often totals were served from here (`hits`) and added up anew (`misses`), since Redis
    began. Raises redis.RedisError.
    """
    found = client().hgetall(USES)
    return {name: int(found.get(name.encode(), 0)) for name in ("hits", "misses")}


def load(key: str = KEY) -> PortfolioTotals | None:
    """Return the newest totals; None: nobody has written any for KEPT_FOR. Raises redis.RedisError."""
    content = client().get(key)
    if not isinstance(content, bytes):
        return None
    read = orjson.loads(content)
    return PortfolioTotals(
        at=datetime.fromisoformat(read["at"]),
        accounts=read["accounts"],
        sums={int(key): _read(sums) for key, sums in read["sums"].items()},
        sequences={int(key): last for key, last in read["sequences"].items()},
        marks={
            name: {int(key): (price[0], price[1]) for key, price in marks.items()}
            for name, marks in read["marks"].items()
        },
        conversions={
            int(key): {name: (rate[0], rate[1]) for name, rate in rates.items()}
            for key, rates in read["conversions"].items()
        },
        figures=read["figures"],
        groups=read["groups"],
        limits=read["limits"],
    )


def limits(*, now: datetime) -> tuple[list[LimitFigures], dict[int, str]] | None:
    """Return where each limit stood at the last refresh, and accounts' labels; None: that is too long ago.

    Raises redis.RedisError.
    """
    content = client().get(KEY)
    if not isinstance(content, bytes):
        return None
    read = orjson.loads(content)
    if now - datetime.fromisoformat(read["at"]) > KEPT_FOR:
        return None
    return read["limits"], {one["id"]: one["label"] for one in read["figures"]}


def _written(sums: PositionSums) -> dict[str, Any]:
    """Return sums in JSON types."""
    written: dict[str, Any] = {one.name: getattr(sums, one.name) for one in fields(sums)}
    for name, value in written.items():
        if isinstance(value, Counter):
            written[name] = {str(key): number for key, number in value.items()}
        elif isinstance(value, Sum | NearestLiquidation):
            written[name] = [fixed(value[0]), *value[1:]]
    return written


def _read(written: Mapping[str, Any]) -> PositionSums:
    read = dict(written)
    for name, value in written.items():
        if isinstance(value, dict):
            read[name] = Counter(value)
        elif isinstance(value, list):
            kind = NearestLiquidation if name == "nearest" else Sum
            read[name] = kind(Decimal(value[0]), *value[1:])
    return PositionSums(**read)
