"""Checks what works with an account's credentials at the venue itself: the rows of `check_venue`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial

from positions.venues.base import (
    EntryBatch,
    Evidence,
    Method,
    Permissions,
    Report,
    StreamLoss,
    StreamStart,
    ValueHistory,
    Venue,
    VenueError,
)
from positions.venues.keys.permissions import ANYWHERE
from positions.venues.keys.vetting import check_fields, read_permissions, refusal
from positions.venues.redaction import scrub

CLOCK_WARNS, CLOCK_FAILS = timedelta(seconds=1), timedelta(seconds=5)
LOOK_BACK = timedelta(days=7)
STREAM_WITHIN = 10.0


class Outcome(StrEnum):
    """The result of one check."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"
    NOT_THERE = "not there"


@dataclass(frozen=True, slots=True)
class Check:
    """One check: what was tried, its outcome, the detail in words, and how far its reading is proven."""

    name: str
    outcome: Outcome
    detail: str
    evidence: Evidence | None = None


async def check(venue: Venue, *, now: datetime) -> list[Check]:
    """Try everything that reads, one after another; a failure is a row, never an exception."""
    examined = _Checkup(venue, now)
    rows = [
        await examined.one("permissions", examined.permissions),
        await examined.one("clock", examined.clock),
        await examined.one("instruments", examined.instruments, Method.INSTRUMENTS),
        await examined.one("positions", examined.positions, Method.POSITIONS),
        await examined.one("balances", examined.balances, Method.BALANCES),
        await examined.one("account mode", examined.mode),
    ]
    for method in (Method.FILLS, Method.FUNDING, Method.TRANSFERS):
        rows.append(await examined.one(method, partial(examined.facts, method), method))
    rows.append(await examined.one("prices", examined.marks, Method.MARKS))
    rows.append(await examined.one("stream", examined.stream, Method.STREAMS))
    rows.append(await examined.one("past values", examined.values, Method.VALUES))
    return rows


