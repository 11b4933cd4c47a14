"""What the board keeps of a position, and the row that it builds from that.

A row has some forty facts; most follow from the account, the market and a few amounts. A web process keeps
only those (about 1.5 kB a position) and builds a row when somebody is to see it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple, Protocol

from django.conf import settings

from core.templatetags import numbers
from core.values.money import fixed
from portfolio import rollup
from portfolio.live import fields
from portfolio.live.worth import worth
from positions.book.contracts import Contract
from positions.labels import venue_name
from positions.ledger import serialise
from positions.ledger.instruments import contract_of
from positions.models import OPEN_STATUSES, Account, Environment, Instrument, InstrumentKind, Position, Status
from positions.models.names import display_name
from positions.risk.measures import unrealized_pnl_pct
from positions.sync import evidence
from reconciliation.labels import verdict_label
from reconciliation.models import VerdictStatus

Row = dict[str, Any]
PriceAt = tuple[Decimal | None, datetime]
"""A mark and its time; None: not known any more, since then."""

RESULTS = (
    "realized_pnl", "fees", "funding", "interest", "adjustments", "fees_title", "funding_title", "incomplete",
)  # fmt: skip
BOOK_COLUMNS = tuple(
    name
    for name in fields.streamed()
    if name in serialise.FRAME_COLUMNS
    and name not in (*RESULTS, "id", "account", "version", "status", "leg", "quantity")
)
"""Columns of the book that a row repeats as they are, and for which BoardPosition has no field of its own."""
KEPT = (*RESULTS, *BOOK_COLUMNS)
STATUS_LABELS: dict[str, str] = dict(Status.choices)


class BoardPrice(NamedTuple):
    """A mark, and how rows write it: built once for all positions in the instrument."""

    mark: Decimal | None
    text: str | None
    at: str | None
    at_ms: int | None


class VenueTerms(NamedTuple):
    """What the venue states for a leg, with its revision; an amount that it does not state is None.

    `no_liquidation`: no price liquidates it at this equity.
    """

    revision: int
    quantity: Decimal | None
    leverage: str | None
    liquidation_price: Decimal | None
    no_liquidation: bool


class LegVerdict(NamedTuple):
    """What reconciliation concluded about a leg, with its revision, and the time of the proof."""

    revision: int
    status: str
    as_of: datetime | None


UNPRICED = BoardPrice(None, None, None, None)
NO_TERMS = VenueTerms(0, None, None, None, no_liquidation=False)
NO_VERDICT = LegVerdict(0, VerdictStatus.PENDING, None)


class FoldSums(Protocol):
    """The sums of the book's fold that a row shows: in settle currency, maps by currency."""

    @property
    def realized_pnl(self) -> Decimal: ...
    @property
    def adjustment_pnl(self) -> Decimal: ...
    @property
    def fees(self) -> Mapping[str, Decimal]: ...
    @property
    def funding(self) -> Mapping[str, Decimal]: ...
    @property
    def fees_value(self) -> Decimal: ...
    @property
    def funding_value(self) -> Decimal: ...
    @property
    def interest_value(self) -> Decimal: ...
    @property
    def unknown_pnl(self) -> int: ...
    @property
    def unknown_fees(self) -> int: ...
    @property
    def incomplete(self) -> int: ...


@dataclass(frozen=True, slots=True)
class BoardAccount:
    """An account's part of its rows."""

    id: int
    venue: str
    row: Row

    @property
    def is_by_hand(self) -> bool:
        """Return whether it has no venue, hence no feed."""
        return bool(self.row["environment"] == Environment.MANUAL)


@dataclass(frozen=True, slots=True)
class BoardMarket:
    """An instrument's part of its rows; `liquidates` is False where no price does."""

    id: int
    contract: Contract
    order: str
    liquidates: bool
    methods: tuple[Any, ...]
    row: Row


@dataclass(slots=True)
class BoardPosition:
    """One position; `kept` has KEPT as rows write it. `value` sets the last four from the price.

    `proof_at` is the time that its row shows. `feed` is its account's, a word of `positions.sync.feed_words`;
    None: not known, of the past.
    """

    id: int
    version: int
    status: str
    leg: str
    quantity: Decimal
    open_cost: Decimal | None
    net_pnl: Decimal
    kept: tuple[Any, ...]
    account: BoardAccount
    market: BoardMarket
    terms: VenueTerms
    verdict: LegVerdict = NO_VERDICT
    proof: str = VerdictStatus.PENDING
    proof_at: datetime | None = None
    feed: str | None = None
    notional: Decimal | None = None
    unrealized_pnl: Decimal | None = None
    liquidation_distance_pct: Decimal | None = None
    risk: str = "unknown"

    @property
    def is_open(self) -> bool:
        """Return whether it has a quantity now."""
        return self.status in OPEN_STATUSES


