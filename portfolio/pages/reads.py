"""What pages show beside the open board: ended episodes, entries, one position, one account. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from core import paging
from core.templatetags import numbers
from portfolio.live import rows
from portfolio.models import Snapshot
from positions import queries
from positions.api.queries import entries_of
from positions.models import Account, Balance, Entry, InstrumentKind, Position, PositionEvent
from positions.venues.evidence import evidence_of

Figures = Mapping[str, Any]

PAGE = 100
SHOWN = 50  # of a position's or an account's entries and events


@dataclass(frozen=True, slots=True)
class Happening:
    """One line of a position's history, in words."""

    at: datetime
    text: str
    detail: str


@dataclass(frozen=True, slots=True)
class OnePosition:
    """A position with its newest entries and events."""

    row: rows.Row
    entries: list[Entry]
    events: list[Happening]
    superseded_by: int | None


@dataclass(frozen=True, slots=True)
class OneAccount:
    """An account with what it holds and its newest entries."""

    account: Account
    evidence: list[tuple[str, str, str]]
    rows: list[rows.Row]
    balances: list[Balance]
    entries: list[Entry]


def closed(*, cursor: str | None, now: datetime) -> tuple[list[rows.Row], str | None]:
    """A page of ended episodes, last closed first, and the next cursor. Raises core.problems.Problem."""
    ended = queries.board().filter(closed_at__isnull=False, archived_at__isnull=True)
    found, following = paging.page(ended, order=("-closed_at", "-id"), cursor=cursor, limit=PAGE)
    return _detailed(found, now=now), following


def entries(*, cursor: str | None) -> tuple[list[Entry], str | None]:
    """A page of entries, last booked first, and the cursor of the next. Raises core.problems.Problem."""
    booked = Entry.objects.select_related("account", "instrument")
    return paging.page(booked, order=("-id",), cursor=cursor, limit=PAGE)


def position(*, pk: int, now: datetime) -> OnePosition:
    """One position of any status. Raises Position.DoesNotExist."""
    found = queries.board().get(pk=pk)
    events = PositionEvent.objects.filter(position=found).order_by("-pk")[:SHOWN]
    return OnePosition(
        row=_detailed([found], now=now)[0],
        entries=list(entries_of(position=found).order_by("-at", "-pk")[:SHOWN]),
        events=[_happening(event, found) for event in events],
        superseded_by=found.superseded_by_id,
    )


def _evidence(venue: str) -> list[tuple[str, str, str]]:
    """(what is read, on what our reading of it rests, what its reader should know), by method."""
    return [(method.value, one.evidence.value, one.note) for method, one in evidence_of(venue).items()]


def account(*, pk: int, now: datetime) -> OneAccount:
    """One account. Raises Account.DoesNotExist."""
    found = Account.objects.get(pk=pk)
    held = rows.rows(queries.open_positions().filter(account=found), now=now)
    newest = Entry.objects.filter(account=found).select_related("account", "instrument").order_by("-pk")
    return OneAccount(
        account=found,
        evidence=[] if found.is_manual else _evidence(found.venue),
        rows=[rows.painted(row, now=now) for row in held],
        balances=list(Balance.objects.filter(account=found).exclude(amount=0, unknown_count=0)),
        entries=list(newest[:SHOWN]),
    )


def standings() -> list[Snapshot]:
    """Each account's newest snapshot, by environment and name."""
    newest = Snapshot.objects.order_by("account_id", "-at").distinct("account_id").select_related("account")
    return sorted(newest, key=lambda one: (one.account.environment, one.account.label))


def _detailed(positions: Iterable[Position], *, now: datetime) -> list[rows.Row]:
    """Rows with what only pages show; times are datetimes here, `held` is seconds."""
    found = list(positions)
    sides = _sides(found)
    plain = rows.rows(found, now=now)
    return [
        rows.painted(row, now=now)
        | {
            "side": sides.get(one.pk, str(row["side"])),
            "side_label": sides.get(one.pk, str(row["side"])).title(),
            "peak": one.peak_quantity,
            "exit": one.exit_price,
            "opened_at": one.opened_at,
            "closed_at": one.closed_at,
            "held": ((one.closed_at or now) - one.opened_at).total_seconds(),
            "entry_count": one.entry_count,
        }
        for one, row in zip(found, plain, strict=True)
    ]


def _sides(positions: Iterable[Position]) -> dict[int, str]:
    """What flat episodes were, by the sign of the entry that opened them."""
    flat = [one for one in positions if not one.quantity]
    opening = Entry.objects.filter(
        account__in={one.account_id for one in flat}, venue_ref__in={one.opening_ref for one in flat}
    )
    signs = {(entry.account_id, entry.venue_ref): entry.quantity for entry in opening}
    sides = {}
    for one in flat:
        quantity = signs.get((one.account_id, one.opening_ref))
        if one.instrument.kind == InstrumentKind.ASSET:
            sides[one.pk] = "long"
        elif quantity:
            sides[one.pk] = "long" if quantity > 0 else "short"
    return sides


def _happening(event: PositionEvent, found: Position) -> Happening:
    told = [event.source, event.who, event.reason, f"trace {event.trace_id[:8]}" if event.trace_id else ""]
    return Happening(at=event.at, text=_words(event, found), detail=" · ".join(part for part in told if part))


def _words(event: PositionEvent, found: Position) -> str:
    step, tick, unit = found.instrument.quantity_step, found.instrument.price_tick, found.instrument.base
    before, after = event.before or {}, event.after or {}
    size = f"{numbers.quantity(after.get('quantity'), step)} {unit}"
    if event.kind == "changed":
        return _moved(before, after, size, step)
    realized = numbers.signed(after.get("realized_pnl"))
    words = {
        "opened": f"Opened {size} at {numbers.price(after.get('entry_price'), tick)}" if after else "Opened",
        "closed": f"Closed, realized {realized}",
        "liquidated": f"Liquidated, realized {realized}",
        "corrected": f"Corrected by a late or amended entry: now {size}",
        "voided": "Dissolved: a late entry changed how the entries fold",
    }
    return words.get(event.kind, event.kind)


def _moved(before: Figures, after: Figures, size: str, step: Decimal | None) -> str:
    """What entries did to an open position: its size, or only its sums."""
    old, new = Decimal(before["quantity"]), Decimal(after["quantity"])
    by = numbers.quantity(abs(abs(new) - abs(old)), step)
    realized = Decimal(after["realized_pnl"]) - Decimal(before["realized_pnl"])
    if abs(new) > abs(old):
        return f"Increased by {by} to {size}"
    if abs(new) < abs(old):
        return f"Reduced by {by} to {size}, realized {numbers.signed(realized)}"
    net = Decimal(after["net_pnl"]) - Decimal(before["net_pnl"])
    return f"Funding, fee or interest: net {numbers.signed(net)}"
