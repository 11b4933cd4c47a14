"""Reads the positions that a price may liquidate soon, and what venues closed by force."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection
from django.db.models import Exists, OuterRef

from portfolio.alerts.marks import PriceAt
from portfolio.alerts.proof_inputs import leg_place
from portfolio.alerts.snapshot import LeveragedPosition, LiquidationFill, WatchedAccount
from positions.book.money import multiply
from positions.ledger.instruments import par_currencies
from positions.models import OPEN_STATUSES, Entry, Instrument, InstrumentKind, Position
from positions.models.names import display_name
from positions.risk.bands import DEFAULT_LADDER

WITHIN = timedelta(days=1)
FORCED = ("liquidation", "adl")

# Most positions are far from liquidation: Postgres leaves them out. A price on the live log that is newer
# than the stored one counts; a venue's word on the other side of a flip does not.
_NEAR = """
WITH fresh AS (
    SELECT * FROM unnest(%(instruments)s::bigint[], %(prices)s::numeric[], %(times)s::timestamptz[])
        AS fresh(instrument_id, price, at)
), held AS (
    SELECT p.id, p.account_id, p.quantity, p.instrument_id,
           i.kind, i.base, i.quote, i.settle, i.multiplier, i.expires_at,
           CASE WHEN f.at > m.at OR m.at IS NULL THEN f.price ELSE m.price END AS mark,
           GREATEST(f.at, m.at) AS mark_at,
           CASE WHEN (s.quantity IS NULL OR s.quantity * p.quantity > 0) AND s.liquidation_price > 0
                THEN s.liquidation_price END AS liq,
           COALESCE(s.no_liquidation, false) AS no_liquidation, s.received_at AS stated_at
    FROM positions_position p
    JOIN positions_instrument i ON i.id = p.instrument_id
    LEFT JOIN positions_mark m ON m.instrument_id = i.id
    LEFT JOIN fresh f ON f.instrument_id = i.id
    LEFT JOIN positions_venuestate s
        ON s.account_id = p.account_id AND s.instrument_id = p.instrument_id AND s.leg = p.leg
    WHERE p.status = ANY(%(open)s) AND p.account_id = ANY(%(accounts)s) AND i.kind = ANY(%(kinds)s)
)
SELECT * FROM held
WHERE id = ANY(%(wanted)s)
   OR sign(quantity) * (mark - liq) * 100 <= %(reach)s * mark
ORDER BY id
"""


def near(
    *,
    accounts: Mapping[int, str],
    marks: Mapping[int, PriceAt],
    wanted: Collection[int],
    reach: Decimal | None,
) -> tuple[LeveragedPosition, ...]:
    """Return the open positions whose liquidation is within `reach` percent, and those `wanted`."""
    with connection.cursor() as cursor:
        cursor.execute(
            _NEAR,
            {
                "instruments": list(marks),
                "prices": [price for price, _ in marks.values()],
                "times": [at for _, at in marks.values()],
                "open": [str(status) for status in OPEN_STATUSES],
                "accounts": list(accounts),
                "kinds": [InstrumentKind.LINEAR.value, InstrumentKind.INVERSE.value],
                "wanted": f"{{{','.join(map(str, wanted))}}}",  # a list of thousands is slow to quote
                "reach": max(reach or DEFAULT_LADDER.watch_pct, DEFAULT_LADDER.watch_pct),
            },
        )
        names = [column.name for column in cursor.description or ()]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    par = par_currencies()
    named = {pk: _name(row) for pk, row in {row["instrument_id"]: row for row in rows}.items()}
    return tuple(
        _position(row, accounts[row["account_id"]], named[row["instrument_id"]], par) for row in rows
    )


def _name(row: Mapping[str, Any]) -> str:
    return display_name(
        Instrument(kind=row["kind"], base=row["base"], quote=row["quote"], expires_at=row["expires_at"])
    )


def _position(row: Mapping[str, Any], label: str, name: str, par: Collection[str]) -> LeveragedPosition:
    return LeveragedPosition(
        id=row["id"],
        account=row["account_id"],
        label=label,
        instrument=row["instrument_id"],
        name=name,
        quantity=row["quantity"],
        mark_price=row["mark"],
        mark_at=row["mark_at"],
        liquidation_price=row["liq"],
        no_liquidation=row["no_liquidation"],
        stated_at=row["stated_at"],
        notional=_notional(row, par),
    )


def _notional(row: Mapping[str, Any], par: Collection[str]) -> Decimal | None:
    """Return what a position is worth in USD; an inverse one's contracts are of the quote currency."""
    contracts = multiply(abs(row["quantity"]), row["multiplier"])
    if row["kind"] == InstrumentKind.INVERSE:
        return contracts if row["quote"] in par else None
    if row["settle"] not in par or row["mark"] is None:
        return None
    return multiply(contracts, row["mark"]).quantize(Decimal("1e-8"))


def liquidations(*, accounts: Mapping[int, WatchedAccount], now: datetime) -> tuple[LiquidationFill, ...]:
    """Return what venues closed by force within the last day, by leg."""
    busted = Entry.objects.filter(account=OuterRef("account"), kind="bust", target_ref=OuterRef("venue_ref"))
    rows = (
        Entry.objects.filter(account__in=list(accounts), at__gt=now - WITHIN, kind="fill", cause__in=FORCED)
        .exclude(Exists(busted))
        .select_related("instrument")
        .defer("content", "digest")
        .order_by("at", "pk")
    )
    by_leg: dict[tuple[int, int, str], list[Entry]] = {}
    for row in rows:
        if row.instrument_id is not None and row.quantity is not None:
            by_leg.setdefault((row.account_id, row.instrument_id, row.leg or "net"), []).append(row)
    positions = _newest_positions(by_leg)
    return tuple(
        _liquidation(fills, accounts[key[0]].label, positions.get(key)) for key, fills in by_leg.items()
    )


def _newest_positions(legs: Iterable[tuple[int, int, str]]) -> dict[tuple[int, int, str], int]:
    keys = list(legs)
    if not keys:
        return {}
    rows = Position.objects.filter(
        account__in={key[0] for key in keys}, instrument__in={key[1] for key in keys}
    ).order_by("pk")
    return {
        (row[0], row[1], row[2]): row[3] for row in rows.values_list("account", "instrument", "leg", "pk")
    }


def _liquidation(fills: list[Entry], label: str, position: int | None) -> LiquidationFill:
    last = fills[-1]
    instrument = last.instrument
    if instrument is None or last.instrument_id is None:
        raise ValueError("a fill without an instrument")
    quantity = sum((row.quantity or Decimal(0) for row in fills), Decimal(0))
    leg = last.leg or "net"
    name = display_name(instrument)
    return LiquidationFill(
        account=last.account_id,
        label=label,
        instrument=last.instrument_id,
        place=leg_place(last.instrument_id, leg),
        name=name if leg == "net" else f"{name} {leg}",
        cause=last.cause,
        quantity=quantity,
        price=last.price,
        usd=_usd(fills, instrument),
        at=last.at,
        position=position,
    )


def _usd(fills: Iterable[Entry], instrument: Instrument) -> Decimal | None:
    if instrument.settle not in par_currencies():
        return None
    total = Decimal(0)
    for row in fills:
        if row.quantity is None or row.price is None:
            return None
        total += multiply(multiply(abs(row.quantity), instrument.multiplier), row.price)
    return total.quantize(Decimal("1e-8"))