def board_account(account: Account) -> BoardAccount:
    """Return an account's part of its rows."""
    row = {
        "venue": venue_name(account.venue),
        "account": account.label,
        "account_id": account.pk,
        "environment": account.environment,
        "environment_label": account.get_environment_display(),
    }
    return BoardAccount(account.pk, account.venue, row)


def board_market(instrument: Instrument) -> BoardMarket:
    """Return an instrument's part of its rows."""
    contract = contract_of(instrument)
    row = {
        "name": display_name(instrument),
        "kind": kind_of(instrument),
        "symbol": instrument.symbol,
        "underlying": instrument.underlying,
        "size_asset": instrument.quote if instrument.kind == InstrumentKind.INVERSE else instrument.base,
        "quantity_step": text(instrument.quantity_step),
        "price_tick": text(instrument.price_tick),
        "currency": contract.settle,
        "in_par": contract.settle in settings.PAR_CURRENCIES,
    }
    return BoardMarket(
        id=instrument.pk,
        contract=contract,
        order=f"{instrument.underlying}|{instrument.symbol}",
        liquidates=instrument.kind not in (InstrumentKind.SPOT, InstrumentKind.ASSET),
        methods=evidence.methods_of(instrument=instrument),
        row=row,
    )


def venue_terms(state: Mapping[str, Any] | None) -> VenueTerms:
    """Return what rows need of a venue's state of a leg, as `queries.board()` or a frame carries it."""
    if not state:
        return NO_TERMS
    leverage = decimal(state.get("leverage"))
    return VenueTerms(
        int(state.get("revision") or 0),
        decimal(state.get("quantity")),
        text(leverage),
        decimal(state.get("liquidation_price")),
        bool(state.get("no_liquidation")),
    )


def board_position(
    position: Position, *, fold: FoldSums, account: BoardAccount, market: BoardMarket, terms: VenueTerms
) -> BoardPosition:
    """Return what the board keeps of a position, not valued yet."""
    return BoardPosition(
        id=position.pk, version=position.version, status=position.status, leg=position.leg,
        quantity=position.quantity, open_cost=position.open_cost, net_pnl=position.net_pnl,
        kept=(*results_of(fold), *[_written(getattr(position, name)) for name in BOOK_COLUMNS]),
        account=account, market=market, terms=terms,
    )  # fmt: skip


def _written(value: Any) -> Any:
    """Return a column's value as rows write it: amounts and times as text."""
    if isinstance(value, Decimal):
        return fixed(value)
    return value.isoformat() if isinstance(value, datetime) else value


def board_price(price: PriceAt | None) -> BoardPrice:
    """Return a price as rows write it."""
    if price is None:
        return UNPRICED
    mark, at = price
    return BoardPrice(mark, text(mark), at.isoformat(), int(at.timestamp() * 1000))


def value(position: BoardPosition, *, price: BoardPrice) -> None:
    """Set what the position is worth at this price, and how far the price is from liquidation."""
    terms = _current_terms(position)
    found = worth(
        position.market.contract,
        quantity=position.quantity,
        open_cost=position.open_cost,
        mark=price.mark,
        liquidation_price=terms.liquidation_price,
        liquidates=position.market.liquidates and not terms.no_liquidation,
    )
    position.notional, position.unrealized_pnl = found.notional, found.unrealized_pnl
    position.liquidation_distance_pct, position.risk = found.liquidation_distance_pct, found.risk


