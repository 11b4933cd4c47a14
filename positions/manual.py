"""Positions kept by hand: open, reduce, close, as `manual` fills that count at once.

Without an account they go to the built-in manual account: it has no venue, so nothing is reconciled.
On a connected account this corrects the book, and the next comparison with the venue will show it.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from django.conf import settings

from positions import accounts, ingest, observe, queries
from positions.book import Cause, Entry, Kind, Leg, Side
from positions.models import Account, Instrument, InstrumentKind, Position


class ManualRefusal(ValueError):
    """Something that cannot be done by hand, with what to do instead. `code` is stable."""

    def __init__(self, code: str, problem: str) -> None:
        super().__init__(problem)
        self.code = code


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does it, through what, why."""

    who: str
    source: str
    trace_id: str
    reason: str = ""


class Change(StrEnum):
    """What a fill by hand does to an open position."""

    INCREASE = "increase"
    REDUCE = "reduce"


class PositionFigures(NamedTuple):
    """What a change by hand may move. Amounts in the position's P&L currency; None: unknown."""

    quantity: Decimal
    entry_price: Decimal | None
    realized_pnl: Decimal
    net_pnl: Decimal


@dataclass(frozen=True, slots=True)
class Preview:
    """A position before and after a fill that is not booked."""

    position: int
    entry: Entry
    before: PositionFigures
    after: PositionFigures


def open_position(
    *,
    symbol: str,
    quantity: Decimal,
    price: Decimal | None,
    by: Actor,
    now: datetime,
    account: Account | None = None,
    side: str = "long",
    leverage: Decimal = Decimal(1),
    fee: Decimal = Decimal(0),
    at: datetime | None = None,
    reference: str | None = None,
    expected_version: int | None = None,
) -> ingest.BookingResult:
    """Open a position by hand, or add to one of the same side.

    `price` None: unknown, and so is P&L. `reference` makes a repeat harmless. `expected_version` is that of
    the position being added to.
    Raises ManualRefusal (other side is open; unknown symbol), ingest.BatchRejection, ingest.StaleVersion.
    """
    if side not in ("long", "short"):
        raise ManualRefusal("bad_side", f"a position is long or short, not {side}")
    if account is None or account.is_manual:
        # What can never be booked must leave neither the account nor a market behind.
        planned = Instrument(venue_symbol=symbol, settle=_quote(symbol))
        _fill(planned, Side.BUY, quantity, price, fee=fee, at=at or now, reference=reference)
    account = account or accounts.manual(now=now)
    instrument = _instrument(account, symbol, now)
    if reference and (done := _repeated(account, instrument, reference)):
        return done
    held = queries.open_leg(account=account.pk, instrument=instrument.pk)
    if held is not None and (held.quantity > 0) is not (side == "long"):
        raise ManualRefusal(
            "other_side_open", f"{symbol} is {_side(held)}: reduce or close position {held.pk} instead"
        )
    if account.is_manual:
        stated = observe.VenueStatement(instrument=instrument.pk, leg=Leg.NET, leverage=leverage)
        observe.venue_states(account=account, stated=[stated], as_of=now, now=now)
    direction = Side.BUY if side == "long" else Side.SELL
    when = at or _after(held, now)
    entry = _fill(instrument, direction, quantity, price, fee=fee, at=when, reference=reference)
    versions = {held.pk: _seen(held, expected_version)} if held else None
    return _book(account, entry, by, now, versions)


def reduce(
    *,
    position: int,
    quantity: Decimal,
    by: Actor,
    now: datetime,
    price: Decimal | None = None,
    fee: Decimal = Decimal(0),
    at: datetime | None = None,
    reference: str | None = None,
    expected_version: int | None = None,
) -> ingest.BookingResult:
    """Take `quantity` (unsigned) off an open position at `price`, by default its mark.

    Raises ManualRefusal (not open; more than it has; no fresh mark), ingest.StaleVersion and
    Position.DoesNotExist.
    """
    held = queries.board().get(pk=position)
    if reference and (done := _repeated(held.account, _market_of(held), reference)):
        return done
    entry = _changed_by(held, Change.REDUCE, quantity, price, now=now, fee=fee, at=at, reference=reference)
    return _book(held.account, entry, by, now, {held.pk: _seen(held, expected_version)})


