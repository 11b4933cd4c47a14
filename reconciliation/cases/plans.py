"""Corrections planned: which entries would be booked for a case, and what they would change.

Both sides come from one report, which the case keeps. A plan is refused when the book as of that report is no
longer what was compared with it, and when its entries do not lead to what the venue reports. Nothing stays
booked here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson

from positions import queries as ledger
from positions.book import Cause, Entry, Kind, Leg, PositionState, Side
from positions.book.entries import VENUE_CAUSES
from positions.book.money import ZERO, rounded
from positions.models import Balance
from positions.models import Entry as Row
from reconciliation.cases import opening
from reconciliation.cases.effects import PlanEffect, PlanRefusal, effect, leg_as_of, report_of, text
from reconciliation.models import Case
from reconciliation.queries import effective_entries
from reconciliation.rules import inference
from reconciliation.rules.causes import DriftCause
from reconciliation.rules.compare import Difference, Family, WalletKey

JUST_BEFORE = timedelta(microseconds=1)
BROKEN_OFF = "broken_off"
UNBOOKED = ("refused", BROKEN_OFF)
OF_OPENING = (DriftCause.COUNTED_TWICE, DriftCause.WRONG_OPENING)


@dataclass(frozen=True, slots=True)
class Plan:
    """Entries that would be booked, and what they would change. `token` identifies what was confirmed.

    `price` is the one that the user named, if any; `currency` that of the effect on P&L. A reversal is not
    `reversible`: it is booked again by hand.
    """

    case: Case
    action: str
    entries: Sequence[Entry]
    effect: PlanEffect
    currency: str
    price: Decimal | None = None

    @property
    def token(self) -> str:
        """The same while the same amounts would be booked, at the price that the user named.

        Prices that lead to the venue's average, references and times move with every report of a leg that
        trades on; what is missing does not.
        """
        plain = [_amounts(entry.to_plain()) for entry in self.entries]
        content = orjson.dumps(
            [self.case.pk, self.action, text(self.price), plain], option=orjson.OPT_SORT_KEYS
        )
        return hashlib.sha256(content).hexdigest()[:32]

    @property
    def reversible(self) -> bool:
        return bool(self.entries) and all(entry.kind is not Kind.BUST for entry in self.entries)

    def to_plain(self) -> dict[str, Any]:
        """Return the preview as JSON types: before → after, and the effect on P&L (None: unknown)."""
        return {
            "action": self.action,
            "entries": [entry.to_plain() for entry in self.entries],
            "before": self.effect.before,
            "after": self.effect.after,
            "pnl_effect": text(self.effect.pnl),
            "pnl_currency": self.currency,
            "usd": text(self.effect.usd),
            "reversible": self.reversible,
            "token": self.token,
        }


def _amounts(plain: dict[str, str]) -> dict[str, str]:
    """Return of an entry what a user confirms."""
    moving = ("time", "watermark", "venue_ref", "price")
    return {name: value for name, value in plain.items() if name not in moving}


def plan(*, case: Case, action: str, price: Decimal | None = None) -> Plan:
    """Return what an action would book, and its effect; nothing stays booked. Raises PlanRefusal."""
    if case.is_settled:
        raise PlanRefusal("settled", f"case {case.pk} is {case.get_state_display().lower()}")
    planner = ACTIONS.get(action)
    if planner is None:
        raise PlanRefusal("unknown_action", f"{action} is none of {', '.join(sorted(ACTIONS))}")
    entries = planner(case, price)
    found = effect(case=case, shown=_shown(case), entries=entries)
    return Plan(
        case=case,
        action=action,
        entries=entries,
        effect=found,
        currency=_currency_of(case),
        price=price,
    )


def _shown(case: Case) -> Difference:
    return Difference.from_plain(case.differences[0])


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
    report = report_of(case)
    state, symbol = leg_as_of(case, report)
    target = _shown(case).venue or ZERO
    mark = report.mark_price
    missing = inference.missing_fills(
        quantity=state.size,
        average=state.entry_price,
        target=target,
        target_average=report.venue_entry_price,
        quote=None if mark is None else (mark, mark),
    )
    halves = ("close", "open") if len(missing) == 2 else ("",)
    return (
        [
            _fill(case, symbol, Cause.INFERRED, one, _reference(case, symbol, state, target, half))
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
    case: Case,
    symbol: str,
    cause: Cause,
    one: inference.MissingFill,
    ref: str,
    *,
    at: datetime | None = None,
) -> Entry:
    as_of = report_of(case).as_of
    return Entry(
        kind=Kind.FILL,
        cause=cause,
        venue_ref=ref,
        time=at or as_of,
        instrument=symbol,
        leg=Leg(case.leg),
        side=Side.BUY if one.quantity > 0 else Side.SELL,
        quantity=abs(one.quantity),
        price=one.price,
        watermark=as_of,
        wallet=_wallet_of(case),
    )


def _wallet_of(case: Case) -> str | None:
    """Return the wallet that a leg's fills settle in: that of its last one, else the asset's only one."""
    last = Row.objects.filter(account=case.account, instrument=case.instrument_id, kind="fill").exclude(
        wallet=""
    )
    if wallet := last.order_by("-at").values_list("wallet", flat=True).first():
        return wallet
    held = Balance.objects.filter(account=case.account, asset=_currency_of(case)).exclude(wallet="")
    wallets = list(held.values_list("wallet", flat=True)[:2])
    return wallets[0] if len(wallets) == 1 else None


def _average(case: Case) -> list[Entry]:
    """Move the average without closing: add the size once more at 2·venue − book, take it off at the venue's.

    Realizes nothing that stays: the average is the venue's then, to the book's 18 places.
    """
    report = report_of(case)
    state, symbol = leg_as_of(case, report)
    venue = _shown(case).venue
    if not state.size or state.entry_price is None or venue is None:
        raise PlanRefusal("no_average", "both sides' averages must be known")
    price = rounded(2 * venue - state.entry_price)
    if price <= 0:
        raise PlanRefusal("no_price", "no price leads to the venue's average")
    grow = Side.BUY if state.size > 0 else Side.SELL
    shrink = Side.SELL if state.size > 0 else Side.BUY
    stem = f"adopt:{symbol}:{case.leg}:{case.pk}:{_nth(case)}"
    size = abs(state.size)
    return [
        _adjusted(case, symbol, f"{stem}:1", grow, size, price, report.as_of),
        _adjusted(case, symbol, f"{stem}:2", shrink, size, venue, report.as_of + JUST_BEFORE),
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
        wallet=_wallet_of(case),
        reason=f"case {case.pk}",
    )


def _adjust(case: Case, price: Decimal | None) -> list[Entry]:
    if case.family == Family.CASH:
        return _adjust_cash(case, "adjust")
    if case.family == Family.ENTRY_PRICE:
        return _average(case)
    report = report_of(case)
    _, symbol = leg_as_of(case, report)
    amount = _shown(case).amount
    side = Side.BUY if amount > 0 else Side.SELL
    ref = f"adjust:{symbol}:{case.leg}:{case.pk}:{_nth(case)}"
    return [_adjusted(case, symbol, ref, side, abs(amount), price, report.as_of)]


def _adjust_cash(case: Case, stem: str) -> list[Entry]:
    return [
        Entry(
            kind=Kind.ADJUSTMENT,
            venue_ref=f"{stem}:{case.wallet}:{case.asset}:{case.pk}:{_nth(case)}",
            time=report_of(case).as_of,
            leg=None,
            amount=_shown(case).amount,
            currency=case.asset,
            wallet=case.wallet or None,
            reason=f"case {case.pk}",
        )
    ]


def _nth(case: Case) -> int:
    """Return how many corrections of the case were booked before: each has references of its own, and one
    that broke off before it was booked has them again.
    """
    return case.corrections.exclude(outcome__in=UNBOOKED).count()


def _opening_lot(case: Case, price: Decimal | None) -> list[Entry]:
    """Return the lot held before all entries of the leg, at `price`, else at the one that makes the venue's
    average. A fill up to the report's time that arrives later proves the lot wrong and replaces it.
    """
    if case.family != Family.SIZE:
        raise PlanRefusal("not_a_size", "an opening lot is a size")
    report = report_of(case)
    _, symbol = leg_as_of(case, report)
    rows = Row.objects.filter(account=case.account, instrument=case.instrument_id, leg=case.leg)
    first = rows.order_by("at").values_list("at", flat=True).first()
    opened = Row.objects.filter(account=case.account, kind="transfer", cause="opening")
    begun = opened.order_by("at").values_list("at", flat=True).first() or report.as_of
    at = min(begun, first - JUST_BEFORE) if first is not None else begun
    amount = _shown(case).amount
    if price is None:
        price = inference.opening_price(_window(case), lot=amount, target_average=report.venue_entry_price)
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


def _correct_opening(case: Case, price: Decimal | None) -> list[Entry]:
    """Return the fact that makes the wallet's opening balance what it was without the facts near it."""
    if case.family != Family.CASH:
        raise PlanRefusal("not_cash", "an opening balance is cash or a coin in a wallet")
    if not any(one["cause"] in OF_OPENING for one in case.diagnosis):
        raise PlanRefusal("not_the_opening", "no facts near the opening balance explain this difference")
    ref = f"opening-overlap:{case.wallet}:{case.asset}:case-{case.pk}:{_nth(case)}"
    try:
        return [
            opening.correction(
                account=case.account,
                wallet=WalletKey(case.wallet, case.asset),
                missing=_shown(case).amount,
                ref=ref,
                now=report_of(case).as_of,
            )
        ]
    except LookupError as error:
        raise PlanRefusal("never_opened", "the account has no opening balance") from error


def _reverse_manual(case: Case, price: Decimal | None) -> list[Entry]:
    refs = [ref for one in case.diagnosis if one["cause"] == "manual_correction" for ref in one["evidence"]]
    rows = Row.objects.filter(account=case.account, venue_ref__in=refs)
    entries = [
        Entry(
            kind=Kind.BUST,
            venue_ref=f"reverse:{row.venue_ref}",
            time=report_of(case).as_of,
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
    "correct_opening": _correct_opening,
    "reverse_manual": _reverse_manual,
    "dismiss": _nothing,
}


def _currency_of(case: Case) -> str:
    return case.asset if case.instrument is None else case.instrument.settle
