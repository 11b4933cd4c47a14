"""Entries: immutable facts, as a venue or a person stated them, and never how they are counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from positions.book import money
from positions.book.money import InvalidEntry, plain


class Kind(StrEnum):
    """What an entry states; docs/accounting.md defines what each does."""

    FILL = "fill"
    FUNDING = "funding"
    FEE = "fee"
    INTEREST = "interest"
    TRANSFER = "transfer"
    ADJUSTMENT = "adjustment"
    BUST = "bust"
    AMEND = "amend"


class Cause(StrEnum):
    """Why a fill or a transfer happened. OPENING is a lot, or a balance, that was there at connection."""

    TRADE = "trade"
    LIQUIDATION = "liquidation"
    ADL = "adl"
    SETTLEMENT = "settlement"
    DUST = "dust"
    OPENING = "opening"
    INFERRED = "inferred"
    MANUAL = "manual"
    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"
    INTERNAL = "internal"


class Leg(StrEnum):
    """Which position of an instrument: the only one (net), or one of two in hedge mode."""

    NET = "net"
    LONG = "long"
    SHORT = "short"


class Side(StrEnum):
    """Direction of a fill, or of an adjustment's quantity."""

    BUY = "buy"
    SELL = "sell"


FILL_CAUSES = frozenset(Cause) - {Cause.DEPOSIT, Cause.WITHDRAWAL, Cause.INTERNAL}
TRANSFER_CAUSES = frozenset({Cause.DEPOSIT, Cause.WITHDRAWAL, Cause.INTERNAL, Cause.OPENING})
VENUE_CAUSES = frozenset({Cause.TRADE, Cause.LIQUIDATION, Cause.ADL, Cause.SETTLEMENT, Cause.DUST})
"""Causes of fills that a venue reported: what replaces an inferred fill."""

FEE_FREE = frozenset({Cause.OPENING, Cause.DUST})
"""Causes of fills that pay no fee: None is nothing unknown there."""

CASH_KINDS = frozenset({Kind.FUNDING, Kind.FEE, Kind.INTEREST, Kind.TRANSFER})
SIZED_KINDS = frozenset({Kind.FILL, Kind.ADJUSTMENT})
TARGETED_KINDS = frozenset({Kind.BUST, Kind.AMEND})


