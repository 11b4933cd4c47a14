"""The only writer of the days: an account's are built again from the first that a new fact belongs to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

import structlog
from django.db import connection, transaction
from django.db.models import Min

from portfolio.attribution import Component
from portfolio.models import AccountDay, EntryStrategy, PnlDay
from portfolio.pnl import closing_marks, restatements
from portfolio.pnl.account_days import AccountFacts, DayFigures, MarketFacts, account_days
from portfolio.pnl.closing_marks import KeptPrices
from portfolio.pnl.restatements import RestatedDay
from portfolio.totals import desk
from positions import queries
from positions.ledger.instruments import contract_of, par_currencies
from positions.ledger.rows import PositionKey
from positions.models import Account, AccountHead, Entry, Instrument, InstrumentKind, Position, Status
from positions.queries import BookWalk

AN_INSTANT = timedelta(microseconds=1)
CLOCKS_DIFFER = timedelta(minutes=1)
_LOCK = "plumbline days"
_AMOUNTS = [one.value for one in Component if one is not Component.UNEXPLAINED]

_POSITION = ("pk", "instrument", "leg", "opening_ref")

log = structlog.get_logger("days")


@dataclass(frozen=True, slots=True)
class ChangedDay:
    """A closed day whose P&L is not what it was: what was told before, and what is true now."""

    account: int
    day: date
    before: Decimal
    after: Decimal


def keep_days(*, now: datetime) -> list[ChangedDay]:
    """Bring the days of all accounts up to now; return the closed ones that changed. Raises DatabaseError."""
    accounts = queries.accounts_in_use(with_manual=True)
    return [changed for account in accounts for changed in _kept(account, now=now)]


def _kept(account: Account, *, now: datetime) -> list[ChangedDay]:
    """Build an account's days. Where they cannot be built it keeps those it has, with a line in the log."""
    try:
        return keep_account(account, now=now)
    except (ArithmeticError, ValueError, KeyError):
        log.exception("an account's days cannot be built", account=account.pk)
        return []


def keep_flows(*, now: datetime) -> None:
    """Count transfers that were booked since today's rows were built: they are no P&L of today.

    Everything else of today is live anyway. Raises DatabaseError.
    """
    today = AccountDay.objects.filter(day=desk.day_of(now))
    counted = dict(today.values_list("account", "sequence"))
    heads = AccountHead.objects.filter(account__in=counted).values_list("account", "entry_count")
    for account, entries in heads:
        before = counted[account]
        if entries > before and queries.has_transfers_since(account=account, sequence=before):
            _kept(Account.objects.get(pk=account), now=now)


def keep_account(account: Account, *, now: datetime, since: date | None = None) -> list[ChangedDay]:
    """Build an account's days from the first that may have changed, or from `since`, up to now.

    Return the closed ones that changed.
    """
    head = AccountHead.objects.filter(account=account).first()
    begins = None if head is None else _begins(account, head)
    if head is None or begins is None or begins > now:
        return []
    first = since or _first_changed(account, head, now=now) or desk.day_of(begins)
    start = max(begins, desk.day_start(first))
    joins = start == begins
    if joins and now - begins <= closing_marks.KEPT_WITHIN:
        closing_marks.keep(at=begins, accounts=[account], now=now)
    opened = bool(head.opened)
    walk = queries.book_walk(account=account, at=start if joins and opened else start - AN_INSTANT)
    now = _read_at(walk, now)
    facts = _facts(account, walk)
    prices = KeptPrices(account, now, facts.coins)
    moments = [desk.day_start(day) for day in desk.days(desk.day_of(start) + desk.DAY, desk.day_of(now))]
    prices.load(instruments=facts.markets.keys(), boundaries=[start, *moments])
    days = account_days(walk, start=start, joins=joins and opened, now=now, prices=prices, facts=facts)
    return _write(account, first, days, entries=head.entry_count, now=now)


def _read_at(walk: BookWalk, now: datetime) -> datetime:
    """Return a moment after every fact of the walk: the book was read after the clock, while the account
    traded, and its balances hold all of them. Facts further ahead than clocks differ are left out.
    """
    times = [one.fact.time for one in walk.effects if one.fact.time < now + CLOCKS_DIFFER]
    return max([now, *(at + AN_INSTANT for at in times)])


def _begins(account: Account, head: AccountHead) -> datetime | None:
    """Return when an account's equity begins to be known: T0, or by hand its first fact."""
    if head.opened:
        return min(datetime.fromisoformat(at) for at in head.opened.values())
    if not account.is_manual:
        return None
    first: datetime | None = Entry.objects.filter(account=account).aggregate(first=Min("at"))["first"]
    return first


