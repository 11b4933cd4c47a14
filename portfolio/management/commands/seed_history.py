"""manage.py seed_history: a year of a made-up portfolio, to look at, to test with and to measure."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from portfolio.management.seeding.rows import HistoryWriter, book, make_accounts
from portfolio.management.seeding.year import ACCOUNTS, HOUR, MARKETS, SeededHour, hours
from portfolio.models import ClosingMark
from portfolio.pnl import closing_marks, keeping
from portfolio.snapshots import hourly, partitions, taking
from portfolio.totals import desk
from positions import observe
from positions.models import Account, Environment, Instrument

RAW_DAYS = 7
REAL = (Environment.LIVE, Environment.TESTNET)


class Command(BaseCommand):
    help = (
        "Fill the tables with a year of a made-up portfolio: trades, funding, deposits and snapshots. "
        "Refuses to run where a live account is."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--days", type=int, default=365, help="how far back it goes (365)")
        parser.add_argument(
            "--raw-days", type=int, default=RAW_DAYS, help=f"of them minute by minute ({RAW_DAYS})"
        )
        parser.add_argument("--seed", type=int, default=16, help="another number, another year (16)")

    def handle(self, *, days: int, raw_days: int, seed: int, **options: Any) -> None:
        _check(days=days, raw_days=raw_days)
        now = timezone.now()
        begin = hourly.hour_of(now - timedelta(days=days))
        with _progress(self.stderr.isatty()) as progress:
            accounts = make_accounts(now=begin)
            last = self._book(accounts, begin, now, seed, progress)
            self._write(accounts, begin, now, seed, raw_days, progress)
            instruments = {one.symbol: one for one in Instrument.objects.filter(environment="simulated")}
            _marks(instruments, last, now=now)
            _days(accounts, instruments, begin, now, seed, progress)
        taking.take(now=now)
        self.stdout.write(f"A year of {len(accounts)} accounts is in the tables: open /portfolio/")

    def _book(
        self, accounts: dict[str, Account], begin: datetime, now: datetime, seed: int, progress: Progress
    ) -> SeededHour:
        for hour in hours(begin=begin, end=now, seed=seed):
            last = hour
        for name, account in accounts.items():
            entries = last.accounts[name].entries
            task = progress.add_task(f"Entries of {name}", total=len(entries))
            book(
                account, last.accounts[name], now=now,
                progress=lambda more, task=task: progress.advance(task, more),  # type: ignore[misc]
            )  # fmt: skip
            progress.update(task, completed=len(entries))
        return last

    def _write(
        self,
        accounts: dict[str, Account],
        begin: datetime,
        now: datetime,
        seed: int,
        raw_days: int,
        progress: Progress,
    ) -> None:
        raw_since = max(begin, hourly.hour_of(now - timedelta(days=raw_days)))
        partitions.ensure(partitions.months_between(raw_since, now))
        writer = HistoryWriter(accounts, raw_since=raw_since, now=now, is_missed=_outages(now))
        task = progress.add_task("Snapshots", total=int((now - begin) / timedelta(hours=1)) + 1)
        for hour in hours(begin=begin, end=now, seed=seed):
            writer.add(hour)
            progress.advance(task)
        writer.flush()
        hourly.roll_up(now=now)


def _check(*, days: int, raw_days: int) -> None:
    """Raises CommandError where made-up figures would stand beside real ones, or nothing fits."""
    if not 2 <= days <= 1100 or not 1 <= raw_days <= days:
        raise CommandError("--days must be from 2 to 1100, --raw-days from 1 to --days")
    real = Account.objects.filter(environment__in=REAL).values_list("label", flat=True)
    if real:
        raise CommandError(f"this database has live accounts ({', '.join(real)}): seed another one")
    taken = Account.objects.filter(label__in=ACCOUNTS).values_list("label", flat=True)
    if taken:
        raise CommandError(f"there are accounts called {', '.join(taken)} already: seed an empty database")


def _progress(is_terminal: bool) -> Progress:
    columns = (TextColumn("{task.description:<20}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), disable=not is_terminal)


def _outages(now: datetime) -> Any:
    """Return which minutes have no snapshot: an outage of hours, one of minutes, and one missed minute."""
    missed = [
        (now - timedelta(days=41, hours=9), timedelta(hours=31)),
        (now - timedelta(hours=9), timedelta(minutes=47)),
        (now - timedelta(minutes=21), timedelta(minutes=1)),
    ]
    return lambda at: any(since <= at < since + length for since, length in missed)


def _days(
    accounts: dict[str, Account],
    instruments: dict[str, Instrument],
    begin: datetime,
    now: datetime,
    seed: int,
    progress: Progress,
) -> None:
    """Keep the prices at which the desk's days began, as the refresh would have, then every day's P&L."""
    closing_marks.write([
        ClosingMark(
            instrument_id=instruments[one.symbol].pk, at=at, price=hour.price(one.symbol, at.minute),
            source="made up", mark_at=at,
        )
        for hour in hours(begin=begin, end=now, seed=seed)
        if hour.at <= (at := desk.day_start(desk.day_of(hour.at + HOUR - timedelta(seconds=1))))
        for one in MARKETS
    ])  # fmt: skip
    task = progress.add_task("Days", total=len(accounts))
    for account in accounts.values():
        keeping.keep_account(account, now=now)
        progress.advance(task)


def _marks(instruments: dict[str, Instrument], last: SeededHour, *, now: datetime) -> None:
    prices: dict[str, Decimal] = {one.symbol: last.price(one.symbol, now.minute) for one in MARKETS}
    found = [
        observe.MarkPrice(instrument=instruments[symbol].pk, price=price, source="made up", at=now)
        for symbol, price in prices.items()
    ]
    observe.marks(prices=found, now=now)