@dataclass(frozen=True, slots=True)
class ParValue:
    """What something was worth in par currency when it was first booked (unsigned), and by which source."""

    amount: Decimal
    source: str
    time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One fact. Fields that do not apply, and fields that are not known, are None; zero means zero.

    kind, cause    what and why; `cause` for fills and transfers only
    venue_ref      unique in the account, namespaced by the adapter, includes the symbol
    time           the venue's time, aware, UTC
    instrument     the venue's symbol, opaque here; None for cash that belongs to no instrument
    leg            None where the venue names none (funding): then pro rata to leg size
    side, quantity of a fill, or Δquantity of an adjustment; quantity in contract units, > 0
    price          in quote per base, > 0; None = unknown
    fee            positive = paid, negative = rebate; None = unknown; `fee_currency` with it
    amount         signed effect on the wallet in `currency` (+ received, - paid): funding, fee, interest,
                   transfer, Δcash of an adjustment
    reason         why an adjustment was made; required there
    target         venue_ref that a bust cancels or an amend corrects. An amend's other fields that are not
                   None replace the target's; its own `time` is when it was made (the latest wins), so the
                   target's time changes only by `amended_time`
    position_before  signed, as the venue states it had before this fill (startPosition): orders what shares a
                   time
    par            value of the notional (fill, adjustment) or of the amount, in par currency
    fee_par        value of a fee paid in a currency that is not par, base or quote
    watermark      of an inferred fill or an opening lot, the time of the report that it was made from: a real
                   fill of the key with time <= watermark, received after it, replaces it
    wallet         wallet or sub-dex whose cash it moves
    received       order of receipt (AccountHead sequence); no part of the content

    Raises InvalidEntry naming the field and the venue_ref.
    """

    kind: Kind
    venue_ref: str
    time: datetime
    cause: Cause | None = None
    instrument: str | None = None
    leg: Leg | None = Leg.NET
    side: Side | None = None
    quantity: Decimal | None = None
    price: Decimal | None = None
    fee: Decimal | None = None
    fee_currency: str | None = None
    amount: Decimal | None = None
    currency: str | None = None
    reason: str | None = None
    target: str | None = None
    amended_time: datetime | None = None
    position_before: Decimal | None = None
    par: ParValue | None = None
    fee_par: ParValue | None = None
    watermark: datetime | None = None
    wallet: str | None = None
    received: int | None = None

    def __post_init__(self) -> None:
        validate(self)

    def to_plain(self) -> dict[str, str]:
        """Return the content as strings: numbers in fixed notation, times in ISO 8601 UTC.

        Unknown fields are absent. Equal content gives an equal dict, whatever way the numbers were written:
        this is what is stored and hashed.
        """
        content: dict[str, str] = {}
        for name in CONTENT:
            value = getattr(self, name)
            if isinstance(value, ParValue):
                parts = {"amount": value.amount, "source": value.source, "time": value.time}
                content.update({f"{name}_{part}": _text(part_value) for part, part_value in parts.items()})
            elif value is not None:
                content[name] = _text(value)
        return content

    @classmethod
    def from_plain(cls, content: Mapping[str, str], *, received: int | None = None) -> Entry:
        """Return the entry that `to_plain` wrote. Raises InvalidEntry for what is missing or malformed."""
        reference = content.get("venue_ref", "")
        known = set(_READERS) | {
            f"{name}_{part}" for name in PAR_FIELDS for part in ("amount", "source", "time")
        }
        for field in content.keys() - known:
            raise InvalidEntry(field=field, entry=reference, problem="is no field of an entry")
        values: dict[str, Any] = {
            name: _read(read, text, name, reference)
            for name, read in _READERS.items()
            if (text := content.get(name)) is not None
        }
        for name in PAR_FIELDS:
            if f"{name}_amount" in content:
                values[name] = ParValue(
                    amount=money.exact(content[f"{name}_amount"], field=name, entry=reference),
                    source=content.get(f"{name}_source", ""),
                    time=_read(_instant, content.get(f"{name}_time", ""), f"{name}_time", reference),
                )
        for field in ("kind", "venue_ref", "time"):
            if field not in values:
                raise InvalidEntry(field=field, entry=reference, problem="is missing")
        return cls(**{"leg": None, **values}, received=received)


PAR_FIELDS = ("par", "fee_par")
CONTENT = tuple(field.name for field in fields(Entry) if field.name != "received")


def _text(value: object) -> str:
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return str(value)


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


_READERS: dict[str, Callable[[str], Any]] = {
    "kind": Kind,
    "cause": Cause,
    "leg": Leg,
    "side": Side,
    **dict.fromkeys(("time", "amended_time", "watermark"), _instant),
    **dict.fromkeys(("quantity", "price", "fee", "amount", "position_before"), Decimal),
    **dict.fromkeys(
        ("venue_ref", "instrument", "fee_currency", "currency", "reason", "target", "wallet"),
        str,
    ),
}


def _read(read: Callable[[str], Any], text: str, field: str, reference: str) -> Any:
    try:
        return read(text)
    except (ValueError, ArithmeticError) as error:
        raise InvalidEntry(field=field, entry=reference, problem=f"{text!r}: {error}") from None


def validate(entry: Entry) -> None:
    """Refuse what cannot be booked. Raises InvalidEntry naming the field and the entry's venue_ref."""
    if not entry.venue_ref:
        raise InvalidEntry(field="venue_ref", entry="", problem="is empty")
    for name, members in _CHOICES.items():
        _check_choice(entry, name, members)
    for name in ("time", "amended_time", "watermark"):
        _check_time(entry, name, getattr(entry, name))
    for name, check in _NUMBERS.items():
        if (value := getattr(entry, name)) is not None:
            _keep(entry, name, value, check(value, field=name, entry=entry.venue_ref))
    for name in PAR_FIELDS:
        if (par := getattr(entry, name)) is not None:
            _check_par(entry, name, par)
    for name in ("fee_currency", "currency"):
        if (value := getattr(entry, name)) is not None:
            money.currency(value, field=name, entry=entry.venue_ref)
    if entry.fee and entry.fee_currency is None:
        raise InvalidEntry(field="fee_currency", entry=entry.venue_ref, problem="a fee without a currency")
    if entry.amount is not None and entry.currency is None:
        raise InvalidEntry(field="currency", entry=entry.venue_ref, problem="an amount without a currency")
    _check_kind(entry)


