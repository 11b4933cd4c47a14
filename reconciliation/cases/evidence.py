"""Reads the facts that a diagnosis needs: the entries around a difference, and the venue's last state."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson
from django.db.models import QuerySet

from positions import queries as ledger
from positions.ledger.instruments import COIN_PREFIX, par_currencies
from positions.models import OPEN_STATUSES, Account, Entry, Mark, Position
from reconciliation.cases import opening
from reconciliation.models import Case, Run, Verdict
from reconciliation.queries import effective_entries, wallet_tolerances
from reconciliation.rules.causes import DriftEntry, DriftRecord, OtherBalance
from reconciliation.rules.compare import OF_CASH, OF_SIZE, Difference, DifferenceKind, Family, WalletKey
from reconciliation.rules.opening import OpeningOverlap

LOOKED_AT = 200
RUNS_LOOKED_AT = 10


def around(*, account: Account, verdict: Verdict, difference: Difference, run: Run) -> DriftRecord:
    """Return the facts around one difference of a verdict."""
    seen_at = verdict.seen_as_of or run.started_at
    subject = (
        str(verdict.instrument.venue_symbol) if verdict.instrument else f"{verdict.wallet}/{verdict.asset}"
    )
    return DriftRecord(
        difference=difference,
        # Later ones are in no report that shows the difference.
        lines=[
            _line(row) for row in reversed(_entries(account, verdict).filter(at__lte=seen_at)[:LOOKED_AT])
        ],
        seen_at=seen_at,
        record=f"report {account.venue}/{subject}@{seen_at.isoformat()}",
        persists=verdict.repaired_as_of is not None and seen_at > verdict.repaired_as_of,
        proven_at=verdict.as_of or _flat_until(account, run),
        **(_of_wallet(account, verdict) if verdict.instrument is None else _of_leg(account, verdict)),
    )


def _flat_until(account: Account, run: Run) -> datetime | None:
    """Return the time of the last complete report before a subject first showed: it was flat until then."""
    earlier = Run.objects.filter(account=account, complete=True).exclude(pk=run.pk)
    return earlier.order_by("-started_at", "-pk").values_list("as_of", flat=True).first()


def _of_leg(account: Account, verdict: Verdict) -> dict[str, Any]:
    instrument = verdict.instrument
    assert instrument is not None
    mark = Mark.objects.filter(instrument=instrument).first()
    held = Position.objects.filter(account=account, instrument=instrument, leg=verdict.leg)
    open_ = held.filter(status__in=OPEN_STATUSES).first()
    return {
        "step": instrument.quantity_step,
        "mark": mark.price if mark else None,
        "liquidation_price": _liquidation_price(account, verdict),
        "entry_price": open_.entry_price if open_ else None,
        "cash": _cash_of(account, verdict),
    }


def _liquidation_price(account: Account, verdict: Verdict) -> Decimal | None:
    """Return the price that the venue last stated: it states none any more for a leg that is gone."""
    instrument = verdict.instrument
    runs = Run.objects.filter(account=account, as_of__isnull=False).order_by("-started_at", "-pk")
    for run in runs.only("legs")[:RUNS_LOOKED_AT]:
        for line in run.legs:
            stated = line.get("venue") or {}
            mine = instrument and (line["symbol"], line["leg"]) == (instrument.venue_symbol, verdict.leg)
            if mine and stated.get("liquidation_price"):
                return Decimal(stated["liquidation_price"])
    return None


def _cash_of(account: Account, verdict: Verdict) -> Decimal | None:
    """Return what the leg's settlement wallet is off by; None where another leg may have moved it."""
    instrument = verdict.instrument
    fill = Entry.objects.filter(account=account, instrument=instrument, kind="fill").exclude(wallet="")
    wallet = fill.order_by("-at").values_list("wallet", flat=True).first()
    if instrument is None or wallet is None or len(_differing(account, OF_SIZE)) != 1:
        return None
    mine = Verdict.objects.filter(account=account, wallet=wallet, asset=instrument.settle).first()
    return sum((_amount(stored) for stored in mine.suspected), Decimal(0)) if mine else None