def close(
    *,
    position: int,
    by: Actor,
    now: datetime,
    price: Decimal | None = None,
    fee: Decimal = Decimal(0),
    at: datetime | None = None,
    reference: str | None = None,
    expected_version: int | None = None,
) -> ingest.BookingResult:
    """Take all that is left off an open position; as `reduce`."""
    held = queries.board().get(pk=position)
    return reduce(
        position=position,
        quantity=abs(held.quantity),
        by=by,
        now=now,
        price=price,
        fee=fee,
        at=at,
        reference=reference,
        expected_version=_seen(held, expected_version),
    )


def increase(
    *,
    position: int,
    quantity: Decimal,
    by: Actor,
    now: datetime,
    price: Decimal | None = None,
    reference: str | None = None,
    expected_version: int | None = None,
) -> ingest.BookingResult:
    """Add `quantity` (unsigned) to an open position at `price`, by default its mark; as `reduce`."""
    held = queries.board().get(pk=position)
    if reference and (done := _repeated(held.account, _market_of(held), reference)):
        return done
    entry = _changed_by(held, Change.INCREASE, quantity, price, now=now, reference=reference)
    return _book(held.account, entry, by, now, {held.pk: _seen(held, expected_version)})


def preview(
    *, position: int, change: Change, quantity: Decimal, price: Decimal | None, now: datetime
) -> Preview:
    """Return what a change would do: it is booked, looked at, and rolled back.

    Raises ManualRefusal, ingest.BatchRejection and Position.DoesNotExist.
    """
    held = queries.board().get(pk=position)
    entry = _changed_by(held, change, quantity, price, now=now)
    before, after = ingest.rehearse(
        account=held.account, entries=[entry], source="preview", trace_id="", now=now,
        read=lambda: _figures(position),
    )  # fmt: skip
    return Preview(position, entry, before, after)


def take_back(*, venue_ref: str, account: Account, by: Actor, now: datetime) -> ingest.BookingResult:
    """Bust an entry that was made by hand: the book is as if it had never been. Twice changes nothing.

    Raises ManualRefusal for what was not made by hand.
    """
    made = queries.entry(account=account.pk, venue_ref=venue_ref)
    if made is None or made.kind != Kind.FILL or made.cause != Cause.MANUAL:
        raise ManualRefusal("not_by_hand", "only what was booked by hand is taken back here")
    bust = Entry(
        kind=Kind.BUST, venue_ref=f"undo:{venue_ref}", time=now, target=venue_ref, leg=None,
        instrument=made.instrument.venue_symbol if made.instrument else None,
    )  # fmt: skip
    return _book(account, bust, by, now, None)


def _figures(position: int) -> PositionFigures:
    row = Position.objects.get(pk=position)
    return PositionFigures(row.quantity, row.entry_price, row.realized_pnl, row.net_pnl)


def _changed_by(
    held: Position,
    change: Change,
    quantity: Decimal,
    price: Decimal | None,
    *,
    now: datetime,
    fee: Decimal = Decimal(0),
    at: datetime | None = None,
    reference: str | None = None,
) -> Entry:
    """Return the fill that changes an open position. Raises ManualRefusal."""
    market = _market_of(held)
    if not held.is_open:
        raise ManualRefusal("not_open", f"position {held.pk} is {held.get_status_display().lower()}")
    if change is Change.REDUCE and quantity > abs(held.quantity):
        raise ManualRefusal(
            "too_much", f"position {held.pk} has {abs(held.quantity).normalize():f}, not {quantity}"
        )
    buys = (held.quantity > 0) is (change is Change.INCREASE)
    paid = price if price is not None else _mark_price(held, now)
    return _fill(
        market, Side.BUY if buys else Side.SELL, quantity, paid,
        fee=fee, at=at or _after(held, now), reference=reference, leg=held.leg,
    )  # fmt: skip


