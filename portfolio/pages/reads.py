"""What pages show beside the board: closed positions, entries, one position or account, feeds. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import OuterRef, Q, QuerySet, Subquery

from core.api import paging
from core.templatetags import numbers
from portfolio.api import overview
from portfolio.live import rows
from portfolio.live.own_liquidation import OwnLiquidation, own_liquidation
from portfolio.models import AccountSnapshot
from portfolio.pages.waterfall import bars
from positions import queries
from positions.api.queries import entries_of
from positions.labels import EVIDENCE_GRADES, FEED_STATES
from positions.models import Account, Balance, Entry, InstrumentKind, Position, PositionEvent
from positions.sync.feeds import NOBODY
from positions.venues.base import Evidence
from positions.venues.evidence import evidence_of

Figures = Mapping[str, Any]

PAGE = 100
SHOWN_BY_HAND = 10
SHOWN = 50  # of a position's or an account's entries and events


@dataclass(frozen=True, slots=True)
class PositionHistoryLine:
    """One event of a position, in words."""

    at: datetime
    text: str
    detail: str


@dataclass(frozen=True, slots=True)
class PositionDetail:
    """A position with its newest entries and events."""

    row: rows.Row
    entries: list[Entry]
    events: list[PositionHistoryLine]
    superseded_by: int | None
    own_liquidation: OwnLiquidation | None
    by_hand: list[Entry]


@dataclass(frozen=True, slots=True)
class EvidenceLine:
    """What proves one of our methods of reading a venue; `level` watch: nothing does, plain: no chip."""

    method: str
    text: str
    level: str
    note: str


@dataclass(frozen=True, slots=True)
class FeedLine:
    """One account's feed as the table shows it, its chip first. Times are ISO 8601; None: not known.

    `progress` is that of a backfill: {"feed", "booked", "of"}.
    """

    text: str
    level: str
    account_id: int
    account: str
    environment: str
    polled: bool
    since: str | None
    last_event: str | None
    progress: Mapping[str, Any] | None
    oldest_price: str | None
    proven_at: str | None
    problems: list[str]


@dataclass(frozen=True, slots=True)
class AccountDetail:
    """An account with what it holds and its newest entries."""

    account: Account
    evidence: list[EvidenceLine]
    rows: list[rows.Row]
    balances: list[Balance]
    entries: list[Entry]


def closed_positions() -> QuerySet[Position]:
    """Return all closed positions that the page lists."""
    return queries.board().filter(closed_at__isnull=False, archived_at__isnull=True)


def all_entries() -> QuerySet[Entry]:
    """Return every entry with what a list shows of it."""
    return Entry.objects.select_related("account", "instrument")


def closed(
    wanted: QuerySet[Position], *, cursor: str | None, now: datetime
) -> tuple[list[rows.Row], str | None]:
    """Return a page of these closed positions, last closed first, and the next cursor. Raises Problem."""
    found, following = paging.page(wanted, order=("-closed_at", "-id"), cursor=cursor, limit=PAGE)
    return _detailed(found, now=now), following


def entries(wanted: QuerySet[Entry], *, cursor: str | None) -> tuple[list[Entry], str | None]:
    """Return a page of these entries, last booked first, and the next cursor. Raises Problem."""
    return paging.page(wanted, order=("-id",), cursor=cursor, limit=PAGE)


def position(*, pk: int, now: datetime, newest: int = SHOWN) -> PositionDetail:
    """Return one position of any status with its newest entries and events. Raises Position.DoesNotExist."""
    found = queries.board().get(pk=pk)
    events = PositionEvent.objects.filter(position=found).order_by("-pk")[:newest]
    row = _detailed([found], now=now)[0]
    return PositionDetail(
        row=row | {"bars": bars(row)},
        entries=list(entries_of(position=found).order_by("-at", "-pk")[:newest]),
        events=[_history_line(event, found) for event in events],
        superseded_by=found.superseded_by_id,
        own_liquidation=own_liquidation(found) if found.quantity else None,
        by_hand=_by_hand(found),
    )


def _by_hand(position: Position) -> list[Entry]:
    """Return the newest fills of a position that were booked by hand and not taken back."""
    made = entries_of(position=position).filter(kind="fill", cause="manual").order_by("-at", "-pk")
    found = list(made[:SHOWN_BY_HAND])
    if not found:
        return []
    busts = Entry.objects.filter(
        account=position.account_id, kind="bust", target_ref__in=[one.venue_ref for one in found]
    )
    taken_back = set(busts.values_list("target_ref", flat=True))
    return [one for one in found if one.venue_ref not in taken_back]


def _evidence(venue: str) -> list[EvidenceLine]:
    return [
        EvidenceLine(
            method=method.value,
            text=EVIDENCE_GRADES[capability.evidence.value],
            level="watch" if capability.evidence is Evidence.UNPROVEN else "plain",
            note=capability.note,
        )
        for method, capability in evidence_of(venue).items()
    ]


def account(*, pk: int, now: datetime) -> AccountDetail:
    """Return one account. Raises Account.DoesNotExist."""
    found = Account.objects.get(pk=pk)
    held = rows.rows(queries.open_positions().filter(account=found), now=now)
    newest = Entry.objects.filter(account=found).select_related("account", "instrument").order_by("-pk")
    return AccountDetail(
        account=found,
        evidence=[] if found.is_manual else _evidence(found.venue),
        rows=[rows.painted(row, now=now) for row in held],
        balances=list(Balance.objects.filter(account=found).exclude(amount=0, unknown_count=0)),
        entries=list(newest[:SHOWN]),
    )


def newest_snapshots(*, environment: str, now: datetime) -> list[AccountSnapshot]:
    """Return the newest snapshot of each account of an environment, by name; none that is a day old."""
    newest = AccountSnapshot.objects.filter(account=OuterRef("pk"), at__gt=now - timedelta(days=1))
    found = Account.objects.filter(environment=environment).annotate(
        last=Subquery(newest.order_by("-at").values("at")[:1])
    )
    wanted = Q()
    for pk, at in found.filter(last__isnull=False).values_list("pk", "last"):
        wanted |= Q(account=pk, at=at)
    if not wanted:
        return []
    rows = AccountSnapshot.objects.filter(wanted).select_related("account")
    return sorted(rows, key=lambda one: one.account.label)


def feeds(*, accounts: frozenset[int] | None, now: datetime) -> list[FeedLine]:
    """Return the feeds of these accounts (None: of all) except those kept by hand, which have none."""
    found: list[dict[str, Any]] = overview.health(accounts=accounts, now=now)["accounts"]
    return [_feed_line(account, now) for account in found if account["state"] != "manual"]


def _feed_line(account: Mapping[str, Any], now: datetime) -> FeedLine:
    stream = account["stream"] or {}
    streamed = bool(stream) and stream["reason"] != NOBODY
    text, level = _feed_chip(account["state"], stream["state"] if streamed else "unwatched")
    waiting = account["quarantined"]
    return FeedLine(
        text=text,
        level=level,
        account_id=account["account_id"],
        account=account["account"],
        environment=account["environment"],
        polled=streamed and not stream["streams"],
        since=stream.get("since"),
        last_event=stream.get("last_event"),
        progress=stream.get("progress"),
        oldest_price=_iso(_before(now, account["oldest_mark_age_seconds"])),
        proven_at=_iso(account["last_reconciliation_at"]),
        problems=[*account["problems"], *([f"{waiting} facts in quarantine"] if waiting else [])],
    )


def _feed_chip(account_state: str, feed_state: str) -> tuple[str, str]:
    """Return label and level; an account that is switched off or paused has no other state."""
    if account_state in ("disabled", "paused"):
        return FEED_STATES[account_state], ""
    return FEED_STATES[feed_state], "ok" if feed_state == "live" else "watch"


def _before(now: datetime, seconds: float | None) -> datetime | None:
    """Return the time so many seconds ago, to the second: the same moment reads the same a second later."""
    if seconds is None:
        return None
    return (now - timedelta(seconds=seconds) + timedelta(milliseconds=500)).replace(microsecond=0)


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _detailed(positions: Iterable[Position], *, now: datetime) -> list[rows.Row]:
    """Return rows with what only pages show; times are datetimes here, `held` is seconds."""
    found = list(positions)
    sides = _sides(found)
    plain = rows.rows(found, now=now)
    return [
        rows.painted(row, now=now)
        | {
            "side": sides.get(one.pk, str(row["side"])),
            "side_label": sides.get(one.pk, str(row["side"])).title(),
            "peak_quantity": one.peak_quantity,
            "exit_price": one.exit_price,
            "opened_at": one.opened_at,
            "closed_at": one.closed_at,
            "held": ((one.closed_at or now) - one.opened_at).total_seconds(),
            "entry_count": one.entry_count,
            "currency_note": _currency_note(row),
        }
        for one, row in zip(found, plain, strict=True)
    ]


def _currency_note(row: rows.Row) -> str:
    """Return fees and funding by currency, where one currency does not tell all; else ""."""
    fees, funding = row["fees_title"], row["funding_title"]
    if " + " not in f"{fees}{funding}" and "unknown" not in fees:
        return ""
    parts = [f"Fees {fees}." if fees else "", f"Funding {funding}." if funding else ""]
    return " ".join(part for part in parts if part)


def _sides(positions: Iterable[Position]) -> dict[int, str]:
    """Return whether flat positions were long or short, by the sign of the entry that opened them."""
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


def _history_line(event: PositionEvent, found: Position) -> PositionHistoryLine:
    trace = f"trace {event.trace_id[:8]}" if event.trace_id else ""
    parts = [part for part in (event.source, event.who, event.reason, trace) if part]
    return PositionHistoryLine(at=event.at, text=_words(event, found), detail=" · ".join(parts))


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
        "voided": "Dissolved: a late entry changed what the entries add up to",
    }
    return words.get(event.kind, event.kind)


def _moved(before: Figures, after: Figures, size: str, step: Decimal | None) -> str:
    """Return what entries did to an open position: to its size, or only to its sums."""
    old, new = Decimal(before["quantity"]), Decimal(after["quantity"])
    by = numbers.quantity(abs(abs(new) - abs(old)), step)
    realized = Decimal(after["realized_pnl"]) - Decimal(before["realized_pnl"])
    if abs(new) > abs(old):
        return f"Increased by {by} to {size}"
    if abs(new) < abs(old):
        return f"Reduced by {by} to {size}, realized {numbers.signed(realized)}"
    net = Decimal(after["net_pnl"]) - Decimal(before["net_pnl"])
    return f"Funding, fee or interest: net {numbers.signed(net)}"
