"""The API's schemas of the book: answers and request bodies."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from ninja import Schema
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
)

from core.http.inputs import Id, LongText, Text
from core.values.money import Money, MoneyIn
from positions.book.entries import Kind, Leg
from positions.ledger import serialise
from positions.ledger.instruments import contract_of
from positions.models import Environment, InstrumentKind, Status
from positions.models import Position as Row

MAX_TIME = 40  # characters
_ISO = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d", re.ASCII)


def _is_written(at: object) -> object:
    if (isinstance(at, str) and not (len(at) <= MAX_TIME and _ISO.match(at))) or isinstance(at, int | float):
        raise ValueError("write it as 2026-01-15T12:00:00Z")
    return at


def _in_utc(at: datetime) -> datetime:
    try:
        return at.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("no such time in UTC") from error


Moment = Annotated[
    AwareDatetime,
    BeforeValidator(_is_written),
    AfterValidator(_in_utc),
    WithJsonSchema({"type": "string", "format": "date-time", "maxLength": MAX_TIME}),
]
"""A time with a zone, given; the book keeps UTC. A number is none: it may be seconds or milliseconds."""

Instant = Annotated[
    datetime,
    PlainSerializer(lambda at: at.astimezone(UTC).isoformat().replace("+00:00", "Z"), return_type=str),
]
"""A time, answered: ISO 8601 in UTC, to the microsecond, as facts are ordered by it."""


Above0 = Annotated[MoneyIn, Field(gt=0)]


class Position(Schema):
    """A position of the book: one row from flat to flat.

    `quantity` is signed (short is negative) in `quantity_asset`; money is in `pnl_currency`; unknown is null,
    and `unknown_count` says how many unknowns the sums leave out. `net_pnl` = realized + adjustments − fees +
    funding + interest, without unrealized.
    """

    id: int
    version: int = Field(description="Moves when the figures move: for If-Match.")
    account_id: int
    account: str
    venue: str
    environment: Environment
    symbol: str
    asset: str
    kind: InstrumentKind
    leg: Leg
    side: str | None = Field(description="long or short; of an ended one what it was, null if unknown.")
    status: Status
    quantity: Money
    quantity_asset: str
    open_cost: Money | None
    entry_price: Money | None
    exit_price: Money | None
    peak_quantity: Money
    realized_pnl: Money | None
    adjustment_pnl: Money
    net_pnl: Money | None
    pnl_currency: str
    fees: dict[str, Money] = Field(description="Paid, by currency.")
    funding: dict[str, Money] = Field(description="Received, by currency.")
    interest: dict[str, Money] = Field(description="Received, by currency.")
    unknown_count: int
    fill_count: int
    entry_count: int
    tags: list[str]
    strategy: str
    note: str
    opened_at: Instant
    closed_at: Instant | None
    last_entry_at: Instant
    updated_at: Instant
    archived: bool
    superseded_by: int | None


def book_facts(row: Row) -> dict[str, Any]:
    """Return the fields of Position of a row that was read with its account and instrument.

    A field of the schema is the row's column of that name, unless it is computed here.
    """
    instrument, account = row.instrument, row.account
    episode = serialise.loads(row.state, contract=contract_of(instrument))
    unknown = bool(episode.unknown_pnl) and not row.realized_pnl
    derived = {
        "account": account.label,
        "venue": account.venue,
        "environment": account.environment,
        "symbol": instrument.symbol,
        "asset": instrument.base,
        "kind": instrument.kind,
        "side": _side(row),
        "quantity_asset": instrument.quote if instrument.kind == InstrumentKind.INVERSE else instrument.base,
        "realized_pnl": None if unknown else row.realized_pnl,
        "net_pnl": None if unknown else row.net_pnl,
        "last_entry_at": row.last_at,
        "archived": row.archived_at is not None,
        "superseded_by": row.superseded_by_id,
    }
    return {name: derived[name] if name in derived else getattr(row, name) for name in Position.model_fields}


def _side(row: Row) -> str | None:
    if row.quantity:
        return "long" if row.quantity > 0 else "short"
    if row.leg != Leg.NET:
        return row.leg
    return "long" if row.instrument.kind == InstrumentKind.ASSET else None


class PositionFilter(Schema):
    """The filters of a list of positions."""

    account: Text | None = Field(None, description="Id or label.")
    venue: Text | None = None
    environment: Environment | None = None
    symbol: Text | None = Field(None, description="BTC/USDC:USDC, or BTC/USDC for any settle currency.")
    asset: Text | None = Field(None, description="BTC: also UBTC, kBTC and other forms of it.")
    status: list[Status] | None = Field(None, max_length=20)
    strategy: Text | None = None
    tag: Text | None = None


class Event(Schema):
    """A change of a position: who made it, and the figures before and after."""

    id: int
    kind: str
    at: Instant = Field(description="The venue's time.")
    recorded_at: Instant
    status_before: str
    status_after: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    first_sequence: int | None
    last_sequence: int | None
    who: str
    source: str
    reason: str
    trace_id: str


class EventPage(Schema):
    items: list[Event]
    next_cursor: str | None


class Entry(Schema):
    """A fact as it was booked. `quantity` is signed (sell is negative), so is `amount` (paid is negative)."""

    id: int
    sequence: int
    venue_ref: str
    kind: Kind
    cause: str | None
    symbol: str | None
    leg: str | None
    at: Instant
    received_at: Instant
    quantity: Money | None
    price: Money | None
    fee: Money | None
    fee_currency: str | None
    amount: Money | None
    currency: str | None
    wallet: str
    target_ref: str | None
    source: str
    trace_id: str

    @staticmethod
    def resolve_symbol(row: Any) -> str | None:
        return row.instrument.symbol if row.instrument_id else None

    @staticmethod
    def resolve_cause(row: Any) -> str | None:
        return row.cause or None


class EntryPage(Schema):
    items: list[Entry]
    next_cursor: str | None


class Account(Schema):
    """An account at a venue; keys and addresses are not shown."""

    id: int
    label: str
    venue: str
    environment: Environment
    enabled: bool
    paused_until: Instant | None
    pause_reason: str
    open_positions: int
    entry_count: int
    sequence: int = Field(description="Of the account's last change.")
    created_at: Instant


class AccountPage(Schema):
    items: list[Account]
    next_cursor: str | None


class Balance(Schema):
    """What the book counts in a wallet. `usd_value` is null where no price is known."""

    account_id: int
    account: str
    environment: Environment
    wallet: str
    asset: str
    amount: Money
    unknown_count: int = Field(description="How many entries of unknown amount the sum leaves out.")
    usd_value: Money | None
    usd_source: str | None
    updated_at: Instant


class BalancePage(Schema):
    items: list[Balance]
    next_cursor: str | None


def asked(**example: Any) -> ConfigDict:
    """Return the configuration of a body: nothing that is not known, and an example for the API's page."""
    return ConfigDict(extra="forbid", json_schema_extra={"examples": [example]})


