"""Reads of runs, verdicts, differences and cases; and the book's side of a comparison."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

import orjson
from django.conf import settings
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery

from positions import queries as ledger
from positions.ledger.instruments import COIN_PREFIX, par_currencies
from positions.models import (
    OPEN_STATUSES,
    Account,
    Balance,
    Entry,
    FeedCursor,
    Instrument,
    InstrumentKind,
    Position,
    QuarantinedEntry,
    VenueState,
)
from reconciliation.models import Case, Run, Verdict, VerdictStatus
from reconciliation.models.runs import aged_status, oldest_proof
from reconciliation.rules.compare import (
    Family,
    LegKey,
    LegState,
    Tolerance,
    WalletKey,
    WalletState,
    WalletTolerance,
)
from reconciliation.rules.report_legs import LegId, OpenLeg
from reconciliation.rules.verdicts import FactReceipt

# Venues whose average entry price follows average cost, as ours does. Bybit's USDC contracts start a new
# average each session; Deribit's, Gate's and those read by the generic adapter are not known to agree.
AVERAGE_COST = frozenset({"hyperliquid", "binanceusdm", "binancecoinm", "okx"})
LOOKED_BACK = 500
SLACK = timedelta(minutes=1)


class Proof(NamedTuple):
    """A leg's verdict now, and the time of the report that last agreed; None: none ever has."""

    status: str
    as_of: datetime | None


NEVER_COMPARED = Proof(VerdictStatus.PENDING, None)


def proofs(*, positions: Collection[Position], now: datetime) -> dict[int, Proof]:
    """Return {position id: the proof of its leg}, in one query."""
    verdicts = Verdict.objects.filter(account__in={position.account_id for position in positions})
    known = {
        (row.account_id, row.instrument_id, row.leg): Proof(row.status_now(now=now), row.as_of)
        for row in verdicts
    }
    return {
        position.pk: known.get((position.account_id, position.instrument_id, position.leg), NEVER_COMPARED)
        for position in positions
    }


def leg_statuses(*, accounts: Collection[int], now: datetime) -> dict[tuple[int, int | None, str], str]:
    """Return {(account, instrument, leg): status now} of every leg that was compared, in one query."""
    found = Verdict.objects.filter(account__in=accounts, instrument__isnull=False).order_by()
    columns = ("account_id", "instrument_id", "leg", "status", "is_recent")
    recent = found.annotate(is_recent=Q(as_of__gte=oldest_proof(now=now)))
    return {
        (account, instrument, leg): aged_status(status, is_recent=bool(is_recent))
        for account, instrument, leg, status, is_recent in recent.values_list(*columns)
    }


def verdict_of(*, case: Case) -> Verdict | None:
    """Return the verdict, with its instrument, of the leg or balance that a case is about."""
    return (
        Verdict.objects.select_related("instrument")
        .filter(
            account=case.account_id,
            instrument=case.instrument_id,
            leg=case.leg,
            wallet=case.wallet,
            asset=case.asset,
        )
        .first()
    )


def verdicts_about(position: Position) -> QuerySet[Verdict]:
    """Return the verdict of a position's leg, or those of the wallets that hold its coin."""
    rows = Verdict.objects.filter(account=position.account_id)
    if position.instrument.kind == InstrumentKind.ASSET:
        return rows.filter(instrument=None, asset=position.instrument.base)
    return rows.filter(instrument=position.instrument_id, leg=position.leg)


def subjects() -> QuerySet[Verdict]:
    """Return the verdicts that are counted: of derivatives' legs, and of each asset in each wallet.

    A coin's position is the sum of its balances: it is proven by them, and is no subject of its own.
    """
    return Verdict.objects.exclude(instrument__kind=InstrumentKind.ASSET)


def drifting(*, account: int) -> list[Verdict]:
    """Return the verdicts that say book and venue differ."""
    return list(Verdict.objects.filter(account=account, status__in=["DRIFT", "FAILED"]).order_by("pk"))


