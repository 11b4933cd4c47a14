"""Corrections planned: which entries would be booked for a case, and what they would change. Reads only."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson
from django.conf import settings

from core.money import fixed
from positions import queries as ledger
from positions.book import Cause, Entry, Kind, Leg, PositionState, Side
from positions.book.apply import advance
from positions.book.entries import VENUE_CAUSES
from positions.models import Entry as Row
from positions.models import Mark, VenueState
from reconciliation.models import Case
from reconciliation.queries import effective_entries, verdict_of
from reconciliation.rules import inference
from reconciliation.rules.compare import Difference, Family

JUST_BEFORE = timedelta(microseconds=1)


class PlanRefusal(ValueError):
    """An action that makes no sense for this case, with the reason. `code` is stable."""

    def __init__(self, code: str, problem: str) -> None:
        super().__init__(problem)
        self.code = code


@dataclass(frozen=True, slots=True)
class Plan:
    """Entries that would be booked, and what they would change. `token` identifies exactly these."""

    case: Case
    action: str
    entries: Sequence[Entry] = ()
    before: dict[str, str | None] = field(default_factory=dict)
    after: dict[str, str | None] = field(default_factory=dict)
    pnl: Decimal | None = None
    usd: Decimal | None = None

    @property
    def token(self) -> str:
        plain = [entry.to_plain() for entry in self.entries]
        content = orjson.dumps([self.case.pk, self.action, plain], option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(content).hexdigest()[:32]

    def told(self) -> dict[str, Any]:
        """Return the preview as JSON types: before → after, and the effect on P&L (None: unknown)."""
        return {
            "action": self.action,
            "entries": [entry.to_plain() for entry in self.entries],
            "before": self.before,
            "after": self.after,
            "pnl_effect": None if self.pnl is None else fixed(self.pnl),
            "usd": None if self.usd is None else fixed(self.usd),
            "token": self.token,
        }


def plan(*, case: Case, action: str, price: Decimal | None = None) -> Plan:
    """Return what an action would book, and its effect; nothing is written. Raises PlanRefusal."""
    if case.is_settled:
        raise PlanRefusal("settled", f"case {case.pk} is {case.get_state_display().lower()}")
    planner = ACTIONS.get(action)
    if planner is None:
        raise PlanRefusal("unknown_action", f"{action} is none of {', '.join(sorted(ACTIONS))}")
    entries = planner(case, price)
    return _with_effect(Plan(case=case, action=action, entries=entries))


def _shown(case: Case) -> Difference:
    return Difference.from_plain(case.differences[0])


def _as_of(case: Case) -> datetime:
    verdict = verdict_of(case=case)
    as_of = None if verdict is None else verdict.seen_as_of
    if as_of is None:
        raise PlanRefusal("never_seen", "no report has shown this leg yet")
    return as_of


def _venue_state(case: Case) -> VenueState | None:
    """Return what the venue last stated of a case's leg."""
    return VenueState.objects.filter(
        account=case.account, instrument=case.instrument_id, leg=case.leg
    ).first()


def _adopt(case: Case, price: Decimal | None) -> list[Entry]:
    if case.family == Family.SIZE:
        return inferred_fills(case=case)
    if case.family == Family.ENTRY_PRICE:
        return _average(case)
    return _adjust_cash(case, "adopt")


def inferred_fills(*, case: Case) -> list[Entry]:
    """Return the fills that lead from the book to the venue, with references that only the event determines.

    The watermark is the report's time: a real fill up to it, received later, replaces them.
    """
    as_of = _as_of(case)
    state, symbol = _state(case, as_of)
    stated = _venue_state(case)
    target = _shown(case).venue or Decimal(0)
    mark = Mark.objects.filter(instrument=case.instrument_id).first()
    missing = inference.missing_fills(
        quantity=state.size,
        average=state.entry_price,
        target=target,
        target_average=stated.entry_price if stated and stated.quantity == target else None,
        quote=(mark.price, mark.price) if mark else None,
    )
    halves = ("close", "open") if len(missing) == 2 else ("",)
    return (
        [
            _fill(case, symbol, Cause.INFERRED, one, _reference(case, symbol, state, target, half), at=as_of)
            for one, half in zip(missing, halves, strict=True)
        ]
        if missing
        else []
    )