def _first_changed(account: Account, head: AccountHead, *, now: datetime) -> date | None:
    """Return the first day that later facts belong to; the open day where there are none."""
    last = AccountDay.objects.filter(account=account).order_by("-day").first()
    if last is None:
        return None
    new = Entry.objects.filter(account=account, sequence__gt=last.sequence)
    times = new.aggregate(at=Min("at"), amended=Min("amended_at"), watermark=Min("watermark"))
    targets = new.filter(target_ref__isnull=False).values("target_ref")
    known = Entry.objects.filter(account=account, venue_ref__in=targets)
    times["target"] = known.aggregate(at=Min("at"))["at"]
    return min(desk.day_of(at) for at in [*times.values(), last.starts_at] if at is not None)


def _facts(account: Account, walk: BookWalk) -> AccountFacts:
    ids = {key.instrument for key in walk.legs}
    ids |= {move.key.instrument for effect in walk.effects for move in effect.moves}
    assets = {asset for _, asset in [*walk.balances, *walk.now]}
    assets |= {leg.asset for effect in walk.effects for leg in effect.cash}
    instruments = list(Instrument.objects.filter(pk__in=ids))
    assets |= {one.settle for one in instruments}
    coins = closing_marks.coin_instruments(account.world, assets - par_currencies())
    instruments += list(Instrument.objects.filter(pk__in=set(coins.values()) - ids))
    positions = Position.objects.filter(account=account).exclude(status=Status.VOID)
    return AccountFacts(
        par=par_currencies(),
        markets={
            one.pk: MarketFacts(
                contract_of(one), one.underlying or one.base, one.kind == InstrumentKind.ASSET
            )
            for one in instruments
        },
        coins=coins,
        positions={
            (PositionKey(instrument, leg), opening): pk
            for pk, instrument, leg, opening in positions.values_list(*_POSITION)
        },
        tags=dict(EntryStrategy.objects.filter(account=account).values_list("venue_ref", "strategy")),
    )


def _write(
    account: Account, first: date, days: Iterable[DayFigures], *, entries: int, now: datetime
) -> list[ChangedDay]:
    account_rows, lines = [], []
    for day in days:
        account_rows.append(_account_row(account, day, entries))
        lines += _line_rows(account, day)
    # One transaction: nobody sees a day without its lines. The lock makes two schedulers take turns.
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s), %s)", [_LOCK, account.pk])
        before = {row.day: row for row in AccountDay.objects.filter(account=account, day__gte=first)}
        PnlDay.objects.filter(account=account, day__gte=first).delete()
        AccountDay.objects.filter(account=account, day__gte=first).delete()
        AccountDay.objects.bulk_create(account_rows, batch_size=500)
        PnlDay.objects.bulk_create(lines, batch_size=1000)
        restated = [
            RestatedDay(row.day, row.ends_at, known.pnl, row.pnl, known.sequence)
            for row in account_rows
            if (known := before.get(row.day)) is not None and known.as_of >= known.ends_at
        ]
        # Inside: a day that was told once must not change without its restatement.
        noted = restatements.note(account, restated, now=now)
    return [ChangedDay(account.pk, one.day, one.old, one.new) for one in noted]


def _account_row(account: Account, day: DayFigures, entries: int) -> AccountDay:
    row = AccountDay(
        account=account, day=day.day, starts_at=day.starts_at, ends_at=day.ends_at, as_of=day.as_of,
        start_equity=day.start_equity, end_equity=day.end_equity, unexplained=day.unexplained,
        joined=day.joined, sequence=entries,
    )  # fmt: skip
    for cell in day.lines.values():
        for name in _AMOUNTS:
            setattr(row, name, getattr(row, name) + cell.of(Component(name)))
        row.unknown += cell.unknown.total()
        row.entries += len(cell.refs)
    return row


def _line_rows(account: Account, day: DayFigures) -> list[PnlDay]:
    found, told = [], set()
    for line, cell in day.lines.items():
        row = PnlDay(
            account=account, day=day.day, position_id=line.position, asset=line.asset,
            strategy=line.strategy, unknown=cell.unknown.total(), entries=len(cell.refs),
            **{name: cell.of(Component(name)) for name in [*_AMOUNTS, Component.UNEXPLAINED.value]},
        )  # fmt: skip
        if line.position is not None and not line.strategy:
            row.closing_pnl = day.closing.get(line.position)
            told.add(line.position)
        found.append(row)
    quiet = day.closing.keys() - told  # held, and nothing moved
    assets = dict(Position.objects.filter(pk__in=quiet).values_list("pk", "instrument__underlying"))
    found += [
        PnlDay(account=account, day=day.day, position_id=one, asset=assets.get(one, ""),
               closing_pnl=day.closing[one])
        for one in sorted(quiet)
    ]  # fmt: skip
    return found
