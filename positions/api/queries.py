"""The API's queries: positions by name, an episode's entries, accounts and balances."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, TypeVar

from django.conf import settings
from django.db.models import Count, F, Model, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from core.http.inputs import id_of
from positions import queries
from positions.book.money import multiply, rounded
from positions.book.world import World
from positions.models import (
    OPEN_STATUSES,
    Account,
    Balance,
    Entry,
    Instrument,
    InstrumentKind,
    Position,
    PositionEvent,
    Status,
)

Row = TypeVar("Row", bound=Model)
SHOWN_CANDIDATES = 20


class NotFound(LookupError):
    """No position or account of that name is visible to the caller."""


class Ambiguous(LookupError):
    """Several positions have the name. `candidates` are the first of `count`."""

    def __init__(self, *, ref: str, candidates: list[Position], count: int) -> None:
        super().__init__(f"{count} positions answer to {ref!r}: choose one by its id")
        self.candidates, self.count = candidates, count


def seen_by(rows: QuerySet[Row], *, accounts: frozenset[int] | None, field: str = "account") -> QuerySet[Row]:
    """Return those rows that belong to `accounts`; None is all."""
    return rows if accounts is None else rows.filter(**{f"{field}__in": accounts})


def account(*, ref: str | int, accounts: frozenset[int] | None) -> Account:
    """Return an account by id or label. Raises NotFound, also for one that must not be seen."""
    named = Q(pk=int(ref)) if _is_id(ref) else Q(label=str(ref))
    found = seen_by(Account.objects.filter(named), accounts=accounts, field="pk").first()
    if found is None:
        raise NotFound(f"there is no account {ref!r}")
    return found


def of_account(ref: str, *, field: str = "account") -> Q:
    """Return the condition that a row's account (`pk`: the row itself) is the one of this id or label."""
    label = "label" if field == "pk" else f"{field}__label"
    return Q(**{field: int(ref)}) if _is_id(ref) else Q(**{label: ref})


def of_symbol(symbol: str) -> Q:
    """Return the condition that an instrument is written so, with or without its settle currency."""
    return (
        Q(instrument__symbol__iexact=symbol)
        | Q(instrument__symbol__istartswith=f"{symbol}:")
        | Q(instrument__venue_symbol=symbol)
    )


def of_asset(asset: str) -> Q:
    """Return the condition that a position is in an asset: its base, or the common coin behind it."""
    return Q(instrument__base__iexact=asset) | Q(instrument__underlying__iexact=asset)


def position(*, ref: str, accounts: frozenset[int] | None, only_open: bool = False) -> Position:
    """Return a position (as `queries.board()`) by id, symbol (`BTC/USD`, `BTC/USDC:USDC`) or asset (`BTC`).

    A symbol or asset means the open position; without one, the position that ended last. A full symbol wins
    over one without its settle currency. Where no market is named `BTC/USD`, it matches any market of BTC
    against a dollar, and BTC itself.
    Raises NotFound and Ambiguous.
    """
    if "\x00" in ref:
        raise NotFound("no name contains a zero byte")
    rows = seen_by(queries.board(), accounts=accounts)
    if _is_id(ref):
        found = rows.filter(pk=int(ref)).first()
        if found is None:
            raise NotFound(f"there is no position {ref}")
        return found
    for meanings in (_meanings(ref), () if only_open else _in_dollars(ref)):
        for meant in meanings:
            if found := _only(rows.filter(meant, status__in=OPEN_STATUSES), ref):
                return found
        for meant in () if only_open else meanings:
            if found := _only(_last_ended(rows.filter(meant)), ref):
                return found
    raise NotFound(f"there is no {'open ' if only_open else ''}position in {ref!r}")


def named(ref: str, rows: QuerySet[Position]) -> Position:
    """Return the one of these positions with this symbol or asset. Raises NotFound and Ambiguous."""
    for meant in () if "\x00" in ref else _meanings(ref):
        if found := _only(rows.filter(meant), ref):
            return found
    raise NotFound(f"there was no open position in {ref!r} then")


def _meanings(ref: str) -> Sequence[Q]:
    if "/" not in ref:
        return [of_asset(ref) | Q(instrument__venue_symbol__iexact=ref)]
    exact = Q(instrument__symbol__iexact=ref) | Q(instrument__venue_symbol__iexact=ref)
    return [exact, of_symbol(ref)]


def _in_dollars(ref: str) -> Sequence[Q]:
    """Return the condition of `BTC/USD`: a market against any dollar, or the coin itself."""
    base, _, quote = ref.partition("/")
    dollars = Q(instrument__quote__in=settings.PAR_CURRENCIES) | Q(instrument__kind=InstrumentKind.ASSET)
    return [of_asset(base) & dollars] if base and quote.upper() == "USD" else []


def _only(rows: QuerySet[Position], ref: str) -> Position | None:
    found = list(rows.order_by("account__label", "instrument__symbol", "leg", "pk")[: SHOWN_CANDIDATES + 1])
    if len(found) > 1:
        count = len(found) if len(found) <= SHOWN_CANDIDATES else rows.count()
        raise Ambiguous(ref=ref, candidates=found[:SHOWN_CANDIDATES], count=count)
    return found[0] if found else None


