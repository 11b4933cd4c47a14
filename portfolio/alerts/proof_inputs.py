"""Reads the verdicts that alerts are about: what drifts, what open alerts speak of, and the oldest proofs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from decimal import Decimal

from portfolio.alerts.causes import account_subject
from portfolio.alerts.conditions import AlertKey, OpenAlert
from portfolio.alerts.snapshot import JudgedSubject, ValueCase, WatchedAccount
from positions import queries as ledger
from positions.book.world import World
from positions.ledger.instruments import contract_of, par_currencies
from positions.models import OPEN_STATUSES, Instrument, Mark, Position
from reconciliation.models import Case, Verdict, VerdictStatus
from reconciliation.queries import subjects as judged
from reconciliation.rules.compare import Family

DIFFERS = (VerdictStatus.DRIFT, VerdictStatus.FAILED)


def leg_place(instrument: int, leg: str) -> str:
    """Return how subjects of alerts name a leg within its account."""
    return f"instrument:{instrument}/{leg or 'net'}"


def place_of(row: Verdict | Case) -> str:
    """Return how subjects of alerts name what a verdict or a case is about, within its account."""
    if row.instrument_id is None:
        return f"wallet:{row.wallet}/{row.asset}"
    return leg_place(row.instrument_id, row.leg)


def subjects(
    *,
    accounts: Mapping[int, WatchedAccount],
    open_alerts: Mapping[AlertKey, OpenAlert],
    proven_since: datetime,
) -> tuple[JudgedSubject, ...]:
    """Return what differs, what open alerts speak of, and each account's oldest proof if it is older."""
    spoken = {key.subject for key in open_alerts if key.kind in ("drift", "unresolved")}
    involved = {alert.account for key, alert in open_alerts.items() if key.subject in spoken}
    rows = judged().select_related("account", "instrument")
    found = {row.pk: row for row in rows.filter(status__in=DIFFERS).order_by("pk")}
    if spoken:
        others = rows.filter(account__in=involved).exclude(status__in=DIFFERS)
        found |= {
            row.pk: row
            for row in others.order_by("pk")
            if f"{account_subject(row.account_id)}/{place_of(row)}" in spoken
        }
    oldest = rows.filter(account__in=list(accounts), as_of__lt=proven_since).exclude(status__in=DIFFERS)
    for row in oldest.order_by("account_id", "as_of", "pk").distinct("account_id"):
        found.setdefault(row.pk, row)
    differing = [row for row in found.values() if row.status in DIFFERS]
    cases, prices, held = _cases(differing), _prices(differing), _held(differing)
    return tuple(
        JudgedSubject(
            account=row.account_id,
            label=row.account.label,
            place=place_of(row),
            name=row.name,
            status=row.status,
            as_of=row.as_of,
            seen_as_of=row.seen_as_of,
            run=row.run_id,
            differences=tuple(row.suspected),
            price=prices.get(row.pk),
            quantity=held.get(_leg(row), (None, None))[1],
            instrument=row.instrument_id,
            position=held.get(_leg(row), (None, None))[0],
            case=cases.get((row.account_id, place_of(row))),
        )
        for row in found.values()
    )


def value_cases(accounts: Mapping[int, WatchedAccount]) -> tuple[ValueCase, ...]:
    """Return the open cases about what watched accounts were worth."""
    found = Case.objects.filter(account__in=list(accounts), family=Family.VALUE, closed_at__isnull=True)
    return tuple(
        ValueCase(
            id=one.pk,
            account=one.account_id,
            label=accounts[one.account_id].label,
            difference=one.differences[0],
            run=one.run_id,
        )
        for one in found.order_by("pk")
    )


def _leg(row: Verdict) -> tuple[int, int | None, str]:
    return row.account_id, row.instrument_id, row.leg


def _cases(rows: Collection[Verdict]) -> dict[tuple[int, str], int]:
    """Return the open cases by account and place; of several of one place the first opened."""
    if not rows:
        return {}
    opened = Case.objects.filter(account__in={row.account_id for row in rows}, closed_at__isnull=True)
    return {(row.account_id, place_of(row)): row.pk for row in opened.order_by("-pk")}


def _held(
    rows: Collection[Verdict],
) -> dict[tuple[int, int | None, str], tuple[int | None, Decimal | None]]:
    legs = [row for row in rows if row.instrument_id is not None]
    if not legs:
        return {}
    positions = Position.objects.filter(
        account__in={row.account_id for row in legs},
        instrument__in={row.instrument_id for row in legs},
        status__in=OPEN_STATUSES,
    ).order_by("pk")
    return {
        (account, instrument, leg): (pk, quantity)
        for account, instrument, leg, pk, quantity in positions.values_list(
            "account", "instrument", "leg", "pk", "quantity"
        )
    }


def _prices(rows: Collection[Verdict]) -> dict[int, Decimal]:
    """Return what a unit of each subject is worth in USD, where that is known, by verdict."""
    par = par_currencies()
    legs = [row for row in rows if row.instrument_id is not None]
    marks = dict(
        Mark.objects.filter(instrument__in={row.instrument_id for row in legs}).values_list(
            "instrument", "price"
        )
        if legs
        else ()
    )
    found = {}
    for row in legs:
        price = None if row.instrument is None else marks.get(row.instrument.pk)
        worth = None if price is None or row.instrument is None else _unit(row.instrument, price, par)
        if worth is not None:
            found[row.pk] = worth
    return found | _coins([row for row in rows if row.instrument_id is None], par)


def _unit(instrument: Instrument, price: Decimal, par: Collection[str]) -> Decimal | None:
    """Return what one unit of a market is worth in USD."""
    contract = contract_of(instrument)
    notional = contract.notional(Decimal(1), price)
    if contract.settle in par:
        return notional
    return Decimal(instrument.multiplier) if instrument.quote in par else None


def _coins(rows: Iterable[Verdict], par: Collection[str]) -> dict[int, Decimal]:
    found, wanted = {}, dict[World, list[Verdict]]()
    for row in rows:
        if row.asset in par:
            found[row.pk] = Decimal(1)
        else:
            wanted.setdefault(row.account.world, []).append(row)
    for world, held in wanted.items():
        prices = ledger.coin_prices(world=world, coins={row.asset for row in held})
        found |= {row.pk: prices[row.asset].price for row in held if row.asset in prices}
    return found