_CHOICES: dict[str, type[StrEnum]] = {"kind": Kind, "cause": Cause, "leg": Leg, "side": Side}
_NUMBERS = {
    **dict.fromkeys(("quantity", "price"), money.positive),
    **dict.fromkeys(("fee", "amount", "position_before"), money.exact),
}


def _keep(entry: Entry, name: str, given: object, canonical: object) -> None:
    """Keep one form of a value that can be written in several: else "buy" would not be Side.BUY."""
    if given is not canonical:
        object.__setattr__(entry, name, canonical)


def _check_choice(entry: Entry, name: str, members: type[StrEnum]) -> None:
    value = getattr(entry, name)
    if value is None or isinstance(value, members):
        return
    try:
        _keep(entry, name, value, members(value))
    except ValueError as error:
        raise InvalidEntry(field=name, entry=entry.venue_ref, problem=str(error)) from None


def _check_time(entry: Entry, name: str, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, datetime):
        raise InvalidEntry(field=name, entry=entry.venue_ref, problem=f"{value!r} is not a time")
    if value.tzinfo is None:
        raise InvalidEntry(field=name, entry=entry.venue_ref, problem=f"{value} has no time zone")
    if value.utcoffset():
        raise InvalidEntry(field=name, entry=entry.venue_ref, problem=f"{value} is not in UTC")


def _check_par(entry: Entry, name: str, par: ParValue) -> None:
    if money.exact(par.amount, field=name, entry=entry.venue_ref) < 0:
        raise InvalidEntry(field=name, entry=entry.venue_ref, problem=f"{par.amount} is less than zero")
    _check_time(entry, name, par.time)


_REQUIRED: dict[Kind, tuple[str, ...]] = {
    Kind.FILL: ("cause", "instrument", "side", "quantity"),
    Kind.FUNDING: ("amount",),
    Kind.FEE: ("amount",),
    Kind.INTEREST: ("amount",),
    Kind.TRANSFER: ("cause", "amount"),
    Kind.ADJUSTMENT: ("reason",),
    Kind.BUST: ("target",),
    Kind.AMEND: ("target",),
}
_CAUSES: dict[Kind, frozenset[Cause]] = {Kind.FILL: FILL_CAUSES, Kind.TRANSFER: TRANSFER_CAUSES}
_ALL_CAUSES = frozenset(Cause)


def _check_kind(entry: Entry) -> None:
    for name in _REQUIRED[entry.kind]:
        if getattr(entry, name) in (None, ""):
            raise InvalidEntry(field=name, entry=entry.venue_ref, problem=f"a {entry.kind} needs it")
    if entry.cause is not None and entry.cause not in _CAUSES.get(entry.kind, _ALL_CAUSES):
        raise InvalidEntry(
            field="cause", entry=entry.venue_ref, problem=f"{entry.cause} is no cause of a {entry.kind}"
        )
    if entry.kind is Kind.ADJUSTMENT:
        if (entry.quantity is None) is (entry.amount is None):
            raise InvalidEntry(
                field="quantity",
                entry=entry.venue_ref,
                problem="an adjustment states a quantity or an amount",
            )
        if entry.quantity is not None and (entry.side is None or entry.instrument is None):
            raise InvalidEntry(
                field="side",
                entry=entry.venue_ref,
                problem="an adjusted quantity needs a side and an instrument",
            )
    if entry.kind in TARGETED_KINDS and entry.target == entry.venue_ref:
        raise InvalidEntry(field="target", entry=entry.venue_ref, problem="targets itself")