def is_certified(*, account: int, before: int) -> bool:
    """Whether an account has a complete run besides that one: facts were once read whole."""
    return Run.objects.filter(account=account, complete=True).exclude(pk=before).exists()


def inferred_since(*, account: int, now: datetime) -> datetime | None:
    """Return the last complete report before the oldest effective inferred fill of the last day; None: none.

    The real fill happened between that report and the inferred one's watermark, wherever the feeds are now.
    """
    fills = effective_entries(account=account).filter(cause="inferred", at__gt=now - timedelta(days=1))
    oldest = fills.order_by("at").values_list("at", flat=True).first()
    if oldest is None:
        return None
    cases = Case.objects.filter(account=account, family=Family.SIZE, opened_at__lte=oldest + SLACK)
    opened = cases.order_by("-opened_at").values_list("run__started_at", flat=True).first() or oldest
    agreed = Run.objects.filter(account=account, complete=True, started_at__lt=opened)
    return agreed.order_by("-started_at").values_list("as_of", flat=True).first()


def effective_entries(*, account: int) -> QuerySet[Entry]:
    """Return an account's entries that count: neither busted, nor a bust or an amend of another one."""
    busted = Entry.objects.filter(account=account, kind="bust").values("target_ref")
    return (
        Entry.objects.filter(account=account)
        .exclude(kind__in=["bust", "amend"])
        .exclude(venue_ref__in=busted)
    )


def newest_reports(*, accounts: Collection[int]) -> dict[int, Run]:
    """Return each account's newest run that could read the venue: its report decides the account's status.

    A later run that could not changes nothing but age.
    """
    return _newest(Run.objects.filter(as_of__isnull=False, finished_at__isnull=False), accounts)


def last_runs(*, accounts: Collection[int]) -> dict[int, Run]:
    """Return each account's newest run, finished or not."""
    return _newest(Run.objects.all(), accounts)


def _newest(runs: QuerySet[Run], accounts: Collection[int]) -> dict[int, Run]:
    """Return the newest of these runs by account. The index gives each at once, where DISTINCT reads all."""
    newest = runs.filter(account=OuterRef("pk")).order_by("-started_at", "-pk").values("pk")[:1]
    keys = Account.objects.filter(pk__in=accounts).annotate(newest=Subquery(newest)).values("newest")
    found = Run.objects.filter(pk__in=keys).select_related("account")
    return {run.account_id: run for run in found}


def verdicts(*, accounts: Collection[int]) -> dict[int, list[Verdict]]:
    """Return the verdicts of each account, in the order in which its legs and wallets were first judged."""
    found: dict[int, list[Verdict]] = {}
    rows = subjects().filter(account__in=accounts).select_related("account", "instrument")
    for row in rows.order_by("pk"):
        found.setdefault(row.account_id, []).append(row)
    return found


def open_cases(*, accounts: Collection[int]) -> dict[int, int]:
    """Return how many cases of each account are open; accounts without one are absent."""
    cases = Case.objects.filter(account__in=accounts, closed_at__isnull=True).order_by()
    return dict(cases.values_list("account").annotate(Count("pk")))


def last_read_run(*, account: int) -> Run | None:
    """Return the newest run of an account that requested facts."""
    runs = Run.objects.filter(account=account, finished_at__isnull=False).exclude(windows={})
    return runs.order_by("-started_at", "-pk").first()


def unread_symbols(*, account: int) -> set[str]:
    """Return the venue symbols of rows that could not be read or booked when facts were last requested."""
    last = last_read_run(account=account)
    windows = last.windows.values() if last else ()
    return {symbol for window in windows for symbol in window["withheld"] if symbol}


