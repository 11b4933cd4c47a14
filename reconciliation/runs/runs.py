"""One comparison of an account with its venue, and its certificate.

State is read first, which is cheap. Facts are requested when the state disagrees, after a gap, every 10
minutes, and on demand. A difference is confirmed by a second report within 2 s; one that stays is a drift.
Then everything since the last proof is requested again, and only after that anything is corrected.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count

from django.db import IntegrityError, transaction

from core.storage import database
from positions.ledger.instruments import COIN_PREFIX
from positions.models import Account, Instrument
from positions.sync import poll
from positions.venues.base import Method, Report, VenueError
from reconciliation import queries
from reconciliation.cases import cases, opening, resolve
from reconciliation.cases.case_report import CaseReport
from reconciliation.models import Case, Correction, Run, Trigger, Verdict, VerdictStatus
from reconciliation.rules.compare import LegKey, LegResult, LegState, WalletResult, compare
from reconciliation.rules.verdicts import Observation
from reconciliation.runs import certificate, fact_requests, recheck, sides, verdict_store
from reconciliation.runs.verdict_store import SubjectObservation

READ_EVERY = timedelta(minutes=10)
# Each step and each booked batch moves the end: a run without progress for this long is dead.
EXPIRES_AFTER = timedelta(minutes=2)
# A request by hand, or one that knows of a gap, wants the facts as well.
ASKING = (Trigger.START, Trigger.RECONNECT, Trigger.DEMAND)


class RunConflict(RuntimeError):
    """Another run of the account is under way; `run` is that one."""

    def __init__(self, run: Run | None) -> None:
        super().__init__("another run of this account is under way")
        self.run = run


def reconcile(
    *,
    account: Account,
    now: datetime,
    trace_id: str,
    trigger: str = Trigger.SCHEDULE,
    pause: Callable[[float], None] = database.rest,
) -> Run:
    """Compare an account with its venue and keep the certificate. Raises RunConflict.

    A venue that cannot be read gives a run with a problem: no verdict changes but by the age of its proof.
    """
    return carry_out(
        run=begin(account=account, now=now, trigger=trigger, trace_id=trace_id), now=now, pause=pause
    )


def begin(*, account: Account, now: datetime, trigger: str, trace_id: str) -> Run:
    """Register a run of an account, and give up one that outlived its time.

    Raises RunConflict: at most one run of an account is under way.
    """
    running = Run.objects.filter(account=account, finished_at__isnull=True)
    running.filter(expires_at__lt=now).update(finished_at=now, problem="given up: it did not finish in time")
    try:
        # A savepoint: the constraint's refusal must leave a transaction around it usable.
        with transaction.atomic():
            return Run.objects.create(
                account=account,
                trigger=trigger,
                started_at=now,
                expires_at=now + EXPIRES_AFTER,
                step="waiting",
                trace_id=trace_id,
            )
    except IntegrityError:
        raise RunConflict(running.first()) from None


def withdraw(*, run: Run) -> None:
    """Take back a registered run that nothing was done in."""
    Run.objects.filter(pk=run.pk, finished_at__isnull=True).delete()


def carry_out(
    *, run: Run, now: datetime, pause: Callable[[float], None] = database.rest, corrects: bool = True
) -> Run:
    """Carry out a registered run and return it with its certificate. It corrects only if `corrects`."""
    work = _ActiveRun(run, run.account, now, pause, corrects)
    try:
        work.look_again_and_repair()
    except VenueError as error:
        work.read.problems.append(str(error))
    except BaseException as error:
        _finish(work, problem=f"broke off: {type(error).__name__}")
        raise
    return _finish(work)


def _finish(work: _ActiveRun, *, problem: str = "") -> Run:
    run, report, read = work.run, work.report, work.read
    now = work.now()
    run.finished_at, run.step = now, ""
    run.problem = "; ".join(dict.fromkeys([problem, *read.problems] if problem else read.problems))
    run.windows = read.windows
    run.counts = {name: read.counts[name] for name in fact_requests.COUNTS}
    run.counts |= {"booked": read.counts["applied"], "zero_rows": report.zero_rows if report else 0}
    run.counts["unknown_symbols"] = len(report.unknown_symbols) if report else 0
    run.withheld = sorted(work.withheld, key=str)
    if report is not None and not problem:
        run.as_of = report.as_of
        run.legs = certificate.legs(
            work.legs, stated=work.venue, instruments=work.instruments, as_of=report.as_of, read=read,
            withheld=work.withheld,
        )  # fmt: skip
        run.balances = certificate.balances(
            work.balances, as_of=report.as_of, read=read, withheld=work.withheld
        )
        run.complete = report.complete and read.complete and not work.withheld and not work.broken
    # Only while it is still ours: a run that was given up is not rewritten.
    fields = {name: getattr(run, name) for name in _CERTIFICATE}
    Run.objects.filter(pk=run.pk, finished_at__isnull=True).update(**fields)
    verdict_store.age(account=work.account, now=now)
    cases.settle(account=work.account, now=now)
    return run


_CERTIFICATE = (
    "finished_at", "step", "problem", "windows", "counts", "withheld", "as_of", "legs", "balances",
    "complete",
)  # fmt: skip


@dataclass(slots=True)
class _ActiveRun:
    """A run under way: the newest report, the book as of its time, and the facts requested so far."""

    run: Run
    account: Account
    begun: datetime
    pause: Callable[[float], None]
    corrects: bool = True
    clock: float = field(default_factory=time.monotonic)
    read: fact_requests.ReadSummary = field(default_factory=fact_requests.ReadSummary)
    report: Report | None = None
    instruments: dict[str, Instrument] = field(default_factory=dict)
    book: queries.AccountBook | None = None
    venue: dict[LegKey, LegState] = field(default_factory=dict)
    legs: list[LegResult] = field(default_factory=list)
    balances: list[WalletResult] = field(default_factory=list)
    withheld: set[str | None] = field(default_factory=set)
    broken: bool = True

    def now(self) -> datetime:
        return self.begun + timedelta(seconds=time.monotonic() - self.clock)

    def rest(self, seconds: float) -> None:
        """Pause; a clock that did not move with it (`pause` is another's) is set on."""
        until = self.now() + timedelta(seconds=seconds)
        self.pause(seconds)
        self.begun += max(until - self.now(), timedelta(0))

    def step(self, what: str) -> None:
        """Store what the run does now, for whoever watches it, and that it is alive."""
        self.run.step = what
        Run.objects.filter(pk=self.run.pk).update(step=what, expires_at=self.now() + EXPIRES_AFTER)

    def look_again_and_repair(self) -> None:
        """Carry out the whole run. Raises VenueError where the venue cannot be read."""
        fact_requests.open_account(account=self.account, now=self.now(), trace_id=self.run.trace_id)
        recovered = resolve.recover(account=self.account, now=self.now())
        self.look()
        # A coin that was not listed may be by now: then what names it can be read.
        unread = self.stated().unknown_symbols or queries.unread_symbols(account=self.account.pk)
        if self.differs() or unread or self.run.trigger in ASKING or self.due():
            self.ask(since=self.since(queries.drifting(account=self.account.pk)))
        verdicts = self.judge()
        for looks in count(1):
            wait = recheck.seconds(verdicts=verdicts, seen=self._seen(), looks=looks, now=self.now())
            if wait is None or (looks > 1 and self.read.failed):
                break  # what could not be read is not asked for again by this run
            self.step("looking again")
            self.rest(wait)
            self.look()
            if self.differs() and recheck.should_ask(verdicts=verdicts, seen=self._seen()):
                self.ask()
            self.settle_openings(verdicts)
            verdicts = self.judge()
        self.repair([one for one in verdicts if one.status in (VerdictStatus.DRIFT, VerdictStatus.FAILED)])
        resolve.conclude_by_report(corrections=recovered, read_as_of=self.stated().as_of)
        self.broken = False

    def look(self) -> None:
        self.step("reading the venue's state")
        self.report = poll.report(account=self.account, now=self.now())
        self.compare()

    def ask(self, *, since: datetime | None = None) -> None:
        self.step("asking for fills, funding and transfers")
        fact_requests.entries(
            into=self.read,
            account=self.account,
            now=self.now(),
            trace_id=self.run.trace_id,
            since=since,
            progress=self._booked,
        )
        self.compare()

    def _booked(self, method: Method, done: int, of: int) -> None:
        self.step(f"asking for {method.value}" + (f": {done:,} of {of:,} booked" if of else ""))

    def since(self, drifting: Sequence[Verdict]) -> datetime | None:
        """Return the time from which to request facts; None: from where the feeds' cursors are.

        It is the last proof of what drifts (everything, where there was none), or the last report before a
        fill that is only inferred.
        """
        proofs = [poll.BEGINNING if one.as_of is None else one.as_of for one in drifting]
        inferred = queries.inferred_since(account=self.account.pk, now=self.now())
        proofs += [inferred] if inferred is not None else []
        return min(proofs) - poll.OVERLAP if proofs else None

    def due(self) -> bool:
        """Return whether facts were not read for 10 minutes, or never."""
        cursor = queries.read_through(account=self.account.pk, feed=Method.FILLS)
        return cursor is None or cursor.through is None or self.now() - cursor.updated_at > READ_EVERY

    def compare(self) -> None:
        """Compare the newest report with the book as of its time, by the facts known now."""
        report = self.stated()
        book = queries.book(account=self.account, at=report.as_of)
        stated = sides.stated(report.positions)
        keys = {*book.legs, *book.known, *stated}
        self.instruments = queries.instruments(
            account=self.account, symbols={key.venue_symbol for key in keys}
        )
        stated = {key: state for key, state in stated.items() if key.venue_symbol in self.instruments}
        self.book, self.venue = book, stated
        self.withheld = self._withheld(report)
        self.legs = compare(
            book=book.legs,
            venue=stated,
            observed=[key for key in keys if self._observed(key, report)],
            tolerances=queries.tolerances(account=self.account, rows=self.instruments.values()),
        )
        self.balances = sides.balances(account=self.account, report=report, book=book)

    def stated(self) -> Report:
        if self.report is None:
            raise RuntimeError("no report was read yet")
        return self.report

    def _observed(self, key: LegKey, report: Report) -> bool:
        row = self.instruments.get(key.venue_symbol)
        return row is not None and report.observed(key.venue_symbol, scope=str(row.details.get("scope", "")))

    def _withheld(self, report: Report) -> set[str | None]:
        """Return the symbols (None: all) of rows that could not be read, those of facts included."""
        last = None if self.read.windows else queries.last_read_run(account=self.account.pk)
        windows = self.read.windows if last is None else last.windows
        unbooked = {symbol for window in windows.values() for symbol in window["withheld"]}
        unread = {row.venue_symbol for row in report.unreadable if row.what == "position"}
        booked = queries.quarantined_symbols(account=self.account.pk)
        return unbooked | set(report.unknown_symbols) | unread | booked

    def differs(self) -> bool:
        return any(leg.drifts for leg in self.legs) or any(one.drifts for one in self.balances)

    def judge(self) -> list[Verdict]:
        return verdict_store.judge(account=self.account, seen=self._seen(), run=self.run, now=self.now())

    def _seen(self) -> list[SubjectObservation]:
        report, now = self.stated(), self.now()
        book = self.book or queries.AccountBook(report.as_of)
        found = []
        for leg in self.legs:
            symbol = leg.key.venue_symbol
            if symbol not in self.instruments:
                continue
            observation = Observation(
                as_of=report.as_of,
                at=now,
                proves=leg.observed and not {symbol, None} & self.withheld,
                observed=leg.observed,
                drifts=leg.drifts,
                receipts=tuple(one for of, one in book.receipts if of == symbol),
                unread=Method.FILLS in self.read.failed,
            )
            found.append(SubjectObservation((self.instruments[symbol].pk, leg.key.leg, "", ""), observation))
        for one in self.balances:
            found.append(
                SubjectObservation((None, "", one.key.wallet, one.key.asset), self._of_wallets([one], now))
            )
        return [*found, *self._coins(book, now)]

    def _coins(self, book: queries.AccountBook, now: datetime) -> list[SubjectObservation]:
        """Return the spot legs: a coin is proven when all its balances are, and add up to its position."""
        symbols = [COIN_PREFIX + coin for coin in sorted(book.coins)]
        found = []
        for symbol, row in queries.instruments(account=self.account, symbols=symbols).items():
            coin = symbol.removeprefix(COIN_PREFIX)
            if held := [one for one in self.balances if one.key.asset == coin]:
                whole = abs(sum((one.book for one in held), -book.coins[coin])) <= held[0].allowed
                if not whole:
                    self.read.problems.append(f"the balances of {coin} do not make up its position")
                observation = self._of_wallets(held, now)
                found.append(
                    SubjectObservation(
                        (row.pk, "net", "", ""),
                        replace(observation, proves=observation.proves and whole),
                        derived=True,
                    )
                )
        return found

    def _of_wallets(self, held: list[WalletResult], now: datetime) -> Observation:
        """Return what the report shows of balances; what differs for want of facts says nothing of them."""
        unexplained = bool(self.read.failed) and any(one.drifts for one in held)
        book = self.book or queries.AccountBook(now)
        return Observation(
            as_of=self.stated().as_of,
            at=now,
            proves=all(one.provable for one in held) and None not in self.withheld,
            observed=all(one.observed for one in held) and not unexplained,
            drifts=tuple(found for one in held for found in one.drifts),
            receipts=tuple(one for _, one in book.receipts),
        )

    def repair(self, drifting: list[Verdict]) -> None:
        """Request all facts since the last proof of what drifts again; open cases for what is left."""
        if not drifting:
            return
        fresh = [one for one in drifting if one.repaired_as_of is None]
        if fresh:
            self.step("asking again since the last proof")
            self.ask(since=self.since(fresh))
            after = {verdict_store.key_of(one): one for one in self.judge()}
            drifting = [after.get(verdict_store.key_of(one), one) for one in drifting]
            drifting = [one for one in drifting if one.status in (VerdictStatus.DRIFT, VerdictStatus.FAILED)]
            unrepaired = [one for one in drifting if one.repaired_as_of is None]
            if self.read.complete:
                verdict_store.repaired(
                    verdicts=unrepaired, as_of=self.stated().as_of, run=self.run, now=self.now()
                )
        derived = {one.key for one in self._seen() if one.derived}
        found = cases.follow(
            account=self.account,
            drifting=[one for one in drifting if verdict_store.key_of(one) not in derived],
            reports=self._case_reports(),
            run=self.run,
            now=self.now(),
        )
        asked = {verdict_store.key_of(one) for one in drifting if one.repaired_as_of is not None}
        due = [case for case in found if verdict_store.key_of(case) in asked]
        if self.corrects and (done := self.correct(due)):
            self.step("looking again after a correction")
            self.rest(recheck.REREAD_AFTER.total_seconds())
            self.look()
            self.judge()
            resolve.conclude_by_report(corrections=done, read_as_of=self.stated().as_of)

    def settle_openings(self, verdicts: Sequence[Verdict]) -> None:
        """Correct opening balances by what two reports show, before anything is called a drift."""
        if self.read.failed:
            return
        differing = recheck.wallets_shown_twice(
            verdicts=verdicts, balances=self.balances, as_of=self.stated().as_of
        )
        if opening.settle(
            account=self.account, differing=differing, trace_id=self.run.trace_id, now=self.now()
        ):
            self.compare()

    def _case_reports(self) -> dict[verdict_store.Key, CaseReport]:
        """Return both sides of every subject as of the newest report."""
        report = self.stated()
        of_legs = sides.case_reports(
            as_of=report.as_of,
            legs=self.legs,
            book=self.book.legs if self.book else {},
            venue=self.venue,
            instruments=self.instruments,
        )
        return {one.key: CaseReport(report.as_of) for one in self._seen()} | of_legs

    def correct(self, due: list[Case]) -> list[Correction]:
        """Make automatic corrections: opening lots before the first certificate, then what policy allows."""
        now, trace_id = self.now(), self.run.trace_id
        if not queries.is_certified(account=self.account.pk, before=self.run.pk):
            return resolve.open_lots(found=due, now=now, trace_id=trace_id)
        return resolve.automatic(found=due, now=now, trace_id=trace_id)
