"""The API's schemas of reported entries, and of each one's result."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from ninja import Schema
from pydantic import Field, GetJsonSchemaHandler, TypeAdapter
from pydantic.json_schema import JsonSchemaValue

from core.http.inputs import Id, LongText, Text
from core.values.money import MoneyIn
from positions.api.schemas import Moment, RequestBody, asked
from positions.book.entries import SIZED_KINDS, Cause, Kind, Leg, Side

MAX_ENTRIES = 1000
_REFERENCE = r"^[^\x00-\x1f\x7f]+$"  # printable, also to people who read the ledger


class EntryIn(RequestBody):
    """One entry as a venue reported it. `venue_ref` makes a repeat harmless."""

    kind: Kind
    venue_ref: str = Field(min_length=1, max_length=300, pattern=_REFERENCE)
    time: Moment
    cause: Cause | None = Field(None, description="Of a fill: trade, if not said.")
    instrument: Text | None = Field(None, max_length=120, description="The venue's symbol.")
    leg: Leg | None = Field(None, description="Of a fill or adjustment: net, if not said.")
    side: Side | None = None
    quantity: MoneyIn | None = None
    price: MoneyIn | None = None
    fee: MoneyIn | None = Field(None, description="Paid is positive; null is unknown, 0 is none.")
    fee_currency: Text | None = None
    amount: MoneyIn | None = Field(None, description="Received is positive.")
    currency: Text | None = None
    reason: Annotated[LongText, Field(max_length=500)] | None = None
    target: Text | None = Field(None, max_length=300, description="Of a bust or amend: what it corrects.")
    amended_time: Moment | None = None
    position_before: MoneyIn | None = None
    wallet: Text | None = Field(None, max_length=40)

    def plain(self) -> dict[str, str]:
        """Return it as `book.Entry.from_plain` reads it."""
        said = {name: _plain(value) for name, value in self if value is not None}
        if self.kind is Kind.FILL:
            said.setdefault("cause", Cause.TRADE.value)
        if self.kind in SIZED_KINDS:
            said.setdefault("leg", Leg.NET.value)
        return said


def _plain(value: Any) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    return value.isoformat() if isinstance(value, datetime) else str(value)


class _AsEntries:
    """Documents the list by the schema that each item is validated with."""

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        entries = TypeAdapter(Annotated[list[EntryIn], Field(min_length=1, max_length=MAX_ENTRIES)])
        return handler(entries.core_schema)


class EntriesIn(RequestBody):
    """Facts of one account. Each is checked by itself, so that one mistake does not lose the others."""

    model_config = asked(
        account="main",
        entries=[
            {
                "kind": "fill",
                "venue_ref": "BTC:4711",
                "time": "2026-03-02T09:00:00Z",
                "instrument": "BTC/USDC:USDC",
                "side": "buy",
                "quantity": "0.5",
                "price": "60000",
                "fee": "1.5",
                "fee_currency": "USDC",
            }
        ],
    )

    account: Id | Text
    entries: Annotated[
        list[Any],
        Field(min_length=1, max_length=MAX_ENTRIES),
        _AsEntries,
    ]
    all_or_nothing: bool = Field(False, description="Book nothing unless everything can be booked.")


class EntryResult(Schema):
    """What happened to one entry.

    booked, duplicate (nothing to do), amended (it completed what was unknown), waiting (its target has not
    been seen), conflict (the reference is booked with other content), quarantined (kept, not booked),
    invalid (not an entry: not kept), not_booked (all_or_nothing: another one stood in the way).
    """

    index: int
    venue_ref: str | None
    outcome: str
    sequence: int | None = None
    detail: str = ""


class EntriesOut(Schema):
    """One result per entry, in the order given, and how many had which outcome."""

    results: list[EntryResult]
    counts: dict[str, int]
    positions: list[int] = Field(description="Ids of the positions that changed.")