@dataclass(slots=True)
class AccountBook:
    """The account's side: legs and balances as of a time, and what is known about their subjects.

    `ids` are instrument ids by venue symbol; `receipts` are the newest facts, each with the symbol of its
    instrument ("": of none); `known` are legs that were ever judged, held or stated.
    """

    at: datetime
    legs: dict[LegKey, LegState] = field(default_factory=dict)
    wallets: dict[WalletKey, WalletState] = field(default_factory=dict)
    ids: dict[str, int] = field(default_factory=dict)
    scopes: dict[str, str] = field(default_factory=dict)
    known: set[LegKey] = field(default_factory=set)
    coins: dict[str, Decimal] = field(default_factory=dict)
    receipts: tuple[tuple[str, FactReceipt], ...] = ()
    opened: bool = False


def book(*, account: Account, at: datetime) -> AccountBook:
    """Return the account's book as of a venue time, from all facts known now."""
    found = AccountBook(at)
    later = Entry.objects.filter(Q(at__gt=at) | Q(amended_at__gt=at), account=account).exists()
    _as_of(found, account, at) if later else _as_it_stands(found, account)
    _known(found, account)
    _activity(found, account)
    found.opened = ledger_opened(account=account.pk)
    return found


def ledger_opened(*, account: int) -> bool:
    """Whether T0 of the account is fixed."""
    opening = Entry.objects.filter(account=account, kind="transfer", cause="opening")
    return opening.exists()


_HELD = (
    "leg", "quantity", "open_cost", "entry_price",
    "instrument__kind", "instrument__base", "instrument__venue_symbol",
)  # fmt: skip


def _as_it_stands(found: AccountBook, account: Account) -> None:
    rows = Position.objects.filter(account=account, status__in=OPEN_STATUSES).select_related("instrument")
    for row in rows.only(*_HELD).order_by("pk"):
        if row.instrument.kind == InstrumentKind.ASSET:
            found.coins[row.instrument.base] = row.quantity
        else:
            key = LegKey(row.instrument.venue_symbol, row.leg)
            found.legs[key] = LegState(row.quantity, row.entry_price)
    for balance in Balance.objects.filter(account=account).order_by("pk"):
        wallet = WalletKey(balance.wallet, balance.asset)
        found.wallets[wallet] = WalletState(balance.amount, balance.unknown_count)


def _as_of(found: AccountBook, account: Account, at: datetime) -> None:
    then = ledger.book_as_of(account=account, at=at)
    coins = set(
        Instrument.objects.filter(
            pk__in=[held.instrument for held in then.positions], kind=InstrumentKind.ASSET
        ).values_list("pk", flat=True)
    )
    for held in then.positions:
        if held.instrument in coins:
            found.coins[held.symbol.removeprefix(COIN_PREFIX)] = held.state.size
        else:
            found.legs[LegKey(held.symbol, held.leg)] = LegState(held.state.size, held.state.entry_price)
    for (wallet, asset), (amount, unknown) in then.balances.items():
        found.wallets[WalletKey(wallet, asset)] = WalletState(amount, unknown)


def _known(found: AccountBook, account: Account) -> None:
    judged = Verdict.objects.filter(account=account, instrument__isnull=False)
    stated = VenueState.objects.filter(account=account, instrument__isnull=False)
    moved = Position.objects.filter(account=account)
    named: set[tuple[str, str]] = set()
    for rows in (judged, stated, moved):
        named |= set(rows.order_by().values_list("instrument__venue_symbol", "leg").distinct())
    found.known = {LegKey(symbol, leg) for symbol, leg in named if not symbol.startswith(COIN_PREFIX)}


def _activity(found: AccountBook, account: Account) -> None:
    """The newest facts, by receipt. A correction has no time of its own: it changes an earlier fact."""
    newest = Entry.objects.filter(account=account).order_by("-sequence")[:LOOKED_BACK]
    rows = newest.values_list("instrument__venue_symbol", "at", "received_at", "target_ref")
    found.receipts = tuple(
        (symbol or "", FactReceipt(None if target else at, received_at))
        for symbol, at, received_at, target in rows
    )


def instruments(*, account: Account, symbols: Collection[str]) -> dict[str, Instrument]:
    """Return the account's instruments of these venue symbols, by symbol."""
    rows = Instrument.objects.filter(**account.world.lookup(), venue_symbol__in=symbols)
    return {row.venue_symbol: row for row in rows}