def _seen(held: Position, expected_version: int | None) -> int:
    """Return the version that the change is meant for: the stated one, else the one just read."""
    return held.version if expected_version is None else expected_version


def _after(held: Position | None, now: datetime) -> datetime:
    """Return now, or just after the last fact of the position: a change by hand comes after that."""
    return max(now, held.last_at + timedelta(microseconds=1)) if held else now


def _repeated(account: Account, instrument: Instrument, reference: str) -> ingest.BookingResult | None:
    """Return the result of an earlier booking under this reference; None if there is none."""
    ref = _reference(instrument, reference)
    sequence = queries.entry_sequence(account=account.pk, venue_ref=ref)
    if sequence is None:
        return None
    result = ingest.EntryResult(ref, ingest.EntryOutcome.DUPLICATE, sequence, "done before")
    return ingest.BookingResult([result], None, [], [])


def _reference(instrument: Instrument, reference: str) -> str:
    return f"manual:{instrument.venue_symbol}:{reference}"


def _book(
    account: Account, entry: Entry, by: Actor, now: datetime, versions: dict[int, int] | None
) -> ingest.BookingResult:
    return ingest.record(
        account=account,
        entries=[entry],
        source=by.source,
        trace_id=by.trace_id,
        now=now,
        expected_version=versions,
        on_error="reject",
        who=by.who,
        reason=by.reason,
    )


def _fill(
    instrument: Instrument,
    side: Side,
    quantity: Decimal,
    price: Decimal | None,
    *,
    fee: Decimal,
    at: datetime,
    reference: str | None,
    leg: str = Leg.NET,
) -> Entry:
    return Entry(
        kind=Kind.FILL,
        cause=Cause.MANUAL,
        venue_ref=_reference(instrument, reference or uuid.uuid4().hex),
        time=at,
        instrument=instrument.venue_symbol,
        leg=Leg(leg),
        side=side,
        quantity=quantity,
        price=price,
        fee=fee,
        fee_currency=instrument.settle,
    )


def _instrument(account: Account, symbol: str, now: datetime) -> Instrument:
    """Return the market of a symbol; the manual account takes any, priced in USD unless it names a quote."""
    if account.is_manual:
        base, quote = symbol.partition("/")[0], _quote(symbol)
        described = observe.InstrumentDescription(
            venue_symbol=symbol,
            symbol=symbol,
            kind=InstrumentKind.LINEAR,
            base=base,
            quote=quote,
            settle=quote,
        )
        observe.instruments(world=account.world, described=[described], now=now)
    found = queries.instrument(account=account, symbol=symbol)
    if found is None:
        raise ManualRefusal("unknown_symbol", f"{account.venue} has no {symbol}")
    return found


def _quote(symbol: str) -> str:
    return symbol.partition("/")[2].partition(":")[0] or "USD"


def _market_of(position: Position) -> Instrument:
    """Return the market of a position's fills: its instrument; for a coin, its par pair."""
    if position.instrument.kind != InstrumentKind.ASSET:
        return position.instrument
    pair = queries.par_pair(coin=position.instrument)
    if pair is None:
        problem = f"no pair of {position.instrument.base} against a par currency is known: book an adjustment"
        raise ManualRefusal("no_pair", problem)
    return pair


def _mark_price(position: Position, now: datetime) -> Decimal:
    mark = getattr(position.instrument, "mark", None)
    oldest = now - timedelta(seconds=settings.PRICE_STALENESS_THRESHOLD)
    if mark is None or mark.at < oldest:
        raise ManualRefusal(
            "no_price", f"no fresh mark of {position.instrument.symbol} is known: say the price"
        )
    return Decimal(mark.price)


def _side(position: Position) -> str:
    return "long" if position.quantity > 0 else "short"
