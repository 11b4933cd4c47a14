"""Every frame and command of the stream as types: the one source of its JSON Schema and TypeScript types.

What is sent is put together as bytes (`frames`), so nothing here runs while it is; tests hold each frame that
a hub really sends to these types. Fields that the API has too come from `fields`, in the stream's types.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from types import NoneType
from typing import Annotated, Any, Literal, TypeVar, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, RootModel, create_model
from pydantic.json_schema import models_json_schema

from core.values import money
from portfolio.live import fields
from portfolio.live.frames import COLUMNS
from positions.api.schemas import Instant

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Money = Annotated[str, Field(pattern=r"^-?\d+(\.\d+)?$", description="A decimal in fixed notation.")]
Time = Annotated[
    str,
    Field(
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00$",
        description="ISO 8601, in UTC.",
        json_schema_extra={"format": "date-time"},
    ),
]
Token = Annotated[
    str, Field(pattern=r"^[^-]+-\d+$", description="epoch-id: the place in the stream. For `resume`.")
]
Environment = Literal["live", "testnet", "simulated", "manual"]


class _Typed(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


Model = TypeVar("Model", bound=BaseModel)


def _stream_type(api_type: Any) -> Any:
    """Return the stream's type for one of the API's: amounts and times are texts with a pattern."""
    if api_type == money.Money:
        return Money
    if api_type == Instant:
        return Time
    if isinstance(api_type, type) and issubclass(api_type, Enum):
        return Literal[tuple(one.value for one in api_type)]
    if NoneType in get_args(api_type):
        (known,) = (one for one in get_args(api_type) if one is not NoneType)
        return _stream_type(known) | None
    return api_type


def _with_shared_fields() -> Callable[[type[Model]], type[Model]]:
    """Add the fields that the API has too, unless the class declares its own, and then the aliases."""

    def extended(model: type[Model]) -> type[Model]:
        own = get_type_hints(model, include_extras=True)
        added = {
            name: (_stream_type(api_type), Field(description=field.description))
            for name, (api_type, field) in fields.streamed().items()
            if name not in own
        }
        types = own | {name: type_ for name, (type_, _) in added.items()}
        aliases = {
            alias: (types[name], Field(description=f"The same as `{name}`, under its earlier name."))
            for alias, name in fields.PREDECESSOR_NAMES.items()
        }
        every: dict[str, Any] = {**added, **aliases}
        return create_model(
            model.__name__, __base__=model, __module__=model.__module__, __doc__=model.__doc__, **every
        )

    return extended


@_with_shared_fields()
class Position(_Typed):
    """One position as it is now. Money is in `currency`, sizes in `size_asset`; null is unknown.

    What the HTTP API has too is named as there; some of it is repeated under earlier names (`size`).
    """

    order: str = Field(description="Sorts rows as the board does.")
    open: bool = Field(description="False: it has ended, and leaves.")
    name: str = Field(description="BTC-PERP: what people call the instrument.")
    underlying: str = Field(description="BTC: what its price follows, alike for coin and perpetual.")
    kind: str
    environment: Environment
    environment_label: str
    side: Literal["long", "short", "flat"]
    side_label: str
    quantity: Money = Field(description="Signed: short is negative.")
    size_asset: str
    quantity_step: Money | None
    price_tick: Money | None
    currency: str
    in_par: bool = Field(description="Whether `currency` counts as one USD in totals.")
    fees: Money | None = Field(description="Paid is positive.")
    fees_title: str
    funding: Money | None = Field(description="Received is positive.")
    funding_title: str
    interest: Money
    adjustments: Money
    incomplete: int = Field(description="How many unknowns the sums leave out.")
    risk: Literal["none", "safe", "watch", "danger", "critical", "unknown"]
    status: str
    status_label: str
    proof: Literal["PENDING", "SYNCED", "DRIFT", "FAILED"]
    proof_label: str = Field(description="With its time, where it is not of now: Synced at 14:02:11 UTC.")
    feed: Literal["live", "backfilling", "stale", "down", "polled", "none"] | None


POSITION_FIELDS = tuple(name for name in Position.model_fields if name not in fields.PREDECESSOR_NAMES)
"""What a row has, each once, under the name that it has inside."""


PAINTED = {"age": None, "stale": None, "aged": None, "proof_text": ""}
"""What the first paint adds to a row, as a browser counts it by itself. See `rows.painted`."""


def blank_row() -> dict[str, Any]:
    """Return a row in which nothing is known, for the page's row template: texts are empty, all else None."""
    row = {name: "" if Position.model_fields[name].annotation is str else None for name in POSITION_FIELDS}
    return row | PAINTED


class Totals(_Typed):
    """Sums over the open positions of one environment. `*_note` and what has no number are words to show."""

    environment: str
    environment_label: str
    positions: int
    equity: Money | None = Field(description="Cash and coins by the book, and what is not realized yet.")
    equity_note: str
    today: Money | None = Field(description="What was earned since the desk's day began, without flows.")
    today_pct: Money | None = Field(description="In percent of what the accounts began the day with.")
    today_note: str
    unrealized: Money | None
    unrealized_note: str
    realized: Money | None
    realized_note: str
    gross: Money | None
    net: Money | None
    gross_note: str
    nearest: Money | None = Field(description="The shortest way to a liquidation, in percent of the mark.")
    nearest_note: str
    nearest_risk: str
    nearest_id: int | None = Field(description="The position that is nearest to its liquidation.")
    proof: str
    proof_note: str
    proof_level: str
    feeds: str
    feeds_note: str
    feeds_level: str
    oldest_mark_at: Time | None = Field(description="The age of the oldest price that the sums rest on.")
    unpriced: int = Field(description="How many positions have no price.")