def _reference(case: Case, symbol: str, state: PositionState, target: Decimal, half: str) -> str:
    """Return the reference of an inferred fill; one that was booked and undone makes the next one differ."""
    real = Row.objects.filter(
        account=case.account, instrument=case.instrument_id, leg=case.leg, kind="fill", cause__in=VENUE_CAUSES
    )
    last = real.order_by("-at", "-sequence").values_list("venue_ref", flat=True).first() or ""
    undone = 0
    while True:
        ref = inference.reference(
            account=case.account_id,
            instrument=symbol,
            leg=case.leg,
            last_ref=last,
            book=state.size,
            target=target,
            undone=undone,
            half=half,
        )
        if ledger.entry_sequence(account=case.account_id, venue_ref=ref) is None:
            return ref
        undone += 1


def _fill(
    case: Case, symbol: str, cause: Cause, one: inference.MissingFill, ref: str, *, at: datetime
) -> Entry:
    return Entry(
        kind=Kind.FILL,
        cause=cause,
        venue_ref=ref,
        time=at,
        instrument=symbol,
        leg=Leg(case.leg),
        side=Side.BUY if one.quantity > 0 else Side.SELL,
        quantity=abs(one.quantity),
        price=one.price,
        watermark=_as_of(case),
        wallet=_wallet_of(case),
    )


def _wallet_of(case: Case) -> str | None:
    last = Row.objects.filter(account=case.account, instrument=case.instrument_id, kind="fill").exclude(
        wallet=""
    )
    return last.order_by("-at").values_list("wallet", flat=True).first()


def _average(case: Case) -> list[Entry]:
    """Move the average without closing: add the size once more at 2·venue − book, take it off at the venue's.

    Realizes nothing; the effect on P&L is that of the new average.
    """
    as_of = _as_of(case)
    state, symbol = _state(case, as_of)
    venue = _shown(case).venue
    if not state.size or state.entry_price is None or venue is None:
        raise PlanRefusal("no_average", "both sides' averages must be known")
    price = 2 * venue - state.entry_price
    if price <= 0:
        raise PlanRefusal("no_price", "no price leads to the venue's average")
    grow = Side.BUY if state.size > 0 else Side.SELL
    shrink = Side.SELL if state.size > 0 else Side.BUY
    stem = f"adopt:{symbol}:{case.leg}:{case.pk}:{_nth(case)}"
    size = abs(state.size)
    return [
        _adjusted(case, symbol, f"{stem}:1", grow, size, price, as_of),
        _adjusted(case, symbol, f"{stem}:2", shrink, size, venue, as_of + JUST_BEFORE),
    ]


def _adjusted(
    case: Case, symbol: str, ref: str, side: Side, quantity: Decimal, price: Decimal | None, at: datetime
) -> Entry:
    return Entry(
        kind=Kind.ADJUSTMENT,
        venue_ref=ref,
        time=at,
        instrument=symbol,
        leg=Leg(case.leg),
        side=side,
        quantity=quantity,
        price=price,
        reason=f"case {case.pk}",
    )


def _adjust(case: Case, price: Decimal | None) -> list[Entry]:
    if case.family == Family.CASH:
        return _adjust_cash(case, "adjust")
    if case.family == Family.ENTRY_PRICE:
        return _average(case)
    as_of = _as_of(case)
    _, symbol = _state(case, as_of)
    amount = _shown(case).amount
    side = Side.BUY if amount > 0 else Side.SELL
    ref = f"adjust:{symbol}:{case.leg}:{case.pk}:{_nth(case)}"
    return [_adjusted(case, symbol, ref, side, abs(amount), price, as_of)]


def _adjust_cash(case: Case, stem: str) -> list[Entry]:
    return [
        Entry(
            kind=Kind.ADJUSTMENT,
            venue_ref=f"{stem}:{case.wallet}:{case.asset}:{case.pk}:{_nth(case)}",
            time=_as_of(case),
            leg=None,
            amount=_shown(case).amount,
            currency=case.asset,
            wallet=case.wallet or None,
            reason=f"case {case.pk}",
        )
    ]


def _nth(case: Case) -> int:
    return case.corrections.filter(reversed_at__isnull=False).count()


def _opening_lot(case: Case, price: Decimal | None) -> list[Entry]:
    """Return the lot held before all entries of the leg, at `price`, else at the one that makes the venue's
    average. A fill up to the report's time that arrives later proves the lot wrong and replaces it.
    """
    if case.family != Family.SIZE:
        raise PlanRefusal("not_a_size", "an opening lot is a size")
    _, symbol = _state(case, _as_of(case))
    rows = Row.objects.filter(account=case.account, instrument=case.instrument_id, leg=case.leg)
    first = rows.order_by("at").values_list("at", flat=True).first()
    opened = Row.objects.filter(account=case.account, kind="transfer", cause="opening")
    begun = opened.order_by("at").values_list("at", flat=True).first() or _as_of(case)
    at = min(begun, first - JUST_BEFORE) if first is not None else begun
    amount = _shown(case).amount
    stated = _venue_state(case)
    if price is None and stated is not None and stated.quantity == _shown(case).venue:
        price = inference.opening_price(_window(case), lot=amount, target_average=stated.entry_price)
    one = inference.MissingFill(amount, price)
    ref = f"opening:{symbol}:{case.leg}:{case.pk}:{_nth(case)}"
    return [_fill(case, symbol, Cause.OPENING, one, ref, at=at)]


