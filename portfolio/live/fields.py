"""The fields of a position as API, stream and board share them: one list, from which all others are derived.

What the book knows of a position are the fields of `positions.api.schemas.Position`; what its mark, its venue
and its proof add are those of `Valuation`. API and board call them alike. To add a column: the model, one of
these two schemas, the template; a column that the stream must not carry is also named in NOT_STREAMED.
"""

from __future__ import annotations

from typing import Any, get_type_hints

from ninja import Schema
from pydantic import Field
from pydantic.fields import FieldInfo

from core.values.money import Money
from positions.api.schemas import Instant, Position

NOT_STREAMED = frozenset({
    "asset", "open_cost", "exit_price", "peak_quantity", "adjustment_pnl", "net_pnl", "pnl_currency",
    "quantity_asset", "unknown_count", "fill_count", "entry_count", "tags", "strategy", "note", "opened_at",
    "closed_at", "last_entry_at", "updated_at", "archived", "superseded_by", "margin_mode",
    "break_even_price", "effective_leverage", "margin_ratio", "pnl_today", "time_held_minutes",
    "position_size_norm",
})  # fmt: skip
"""What the API shows of a position and the stream does not."""

PREDECESSOR_NAMES = {
    "size": "quantity",
    "entry": "entry_price",
    "mark": "mark_price",
    "at": "mark_at",
    "unrealized": "unrealized_pnl",
    "unrealized_pct": "unrealized_pnl_pct",
    "realized": "realized_pnl",
    "net": "total_pnl",
    "liquidation": "liquidation_price",
    "distance_pct": "liquidation_distance_pct",
}
"""{alias: field}. Clients of earlier tools read the aliases, so the stream repeats these fields under them
(`frames.position`). Nothing inside, and no page of ours, uses an alias.
"""


class Valuation(Schema):
    """What a position's mark, its venue and its proof add to what the book knows of it."""

    mark_price: Money | None
    mark_at: Instant | None = Field(
        description="When the mark was observed; with a null mark, unknown since."
    )
    notional: Money | None
    unrealized_pnl: Money | None
    unrealized_pnl_pct: Money | None
    total_pnl: Money | None
    leverage: Money | None
    margin_mode: str | None
    liquidation_price: Money | None
    liquidation_distance_pct: Money | None
    risk: str = Field(
        description="critical, danger, warning, watch or safe by distance; none: no price liquidates it, as "
        "of a coin, or as the venue says at this equity; unknown: the distance is not known."
    )
    proof: str = Field(
        description="PENDING, SYNCED, DRIFT or FAILED. SYNCED is of `proof_at`, and of now only while `feed` "
        "tells what happens."
    )
    proof_at: Instant | None = Field(
        description="The venue's time of the report that last agreed with the book; null: none ever has."
    )
    feed: str | None = Field(
        description="How the account's feed stands: live, polled, none (kept by hand): what happens is heard "
        "of. backfilling, stale, down: it is not, and the proof is as old as `proof_at`. null: of the past."
    )
    proof_reading: str = Field(
        description="What our reading of this venue was tested with: recorded (answers it really gave), "
        "simulated, unproven (a SYNCED means less), or unsupported (kept by hand)."
    )
    proof_unproven: list[str] = Field(description="The methods behind the proof that nothing proves yet.")


def streamed() -> dict[str, tuple[Any, FieldInfo]]:
    """Return the API's fields that the stream carries too: {name: (type, field)}, in the API's order."""
    found: dict[str, tuple[Any, FieldInfo]] = {}
    for schema in (Position, Valuation):
        types = get_type_hints(schema, include_extras=True)
        found |= {
            name: (types[name], field)
            for name, field in schema.model_fields.items()
            if name not in NOT_STREAMED
        }
    return found