class Backfill(_Typed):
    """How far reading what was missed has come, in facts."""

    feed: str
    booked: int
    of: int | None


class FeedState(_Typed):
    """The state of one account's feed."""

    account: int
    state: Literal["live", "backfilling", "stale", "down"]
    since: Time
    at: Time
    last_event: Time | None
    reason: str
    streams: bool = Field(description="False: this venue has no stream and is polled.")
    progress: Backfill | None
    copy_: str = Field(alias="copy")


class AlertSummary(_Typed):
    """An alert as it stands. `summary` is how it healed once it is over."""

    id: int
    kind: str
    kind_label: str
    severity: Literal["critical", "warning", "info"]
    state: Literal["raised", "acknowledged", "cleared"]
    title: str = Field(description="Never changes once people know it.")
    summary: str
    account_id: int | None = Field(description="Null: of no single account.")
    account: str | None
    told: bool = Field(description="False: its wait is not over, or another alert explains it.")
    explained_by: int | None = Field(description="The alert that causes it: nobody is told of this one.")
    raised_at: Time
    unjudged_since: Time | None = Field(description="Since when nobody can say whether it is still so.")
    acknowledged_at: Time | None
    acknowledged_by: str
    cleared_at: Time | None
    at: Time


ByEnvironment = dict[Environment, Totals]


class Hello(_Typed):
    """The first frame."""

    type: Literal["hello"]
    server_time: Time
    format: Literal["named", "compact"]


class Snapshot(_Typed):
    """All that is open: start over from here."""

    type: Literal["snapshot"]
    token: Token
    totals: ByEnvironment
    positions: list[Position]
    columns: list[str] = Field(
        default=[], description=f"Compact format only: what a row has, {', '.join(COLUMNS)}."
    )


class PositionUpdate(_Typed):
    """One position changed; it comes whole, so a repeat is harmless."""

    type: Literal["position_update"]
    id: int
    symbol: str
    token: Token
    position: Position


Row = tuple[int, Money | None, Money | None, int | None]


class Rows(_Typed):
    """Compact format only: prices moved. Each row is [id, mark_price, unrealized_pnl, mark_at_ms]."""

    type: Literal["rows"]
    token: Token
    rows: list[Row]


class Portfolio(_Typed):
    """Totals of what this socket may see, at most once a second."""

    type: Literal["portfolio"]
    token: Token
    totals: ByEnvironment


class Feed(_Typed):
    """An account's feed changed."""

    type: Literal["feed"]
    feed: FeedState


class Alert(_Typed):
    """An alert was raised, changed or cleared; it comes whole, so a repeat is harmless."""

    type: Literal["alert"]
    alert: AlertSummary


class Heartbeat(_Typed):
    """Every 2 s while the book can be read."""

    type: Literal["heartbeat"]
    server_time: Time
    token: Token


class Pong(_Typed):
    """The answer to a ping."""

    type: Literal["pong"]
    server_time: Time
    token: Token


class ErrorFrame(_Typed):
    """What was wrong with a command."""

    type: Literal["error"]
    code: str
    detail: str


_AnyFrame = (
    Hello | Snapshot | PositionUpdate | Rows | Portfolio | Feed | Alert | Heartbeat | Pong | ErrorFrame
)


class Frame(RootModel[Annotated[_AnyFrame, Field(discriminator="type")]]):
    """What the server sends."""


class Ping(BaseModel):
    """Answered by a pong. Who has sent one must send another within 10 s. `last`: the last token received."""

    type: Literal["ping"]
    last: str | None = None


class GetSummary(BaseModel):
    """Answered by a portfolio frame."""

    type: Literal["get_summary"]


class Subscribe(BaseModel):
    """Narrow it to some of the accounts that may be seen (null: all of them); answered by a snapshot."""

    type: Literal["subscribe"]
    accounts: list[int] | None = None
    format: Literal["named", "compact"] = Field("named", description="Left out: as it is.")


class Resume(BaseModel):
    """Get what changed since a token, or a snapshot."""

    type: Literal["resume"]
    token: str


class Command(RootModel[Annotated[Ping | GetSummary | Subscribe | Resume, Field(discriminator="type")]]):
    """What a client may send."""


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) that every frame and every command satisfies.

    `$defs` has one entry for each; `Frame` and `Command` are their unions. More members may come later: a
    client that validates must not refuse what it does not know, so nothing here forbids it.
    """
    _, made = models_json_schema(
        [(Frame, "validation"), (Command, "validation")], ref_template="#/$defs/{model}", by_alias=True
    )
    return {
        "$schema": DIALECT,
        "title": "Plumbline's stream",
        "description": "Frames and commands of the socket at /api/v1/positions/stream, in both formats.",
        "oneOf": [{"$ref": "#/$defs/Frame"}, {"$ref": "#/$defs/Command"}],
        "$defs": {name: _open(one) for name, one in made["$defs"].items()},
    }


def _open(described: dict[str, Any]) -> dict[str, Any]:
    """Remove what forbids members, and a keyword of OpenAPI that JSON Schema does not know."""
    closed = described.get("additionalProperties") is False
    left_out = {"discriminator"} | ({"additionalProperties"} if closed else set())
    return {name: value for name, value in described.items() if name not in left_out}