def _window(case: Case) -> list[inference.WindowFill]:
    """Return the leg's effective fills, signed."""
    fills = effective_entries(account=case.account_id).filter(
        kind="fill", instrument=case.instrument_id, leg=case.leg
    )
    return [
        inference.WindowFill(size, price, at)
        for size, price, at in fills.order_by("at", "sequence").values_list("quantity", "price", "at")
        if size is not None and price is not None
    ]


def _reverse_manual(case: Case, price: Decimal | None) -> list[Entry]:
    refs = [ref for one in case.diagnosis if one["cause"] == "manual_correction" for ref in one["evidence"]]
    rows = Row.objects.filter(account=case.account, venue_ref__in=refs)
    entries = [
        Entry(
            kind=Kind.BUST,
            venue_ref=f"reverse:{row.venue_ref}",
            time=_as_of(case),
            target=row.venue_ref,
            instrument=row.instrument.venue_symbol if row.instrument else None,
            leg=None,
        )
        for row in rows
    ]
    if not entries:
        raise PlanRefusal("nothing_manual", "no entry made by hand explains this case")
    return entries


def _nothing(case: Case, price: Decimal | None) -> list[Entry]:
    return []


ACTIONS: dict[str, Callable[[Case, Decimal | None], list[Entry]]] = {
    "adopt_venue": _adopt,
    "keep_book": _nothing,
    "book_adjustment": _adjust,
    "set_opening_lot": _opening_lot,
    "reverse_manual": _reverse_manual,
    "dismiss": _nothing,
}


# Effects ----------------------------------------------------------------------------------------------------


def _state(case: Case, at: datetime) -> tuple[PositionState, str]:
    if case.instrument is None:
        raise PlanRefusal("no_leg", "a balance has no position")
    held = ledger.position_as_of(
        account=case.account, instrument=case.instrument_id or 0, leg=case.leg, at=at
    )
    return held.state, held.symbol


def _with_effect(planned: Plan) -> Plan:
    case, shown = planned.case, _shown(planned.case)
    before = {"book": _text(shown.book), "venue": _text(shown.venue)}
    if not planned.entries:
        return replace(planned, before=before, after=before, pnl=Decimal(0), usd=Decimal(0))
    if case.instrument is None:
        amount = planned.entries[0].amount or Decimal(0)
        after = {"book": _text((shown.book or Decimal(0)) + amount), "venue": _text(shown.venue)}
        worth = _worth(case, amount)
        return replace(planned, before=before, after=after, pnl=amount, usd=worth)
    state, _ = _state(case, _as_of(case))
    before |= {"size": _text(state.size), "entry_price": _text(state.entry_price)}
    sized = [entry for entry in planned.entries if entry.kind in (Kind.FILL, Kind.ADJUSTMENT)]
    end, realized = state, Decimal(0)
    if planned.action not in ("set_opening_lot", "reverse_manual"):
        for entry in sized:
            end, change = advance(end, replace(entry, time=max(entry.time, end.last_time or entry.time)))
            realized += change.realized or Decimal(0)
        pnl: Decimal | None = realized
    else:
        pnl = None
    size = end.size if sized and pnl is not None else shown.venue
    after = {"size": _text(size), "entry_price": _text(end.entry_price) if pnl is not None else None}
    return replace(planned, before=before, after=after, pnl=pnl, usd=_worth(case, shown.amount))


def _worth(case: Case, amount: Decimal) -> Decimal | None:
    """Return the USD value of a difference: a size at its mark, cash at par or its price; None if unknown."""
    if case.instrument is not None:
        mark = Mark.objects.filter(instrument=case.instrument).first()
        if case.family == Family.ENTRY_PRICE:
            stated = _venue_state(case)
            return abs(amount * stated.quantity) if stated and stated.quantity is not None else None
        return abs(amount * mark.price) if mark else None
    if case.asset in settings.PAR_CURRENCIES:
        return abs(amount)
    account = case.account
    prices = ledger.coin_prices(world=account.world, coins=[case.asset])
    price = prices.get(case.asset)
    return abs(amount * price.price) if price else None


def _text(value: Decimal | None) -> str | None:
    return None if value is None else fixed(value)
