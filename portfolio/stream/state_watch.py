"""What an account's stream states of legs and wallets: written down, held against the book, handed to proof.

A loop of its own beside the lists, ended only by cancelling. Reconciliation is asked for, never waited for: a
worker runs it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial

import structlog
from django.conf import settings
from django.utils import timezone

from portfolio.stream.leg_check import Booked, Comparison, Differences, differing, quantities
from portfolio.stream.run_requests import Arrivals
from portfolio.stream.threads import Threads, backoff
from positions.models import Account
from positions.sync import feed_queries, poll
from positions.venues.base import Report, Venue
from reconciliation.models import Trigger
from reconciliation.queries import AVERAGE_COST
from reconciliation.tasks import request_run

LOOK_EVERY = 0.25
REPORT_EVERY = {True: timedelta(seconds=60), False: timedelta(seconds=5)}  # by: state streams
STATE_AT_MOST_EVERY = timedelta(seconds=2)

log = structlog.get_logger("stream")


class Stated:
    """Lives on the venues' event loop. `missed()` is called when a fill must have been lost on its way."""

    def __init__(self, *, account: Account, threads: Threads, missed: Callable[[], None]) -> None:
        self._account = account
        self._threads = threads
        self._missed = missed
        self._reports: dict[tuple[str, ...], Report] = {}
        self._written: dict[tuple[str, ...], tuple[object, float]] = {}
        self._comparison = Comparison()
        self.arrivals = Arrivals()

    def take(self, report: Report, *, at: float) -> None:
        """The stream brought a report, at a monotonic time."""
        self._reports[tuple(scope.name for scope in report.scopes)] = report
        self._comparison.saw(report, at=at)

    async def keep(self, venue: Venue, *, suffices: Callable[[], bool], live: Callable[[], bool]) -> None:
        """Write and compare until cancelled. `suffices`: state streams; `live`: what was missed was read."""
        # A stream states everything within a second; where none does, the first report is due soon.
        reported, failures = timezone.now(), 0
        while True:
            now = timezone.now()
            try:
                if now - reported >= REPORT_EVERY[suffices()]:
                    reported = now
                    report = await self._threads.ask(poll.report, account=self._account, now=now)
                    self._comparison.saw(report, at=_monotonic())
                await self._write(venue)
                if live():
                    await self._compare()
                await self._ask_for_arrival(now, live=live())
                failures = 0
            except Exception as error:  # noqa: BLE001  the next report is absolute again
                failures += 1
                log.warning("state could not be kept", account=self._account.label, error=str(error))
                await asyncio.sleep(backoff(failures, longest=30.0))
            await asyncio.sleep(LOOK_EVERY)

    async def _write(self, venue: Venue) -> None:
        """The newest report of each part: at once where a quantity changed, else every two seconds."""
        for scopes, report in list(self._reports.items()):
            at = _monotonic()
            legs = quantities(report)
            before, written_at = self._written.get(scopes, (None, 0.0))
            if legs == before and at - written_at < STATE_AT_MOST_EVERY.total_seconds():
                continue
            if self._reports.get(scopes) is report:
                del self._reports[scopes]
            self._written[scopes] = legs, at
            write = partial(poll.state, account=self._account, report=report, now=timezone.now())
            await self._threads.ask(write, venue=venue)

    async def _compare(self) -> None:
        """A quantity that the book does not have: a frame was lost. Its list is read, and the book proven."""
        due = self._comparison.due(at=_monotonic())
        if not due:
            return
        legs = await self._threads.ask(feed_queries.book_legs, account=self._account.pk)
        book = {key: Booked(*leg) for key, leg in legs.items()}
        share: Decimal = settings.AVG_PRICE_DIFF_THRESHOLD
        for report in due:
            found = differing(
                report, book, entry_share=share if self._account.venue in AVERAGE_COST else None
            )
            certain, restless = self._comparison.judge(report, found, at=_monotonic())
            if certain or restless:
                log.warning(
                    "stream and book differ", account=self._account.label, legs=_said(certain | restless)
                )
                if any(one.what == "quantity" for one in certain.values()):
                    self._missed()
                await self._ask(Trigger.TARGETED)

    async def _ask_for_arrival(self, now: datetime, *, live: bool) -> None:
        trigger = self.arrivals.due(now=now, live=live)
        if trigger is not None:
            await self._ask(trigger)

    async def _ask(self, trigger: Trigger) -> None:
        asked = await self._threads.ask(request_run, account_id=self._account.pk, trigger=trigger)
        log.info("reconciliation asked for", account=self._account.label, trigger=trigger.value, new=asked)


def _monotonic() -> float:
    return asyncio.get_running_loop().time()


def _said(found: Differences) -> list[str]:
    return [
        f"{symbol} {leg}: {one.what} {one.stated} stated, {one.booked} booked"
        for (symbol, leg), one in found.items()
    ]