def open_legs(*, account: Account) -> dict[LegId, OpenLeg]:
    """Return the derivatives that an account holds now, with what comparing them with a report needs."""
    rows = Position.objects.filter(account=account, status__in=OPEN_STATUSES).exclude(
        instrument__kind=InstrumentKind.ASSET
    )
    figures = rows.order_by().values_list(
        "instrument__venue_symbol", "leg", "quantity", "entry_price", "instrument__details",
        "instrument__quantity_step", "instrument__price_tick",
    )  # fmt: skip
    tolerance = _tolerance_by(account)
    return {
        (symbol, leg): OpenLeg(
            quantity, entry_price, str(details.get("scope", "")), tolerance(symbol, step, tick)
        )
        for symbol, leg, quantity, entry_price, details, step, tick in figures
    }


def tolerances(*, account: Account, rows: Iterable[Instrument]) -> dict[str, Tolerance]:
    """Return what each instrument may differ by: its step and tick, the settings, the account's own options.

    `account.options["tolerances"]` may name, by venue symbol or "*", `entry_price_share` and `size_share`.
    """
    tolerance = _tolerance_by(account)
    return {row.venue_symbol: tolerance(row.venue_symbol, row.quantity_step, row.price_tick) for row in rows}


def _tolerance_by(account: Account) -> Callable[[str, Decimal | None, Decimal | None], Tolerance]:
    """Return what makes an instrument's tolerance of its venue symbol, quantity step and price tick."""
    own = account.options.get("tolerances") or {}
    for_all = own.get("*", {})
    by_symbol = {symbol: _shares({**for_all, **shares}) for symbol, shares in own.items()}
    otherwise = _shares(for_all)
    same_average = account.venue in AVERAGE_COST

    def tolerance(venue_symbol: str, step: Decimal | None, tick: Decimal | None) -> Tolerance:
        entry_price_share, size_share = by_symbol.get(venue_symbol, otherwise)
        return _tolerance(step, tick, entry_price_share, size_share, same_average)

    return tolerance


# Most instruments share a few steps and ticks, and a stream asks for all of them again and again.
_tolerance = lru_cache(maxsize=4096)(Tolerance)


def _shares(options: Mapping[str, Any]) -> tuple[Decimal, Decimal]:
    """Return the shares of entry price and of size that options name, else those of the settings."""
    return (
        Decimal(str(options.get("entry_price_share", settings.AVG_PRICE_DIFF_THRESHOLD))),
        Decimal(str(options.get("size_share", settings.SIZE_VALIDATION_THRESHOLD))),
    )


def wallet_tolerances(*, account: Account, assets: Collection[str]) -> dict[str, WalletTolerance]:
    """Return what a balance of each asset may differ by: its precision, and what 0.01 USD buys of it."""
    par = par_currencies()
    coins = [asset for asset in assets if asset not in par]
    prices = ledger.coin_prices(world=account.world, coins=coins)
    found = {asset: WalletTolerance(par=True) for asset in assets if asset in par}
    for coin in coins:
        price = prices.get(coin)
        found[coin] = WalletTolerance(usd_price=price.price if price else None)
    return found


def quarantined_symbols(*, account: int) -> set[str | None]:
    """Return the venue symbols that facts in the quarantine name; None where one names no instrument.

    A repeat of a known fact under other words is one too: the book kept the first, and does not know better.
    """
    rows = QuarantinedEntry.objects.filter(account=account, settled_at__isnull=True)
    return {_symbol_in(content) for content in rows.values_list("content", flat=True)}


def _symbol_in(content: str) -> str | None:
    try:
        plain = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
    named = plain.get("instrument") if isinstance(plain, dict) else None
    return str(named) if named else None


def read_through(*, account: int, feed: str) -> FeedCursor | None:
    """Return how far a feed was read, and when."""
    return FeedCursor.objects.filter(account=account, feed=feed).first()