class _Checkup:
    def __init__(self, venue: Venue, now: datetime) -> None:
        self._venue = venue
        self._now = now
        self._report: Report | None = None
        self._failure: VenueError | None = None

    async def one(
        self, name: str, work: Callable[[], Awaitable[tuple[Outcome, str]]], method: Method | None = None
    ) -> Check:
        evidence = self._venue.capabilities[method].evidence if method is not None else None
        if evidence is Evidence.UNSUPPORTED:
            return Check(name, Outcome.NOT_THERE, "this venue has none", evidence)
        started = time.monotonic()
        try:
            outcome, detail = await work()
        except Exception as error:  # noqa: BLE001  a mistake of ours is a red row too
            return Check(name, Outcome.BAD, f"{type(error).__name__}: {scrub(str(error))[:200]}", evidence)
        took = (time.monotonic() - started) * 1000
        return Check(name, outcome, f"{detail} ({took:.0f} ms)", evidence)

    async def permissions(self) -> tuple[Outcome, str]:
        check_fields(self._venue)
        found = await read_permissions(self._venue)
        detail = describe(found)
        if not self._venue.config.credentials.plain():
            return Outcome.GOOD, detail
        refused = refusal(found, self._venue.config.options)
        if refused is not None:
            return Outcome.BAD, f"{detail}. Refused: this key {refused}"
        harmless = found.withdraw is False and found.trade is False and ANYWHERE not in found.notes
        return (Outcome.GOOD if harmless else Outcome.WARNING), detail

    async def clock(self) -> tuple[Outcome, str]:
        offset = await self._venue.clock_offset()
        if offset is None:
            return Outcome.NOT_THERE, "the venue does not tell its time"
        size = abs(offset)
        outcome = (
            Outcome.BAD if size > CLOCK_FAILS else Outcome.WARNING if size > CLOCK_WARNS else Outcome.GOOD
        )
        return outcome, f"the venue is {offset.total_seconds() * 1000:+.0f} ms from us"

    async def instruments(self) -> tuple[Outcome, str]:
        found = await self._venue.instruments()
        return (Outcome.GOOD if found else Outcome.BAD), f"{len(found)} listed"

    async def _state(self) -> Report:
        """Asked once: three rows speak of it, and a refusal is no better the third time."""
        if self._failure is not None:
            raise self._failure
        if self._report is None:
            try:
                self._report = await self._venue.report()
            except VenueError as error:
                self._failure = error
                raise
        return self._report

    async def positions(self) -> tuple[Outcome, str]:
        report = await self._state()
        scopes = ", ".join(scope.name or "main" for scope in report.scopes) or "none asked"
        when = f"{report.as_of:%F %T} ({report.as_of_source})"
        detail = f"{len(report.positions)} open legs; asked: {scopes}; as of {when}"
        if report.complete:
            return Outcome.GOOD, detail
        causes = [*report.problems, *(row.reason for row in report.unreadable)]
        if not causes and not report.scopes:
            return Outcome.WARNING, f"{detail}; flat legs cannot be proven here"
        return Outcome.BAD, f"{detail}; incomplete: {'; '.join(causes)[:200]}"

    async def balances(self) -> tuple[Outcome, str]:
        report = await self._state()
        held = [row for row in report.balances if row.total]
        detail = f"{len(held)} assets in {len({row.wallet for row in report.balances})} wallets"
        return (Outcome.GOOD if report.balances_complete else Outcome.BAD), detail

    async def mode(self) -> tuple[Outcome, str]:
        report = await self._state()
        hedge = {True: "hedge mode", False: "one-way mode", None: "position mode not said"}[report.hedge]
        return Outcome.GOOD, f"{report.account_mode or 'mode not said'}, {hedge}"

    async def facts(self, method: Method) -> tuple[Outcome, str]:
        batch = await self._venue.entries(since=self._now - LOOK_BACK, until=self._now, methods=[method])
        return _of_batch(batch, self._venue.capabilities[method].note)

    async def marks(self) -> tuple[Outcome, str]:
        report = await self._state()
        symbols = [row.venue_symbol for row in report.positions] or None
        marks = await self._venue.marks(symbols=symbols)
        return (Outcome.GOOD if marks else Outcome.WARNING), f"{len(marks)} prices"

    async def values(self) -> tuple[Outcome, str]:
        if not isinstance(self._venue, ValueHistory):
            return Outcome.NOT_THERE, "this adapter reads none"
        found = await self._venue.account_values()
        return Outcome.GOOD, f"{len(found)} of the account's past"

    async def stream(self) -> tuple[Outcome, str]:
        events = self._venue.watch()
        try:
            async with asyncio.timeout(STREAM_WITHIN):
                async for event in events:
                    if isinstance(event, StreamStart):
                        return Outcome.GOOD, "connected and subscribed"
                    if isinstance(event, StreamLoss):
                        return Outcome.BAD, event.reason
        except TimeoutError:
            return Outcome.BAD, f"nothing within {STREAM_WITHIN:g} s"
        finally:
            closing = getattr(events, "aclose", None)
            if closing is not None:
                await closing()
        return Outcome.BAD, "the stream ended"


def _of_batch(batch: EntryBatch, note: str) -> tuple[Outcome, str]:
    known = f"; history: {note}" if note else ""
    detail = f"{len(batch.entries)} in 7 days{known}"
    if batch.complete:
        return Outcome.GOOD, detail
    causes = [*batch.problems, *(row.reason for row in batch.unreadable)]
    return Outcome.WARNING, f"{detail}; incomplete: {'; '.join(causes)[:200]}"


def describe(found: Permissions) -> str:
    """Permissions in words."""
    words = {True: "yes", False: "no", None: "not said"}
    parts = [f"read {words[found.read]}", f"trade {words[found.trade]}", f"withdraw {words[found.withdraw]}"]
    return ", ".join([*parts, *found.notes])