class RequestBody(Schema):
    """A request body; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class _ByHand(RequestBody):
    fee: Annotated[MoneyIn, Field(ge=0)] = Decimal(0)
    at: Moment | None = Field(None, description="When it happened; now by default.")
    reason: Annotated[LongText, Field(max_length=500)] = ""


class OpenIn(_ByHand):
    """A position by hand. Without an account it goes to the built-in manual account."""

    model_config = asked(
        symbol="BTC/USD", quantity="0.5", price="60000", side="long", reason="bought over the counter"
    )

    symbol: str = Field(
        max_length=120,
        pattern=r"^[A-Za-z0-9._@+#-]{1,40}(/[A-Za-z0-9._@+#-]{1,40}(:[A-Za-z0-9._@+#-]{1,30})?)?$",
        examples=["BTC/USD"],
    )
    quantity: Above0
    price: Above0 | None = Field(None, description="null: the entry price, and so P&L, is unknown.")
    side: Literal["long", "short"] = "long"
    leverage: Annotated[MoneyIn, Field(gt=0, le=1000)] = Decimal(1)
    account: Id | Text | None = None


class ReduceIn(_ByHand):
    """How much to take off."""

    model_config = asked(quantity="0.2", price="61000", reason="sold over the counter")

    quantity: Above0
    price: Above0 | None = Field(None, description="null: the current mark.")


class CloseIn(_ByHand):
    """Take everything off."""

    model_config = asked(price="61000", reason="sold over the counter")

    price: Above0 | None = Field(None, description="null: the current mark.")


class ChangeResult(Schema):
    """The position after the request. `repeated`: an earlier request with this Idempotency-Key did it."""

    position: Position
    repeated: bool
    sequence: int | None = Field(description="The entry's place in the account's ledger.")
