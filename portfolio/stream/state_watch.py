"""An account's streamed state: its reports are written to the database and compared with the book.

The loop runs beside those that read lists of facts and ends only when it is cancelled. It asks for
reconciliation runs and never waits for one: a worker carries them out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

import structlog
from django.utils import timezone

from portfolio.stream.leg_check import Differences, LegCheck
from portfolio.stream.run_requests import RunRequests
from portfolio.stream.threads import Threads, backoff
from positions.models import Account
from positions.sync import poll
from positions.venues.base import Report, Venue
from reconciliation import queries
from reconciliation.models import Trigger
from reconciliation.rules.compare import Family
from reconciliation.rules.report_legs import stated_quantities, unexplained_legs
from reconciliation.tasks import request_run

LOOK_EVERY = 0.25
REPORT_EVERY = {True: timedelta(seconds=60), False: timedelta(seconds=5)}  # by: state streams
STATE_AT_MOST_EVERY = timedelta(seconds=2)

log = structlog.get_logger("stream")


class StateWatch:
    """One account's state. Lives on the venues' event loop.

    `missed()` is called when a fill must have been lost on its way.
    """

    def __init__(self, *, account: Account, threads: Threads, missed: Callable[[], None]) -> None:
        self._account = account
        self._threads = threads
        self._missed = missed
        self._reports: dict[tuple[str, ...], Report] = {}
        self._written: dict[tuple[str, ...], tuple[object, float]] = {}
        self._check = LegCheck()
        self.run_requests = RunRequests()

    def take(self, report: Report, *, at: float) -> None:
        """Take a report that the stream brought, at a monotonic time."""
        self._reports[tuple(scope.name for scope in report.scopes)] = report
        self._check.add(report, at=at)

    async def keep(
        self,
        venue: Venue,
        *,
        suffices: Callable[[], bool],
        live: Callable[[], bool],
        comparable: Callable[[], bool],
    ) -> None:
        """Write and compare until cancelled. `suffices`: state streams; `live`: what was missed was read.

        `comparable`: that is not being read just now, so that what differs is not what is under way.
        """
        # A stream states everything within a second; where none does, the first report is due soon.
        reported, failures = timezone.now(), 0
        while True:
            now = timezone.now()
            try:
                if now - reported >= REPORT_EVERY[suffices()]:
                    reported = now
                    report = await self._threads.ask(poll.report, account=self._account, now=now)
                    self._check.add(report, at=_monotonic())
                await self._write(venue)
                if comparable():
                    await self._compare()
                await self._ask_for_arrival(now, live=live())
                failures = 0
            except Exception as error:  # noqa: BLE001  the next report is absolute again
                failures += 1
                log.warning("state could not be kept", account=self._account.label, error=str(error))
                await asyncio.sleep(backoff(failures, longest=30.0))
            await asyncio.sleep(LOOK_EVERY)

    async def _write(self, venue: Venue) -> None:
        """Write the newest report of each part: at once where a quantity changed, else every two seconds."""
        for scopes, report in list(self._reports.items()):
            at = _monotonic()
            legs = stated_quantities(report)
            before, written_at = self._written.get(scopes, (None, 0.0))
            if legs == before and at - written_at < STATE_AT_MOST_EVERY.total_seconds():
                continue
            if self._reports.get(scopes) is report:
                del self._reports[scopes]
            self._written[scopes] = legs, at
            write = partial(poll.state, account=self._account, report=report, now=timezone.now())
            await self._threads.ask(write, venue=venue)

    async def _compare(self) -> None:
        """Compare the reports that are due with the book, and ask for a run where a difference counts.

        A size that the book does not have means that a frame was lost: its list of facts is read again.
        """
        due = self._check.due(at=_monotonic())
        if not due:
            return
        book = await self._threads.ask(queries.open_legs, account=self._account)
        for report in due:
            shown = unexplained_legs(report, book)
            certain, restless = self._check.judge(report, shown, at=_monotonic())
            if certain or restless:
                legs = _in_words(certain | restless)
                log.warning("stream and book differ", account=self._account.label, legs=legs)
                if any(one.family is Family.SIZE for one in certain.values()):
                    self._missed()
                await self._ask(Trigger.TARGETED)

    async def _ask_for_arrival(self, now: datetime, *, live: bool) -> None:
        trigger = self.run_requests.due(now=now, live=live)
        if trigger is not None:
            await self._ask(trigger)

    async def _ask(self, trigger: Trigger) -> None:
        asked = await self._threads.ask(request_run, account_id=self._account.pk, trigger=trigger)
        log.info("reconciliation asked for", account=self._account.label, trigger=trigger.value, new=asked)


def _monotonic() -> float:
    return asyncio.get_running_loop().time()


def _in_words(differences: Differences) -> list[str]:
    return [
        f"{symbol} {leg}: {one.kind.value}, {one.venue} stated, {one.book} booked"
        for (symbol, leg), one in differences.items()
    ]