def _last_ended(rows: QuerySet[Position]) -> QuerySet[Position]:
    """Return the newest ended episode of each key."""
    later = Position.objects.filter(
        account=OuterRef("account"), instrument=OuterRef("instrument"), leg=OuterRef("leg"),
        closed_at__isnull=False,
    ).order_by("-closed_at", "-pk")  # fmt: skip
    return rows.filter(closed_at__isnull=False, pk=Subquery(later.values("pk")[:1]))


def _is_id(ref: str | int) -> bool:
    return id_of(str(ref)) is not None


def booked_into(*, account: Account, venue_ref: str) -> Position:
    """Return the episode (as `queries.board()`) that a fill by hand was booked into.

    Of a fill on a spot pair that is the base coin's. Raises Position.DoesNotExist, Entry.DoesNotExist.
    """
    entry = Entry.objects.select_related("instrument").get(account=account, venue_ref=venue_ref)
    market = entry.instrument
    key = Q(instrument=market, leg=entry.leg)
    if market is not None and market.kind == InstrumentKind.SPOT:
        coin = Instrument.objects.filter(**market.world.lookup(), kind=InstrumentKind.ASSET, base=market.base)
        key = Q(instrument__in=coin)
    rows = queries.board().filter(key, account=account, opened_at__lte=entry.at).exclude(status=Status.VOID)
    found = rows.order_by("-opened_at", "-pk").first()
    if found is None:
        raise Position.DoesNotExist(f"nothing holds {venue_ref}")
    return found


def open_by_symbol(*, account: Account, symbol: str) -> Position | None:
    """Return the open net position that a fill by hand of a symbol would add to, if there is one."""
    market = queries.instrument(account=account, symbol=symbol)
    return None if market is None else queries.open_leg(account=account.pk, instrument=market.pk)


def entries_of(*, position: Position) -> QuerySet[Entry]:
    """Return the facts of an episode, from its opening to its end; facts without a leg belong to each leg.

    At a moment when one episode ends and the next begins (a flip), both show the fact.
    """
    key = Q(instrument=position.instrument_id) & (Q(leg=position.leg) | Q(leg__isnull=True))
    if position.instrument.kind == InstrumentKind.ASSET:
        key = Q(coins__contains=[f"{position.account_id}/{position.instrument.base}"])
    during = Entry.objects.filter(key, account=position.account_id, at__gte=position.opened_at)
    if position.closed_at:
        during = during.filter(at__lte=position.closed_at)
    return during.select_related("instrument")


def events_of(*, position: Position) -> QuerySet[PositionEvent]:
    """Return what happened to a position."""
    return PositionEvent.objects.filter(position=position)


def accounts(*, accounts: frozenset[int] | None) -> QuerySet[Account]:
    """Return accounts, each with `open_positions`, `entry_count` and `sequence` (its last change)."""
    held = Count("positions", filter=Q(positions__status__in=OPEN_STATUSES))
    rows = seen_by(Account.objects.all(), accounts=accounts, field="pk")
    return rows.annotate(
        open_positions=held,
        entry_count=Coalesce(F("head__entry_count"), 0),
        sequence=Coalesce(F("head__sequence"), 0),
    )


def balances(*, accounts: frozenset[int] | None) -> QuerySet[Balance]:
    """Return balances with their accounts."""
    return seen_by(Balance.objects.select_related("account"), accounts=accounts)


def worth(balances: Iterable[Balance]) -> dict[int, tuple[Decimal, str]]:
    """Return what balances are worth in USD and by whose price, {balance id: (value, source)}.

    Par currencies are 1. What has no price is absent. One query per world.
    """
    par = frozenset(settings.PAR_CURRENCIES)
    worlds: dict[World, list[Balance]] = {}
    found: dict[int, tuple[Decimal, str]] = {}
    for balance in balances:
        if balance.asset in par:
            found[balance.pk] = balance.amount, "par"
        else:
            worlds.setdefault(balance.account.world, []).append(balance)
    for world, held in worlds.items():
        prices = queries.coin_prices(world=world, coins={one.asset for one in held})
        found |= {
            one.pk: (rounded(multiply(one.amount, prices[one.asset].price)), prices[one.asset].source)
            for one in held
            if one.asset in prices
        }
    return found


def episode_filter(values: dict[str, Any]) -> Q:
    """Return the condition of a list's filters; one that is None or empty matches everything."""
    asked = {name: value for name, value in values.items() if value not in (None, "", [])}
    condition = Q()
    for name, value in asked.items():
        condition &= _FILTERS[name](value)
    return condition


_FILTERS: dict[str, Any] = {
    "account": of_account,
    "venue": lambda value: Q(account__venue=value),
    "environment": lambda value: Q(account__environment=value),
    "symbol": of_symbol,
    "asset": of_asset,
    "status": lambda value: Q(status__in=value),
    "strategy": lambda value: Q(strategy=value),
    "tag": lambda value: Q(tags__contains=[value]),
}