def row_of(position: BoardPosition, *, price: BoardPrice) -> Row:
    """Return the row of a position that was valued at this price: `schema.POSITION_FIELDS`, each once."""
    account, market, side = position.account, position.market, side_of(position)
    terms = _current_terms(position)
    reading = evidence.reading(venue=account.venue, methods=market.methods)
    proof_at = position.verdict.as_of
    pct = unrealized_pnl_pct(unrealized_pnl=position.unrealized_pnl, entry_notional=position.open_cost)
    return {
        "id": position.id,
        "order": f"{market.order}|{account.row['account']}|{position.id:012}",
        "open": position.is_open,
        **account.row,
        **market.row,
        "version": position.version,
        "leg": position.leg,
        "side": side,
        "side_label": side.title(),
        "leverage": terms.leverage,
        "quantity": fixed(position.quantity),
        **dict(zip(KEPT, position.kept, strict=True)),
        "mark_price": price.text,
        "mark_at": price.at,
        "notional": text(position.notional),
        "unrealized_pnl": text(position.unrealized_pnl),
        "unrealized_pnl_pct": text(pct),
        "total_pnl": _total_pnl(position),
        "liquidation_distance_pct": text(position.liquidation_distance_pct),
        "risk": position.risk,
        "liquidation_price": text(terms.liquidation_price),
        "status": position.status,
        "status_label": STATUS_LABELS[position.status],
        "proof": position.proof,
        "proof_label": verdict_label(
            position.proof, is_proven=reading.is_proven, at=proof_at if is_aged(position) else None
        ),
        "proof_at": None if proof_at is None else proof_at.isoformat(),
        "feed": position.feed,
        "proof_reading": reading.grade.value,
        "proof_unproven": list(reading.unproven),
    }


def totals_row(position: BoardPosition, *, price: BoardPrice) -> Row:
    """Return what totals need of a row; amounts stay Decimals, so that nothing is parsed again."""
    account, market = position.account.row, position.market.row
    return {
        "id": position.id,
        "environment": account["environment"],
        "account": account["account"],
        "account_id": position.account.id,
        "name": market["name"],
        "symbol": market["symbol"],
        "kind": market["kind"],
        "in_par": market["in_par"],
        "currency": market["currency"],
        "side": side_of(position),
        "mark_price": price.text,
        "mark_at": price.at,
        "notional": position.notional,
        "unrealized_pnl": position.unrealized_pnl,
        "realized_pnl": position.kept[0],
        "liquidation_distance_pct": position.liquidation_distance_pct,
        "risk": position.risk,
        "proof": position.proof,
        "feed": position.feed,
    }


def is_aged(position: BoardPosition) -> bool:
    """Return whether its proof is of before its account's feed stopped telling what happens."""
    return rollup.is_aged(proof=position.proof, feed=position.feed)


def results_of(episode: FoldSums) -> tuple[Any, ...]:
    """Return RESULTS in settle currency. A sum of which nothing is known is None, not 0."""
    return (
        _sum(episode.realized_pnl, unknown=episode.unknown_pnl),
        _sum(episode.fees_value, unknown=episode.unknown_fees),
        _sum(episode.funding_value, unknown=0),
        fixed(episode.interest_value),
        fixed(episode.adjustment_pnl),
        _by_currency(episode.fees, unknown=episode.unknown_fees),
        _by_currency(episode.funding, unknown=0),
        episode.incomplete,
    )


def side_of(position: BoardPosition) -> str:
    """Return long, short or flat; for an ended episode, what it was."""
    if position.quantity:
        return "long" if position.quantity > 0 else "short"
    return position.leg if position.leg in ("long", "short") else "flat"


def decimal(written: str | None) -> Decimal | None:
    """Read an amount; None is unknown."""
    return None if written is None else Decimal(written)


def text(number: Decimal | None) -> str | None:
    """Write an amount; None is unknown."""
    return None if number is None else fixed(number)


def _current_terms(position: BoardPosition) -> VenueTerms:
    """Return the venue's terms; none while they are still of the other side of a flip."""
    quantity = position.terms.quantity
    return position.terms if quantity is None or quantity * position.quantity > 0 else NO_TERMS


def _total_pnl(position: BoardPosition) -> str | None:
    """Return net P&L with the unrealized part; unknown when that is."""
    if not position.is_open:
        return fixed(position.net_pnl)
    return None if position.unrealized_pnl is None else fixed(position.net_pnl + position.unrealized_pnl)


def _sum(amount: Decimal, *, unknown: int) -> str | None:
    return None if unknown and not amount else fixed(amount)


def _by_currency(amounts: Mapping[str, Decimal], *, unknown: int) -> str:
    parts = [
        f"{numbers.quantity(amount)} {currency}" for currency, amount in sorted(amounts.items()) if amount
    ]
    return " + ".join([*parts, f"{unknown} unknown"] if unknown else parts)


def kind_of(instrument: Instrument) -> str:
    """Return spot, inverse, or the quote currency of a linear contract."""
    if instrument.kind in (InstrumentKind.SPOT, InstrumentKind.ASSET):
        return "spot"
    return "inverse" if instrument.kind == InstrumentKind.INVERSE else instrument.quote