def _differing(account: Account, kinds: tuple[DifferenceKind, ...]) -> list[Verdict]:
    """Return the account's verdicts that show a difference of these kinds."""
    names = {kind.value for kind in kinds}
    rows = Verdict.objects.filter(account=account).exclude(suspected=[]).select_related("instrument")
    return [row for row in rows.order_by("pk") if any(stored["kind"] in names for stored in row.suspected)]


def _amount(stored: dict[str, Any]) -> Decimal:
    return Difference.from_plain(stored).amount


def _of_wallet(account: Account, verdict: Verdict) -> dict[str, Any]:
    legs = Position.objects.filter(account=account, status__in=OPEN_STATUSES).exclude(
        instrument__venue_symbol__startswith=COIN_PREFIX
    )
    rows = list(legs.select_related("instrument").order_by("pk"))
    others = [row for row in _differing(account, OF_CASH) if row.instrument is None and row.pk != verdict.pk]
    coins = [row.asset for row in (verdict, *others)]
    prices = ledger.coin_prices(world=account.world, coins=coins)
    price = prices.get(verdict.asset)
    return {
        "overlap": _overlap(account, verdict),
        "of_legs": _of_legs(account),
        "notional": sum((abs(row.open_cost) for row in rows if row.open_cost is not None), Decimal(0)),
        "coin": verdict.asset not in par_currencies(),
        "mark": price.price if price else None,
        "legs": [row.instrument.venue_symbol for row in rows],
        "others": [
            OtherBalance(
                name=row.name,
                amount=_amount(stored),
                left=Decimal(stored["venue"] or 0),
                usd_price=prices[row.asset].price if row.asset in prices else None,
            )
            for row in others
            for stored in row.suspected
        ],
    }


def _overlap(account: Account, verdict: Verdict) -> OpeningOverlap | None:
    """Return the facts near the T0 of a wallet that was never proven, where they explain its difference."""
    if not verdict.suspected:
        return None
    key = WalletKey(verdict.wallet, verdict.asset)
    allowed = wallet_tolerances(account=account, assets=[key.asset])[key.asset].allowed
    missing = sum((_amount(stored) for stored in verdict.suspected), Decimal(0))
    return opening.overlap(
        account=account, wallet=key, missing=missing, allowed=allowed, proven_at=verdict.as_of
    )


def _of_legs(account: Account) -> list[tuple[str, str]]:
    """Return (cause, case) of the account's legs that differ in size.

    Their cases are opened before those of balances.
    """
    cases = Case.objects.filter(account=account, closed_at__isnull=True, family=Family.SIZE).order_by("-pk")
    return [(case.diagnosis[0]["cause"], str(case)) for case in cases if case.diagnosis]


def _entries(account: Account, verdict: Verdict) -> QuerySet[Entry]:
    """Return the subject's effective entries (not busted), the newest first."""
    rows = effective_entries(account=account.pk).select_related("instrument").order_by("-at", "-sequence")
    if verdict.instrument is not None:
        return rows.filter(instrument=verdict.instrument, leg__in=[verdict.leg])
    return rows.filter(wallet=verdict.wallet)


def _line(row: Entry) -> DriftEntry:
    return DriftEntry(
        ref=row.venue_ref,
        kind=row.kind,
        cause=row.cause,
        at=row.at,
        quantity=row.quantity,
        price=row.price,
        fee=row.fee,
        amount=row.amount,
        before=before_of(row),
        symbol=row.instrument.venue_symbol if row.instrument else "",
        received_at=row.received_at,
    )


def before_of(row: Entry) -> Decimal | None:
    """Return the size that the venue states before a fill; it is kept in the entry's content only."""
    stated = orjson.loads(row.content).get("position_before")
    return None if stated is None else Decimal(stated)
