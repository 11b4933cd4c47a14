"""What the board knows of a position, kept small, and the row that it makes of that.

A row is some fifty facts; most follow from the account, the market and a few amounts. So those are what a web
process keeps (about 1.5 kB a position), and rows are made when somebody is to see them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple, Protocol

from django.conf import settings

from core.money import fixed
from core.templatetags import numbers
from positions.book.contracts import Contract
from positions.labels import venue_name
from positions.ledger.instruments import contract_of
from positions.models import OPEN_STATUSES, Account, Instrument, InstrumentKind, Position, Status
from positions.models.names import display_name
from positions.risk.bands import risk_band
from positions.risk.measures import liquidation_distance_pct, unrealized_pnl_pct
from positions.sync import evidence
from reconciliation.labels import verdict_label
from reconciliation.models import Status as VerdictStatus

Row = dict[str, Any]
Price = tuple[Decimal | None, datetime]
"""A mark and its time; None: not known any more, since then."""

RESULTS = (
    "realized", "fees", "funding", "interest", "adjustments", "fees_title", "funding_title", "incomplete",
)  # fmt: skip
STATUS_LABELS: dict[str, str] = dict(Status.choices)


class Quoted(NamedTuple):
    """A price, and how it is written: made once for all who hold the instrument."""

    mark: Decimal | None
    text: str | None
    at: str | None
    at_ms: int | None


class Said(NamedTuple):
    """What the venue says of a leg, with its revision; amounts None where it does not say."""

    revision: int
    quantity: Decimal | None
    leverage: str | None
    liquidation: Decimal | None


class Judged(NamedTuple):
    """What was concluded about a leg, with its revision, and the time of the proof."""

    revision: int
    status: str
    as_of: datetime | None


UNPRICED = Quoted(None, None, None, None)
UNSAID = Said(0, None, None, None)
UNJUDGED = Judged(0, VerdictStatus.PENDING, None)


class Fold(Protocol):
    """What a row shows of the book's fold; sums in settle currency, maps by currency."""

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
class Owner:
    """An account's part of its rows."""

    id: int
    venue: str
    row: Row


@dataclass(frozen=True, slots=True)
class Market:
    """An instrument's part of its rows; `liquidates` is False where no price does."""

    id: int
    contract: Contract
    order: str
    liquidates: bool
    methods: tuple[Any, ...]
    row: Row


@dataclass(slots=True)
class BoardPosition:
    """One position. The last four are what `value` made of the price."""

    id: int
    version: int
    status: str
    leg: str
    quantity: Decimal
    open_cost: Decimal | None
    entry_price: Decimal | None
    net_pnl: Decimal
    results: tuple[Any, ...]
    owner: Owner
    market: Market
    said: Said
    judged: Judged = UNJUDGED
    proof: str = VerdictStatus.PENDING
    notional: Decimal | None = None
    unrealized: Decimal | None = None
    distance: Decimal | None = None
    risk: str = "unknown"

    @property
    def is_open(self) -> bool:
        """Whether it has a size now."""
        return self.status in OPEN_STATUSES


def owner_of(account: Account) -> Owner:
    """Return what rows say of an account."""
    row = {
        "venue": venue_name(account.venue),
        "account": account.label,
        "account_id": account.pk,
        "environment": account.environment,
        "environment_label": account.get_environment_display(),
    }
    return Owner(account.pk, account.venue, row)


def market_of(instrument: Instrument) -> Market:
    """Return what rows say of an instrument."""
    contract = contract_of(instrument)
    row = {
        "name": display_name(instrument),
        "kind": _kind(instrument),
        "symbol": instrument.symbol,
        "size_asset": instrument.quote if instrument.kind == InstrumentKind.INVERSE else instrument.base,
        "quantity_step": text(instrument.quantity_step),
        "price_tick": text(instrument.price_tick),
        "currency": contract.settle,
        "in_par": contract.settle in settings.PAR_CURRENCIES,
    }
    return Market(
        id=instrument.pk,
        contract=contract,
        order=f"{instrument.underlying}|{instrument.symbol}",
        liquidates=instrument.kind not in (InstrumentKind.SPOT, InstrumentKind.ASSET),
        methods=evidence.methods_of(instrument=instrument),
        row=row,
    )


def said_of(stated: Mapping[str, Any] | None) -> Said:
    """Return what rows need of what a venue says, as `queries.board()` or a frame carries it."""
    if not stated:
        return UNSAID
    leverage = decimal(stated.get("leverage"))
    return Said(
        int(stated.get("revision") or 0),
        decimal(stated.get("quantity")),
        text(leverage),
        decimal(stated.get("liquidation_price")),
    )


def facts_of(position: Position, *, fold: Fold, owner: Owner, market: Market, said: Said) -> BoardPosition:
    """Return the facts of a position, not valued yet."""
    return BoardPosition(
        id=position.pk, version=position.version, status=position.status, leg=position.leg,
        quantity=position.quantity, open_cost=position.open_cost, entry_price=position.entry_price,
        net_pnl=position.net_pnl, results=results_of(fold), owner=owner, market=market, said=said,
    )  # fmt: skip


def quoted(price: Price | None) -> Quoted:
    """Return a price as rows write it."""
    if price is None:
        return UNPRICED
    mark, at = price
    return Quoted(mark, text(mark), at.isoformat(), int(at.timestamp() * 1000))


def value(facts: BoardPosition, *, price: Quoted) -> None:
    """Say what the position is worth at this price, and how far that is from liquidation."""
    liquidation = _believed_said(facts).liquidation
    facts.notional = facts.unrealized = facts.distance = None
    if price.mark is not None:
        facts.notional = facts.market.contract.notional(facts.quantity.copy_abs(), price.mark)
        if facts.open_cost is not None:
            facts.unrealized = facts.market.contract.pnl(facts.quantity, facts.open_cost, facts.notional)
        facts.distance = liquidation_distance_pct(
            size=facts.quantity, mark=price.mark, liquidation_price=liquidation
        )
    liquidates = facts.market.liquidates
    facts.risk = "none" if not liquidates else risk_band(distance_pct=facts.distance) or "unknown"


def row_of(facts: BoardPosition, *, price: Quoted) -> Row:
    """Return the row of a position that was valued at this price."""
    owner, market, side = facts.owner, facts.market, side_of(facts)
    said = _believed_said(facts)
    reading = evidence.reading(venue=owner.venue, methods=market.methods)
    pct = unrealized_pnl_pct(unrealized_pnl=facts.unrealized, entry_notional=facts.open_cost)
    return {
        "id": facts.id,
        "version": facts.version,
        "order": f"{market.order}|{owner.row['account']}|{facts.id:012}",
        "open": facts.is_open,
        **owner.row,
        **market.row,
        "leg": facts.leg,
        "side": side,
        "side_label": side.title(),
        "leverage": said.leverage,
        "size": fixed(facts.quantity),
        "entry": text(facts.entry_price),
        **dict(zip(RESULTS, facts.results, strict=True)),
        "mark": price.text,
        "at": price.at,
        "notional": text(facts.notional),
        "unrealized": text(facts.unrealized),
        "unrealized_pct": text(pct),
        "net": _net(facts),
        "distance_pct": text(facts.distance),
        "risk": facts.risk,
        "liquidation": text(said.liquidation),
        "status": facts.status,
        "status_label": STATUS_LABELS[facts.status],
        "proof": facts.proof,
        "proof_label": verdict_label(facts.proof, is_proven=reading.is_proven),
        "proof_reading": reading.grade.value,
        "proof_unproven": list(reading.unproven),
    }


def summed(facts: BoardPosition, *, price: Quoted) -> Row:
    """Return what totals need of a row, with amounts that need not be read again."""
    owner, market = facts.owner.row, facts.market.row
    return {
        "id": facts.id,
        "environment": owner["environment"],
        "account": owner["account"],
        "account_id": facts.owner.id,
        "name": market["name"],
        "symbol": market["symbol"],
        "kind": market["kind"],
        "in_par": market["in_par"],
        "side": side_of(facts),
        "mark": price.text,
        "at": price.at,
        "notional": facts.notional,
        "unrealized": facts.unrealized,
        "realized": facts.results[0],
        "distance_pct": facts.distance,
        "risk": facts.risk,
        "proof": facts.proof,
    }


def results_of(episode: Fold) -> tuple[Any, ...]:
    """RESULTS, in settle currency. A sum of which nothing is known is None, not 0."""
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


def side_of(facts: BoardPosition) -> str:
    """Long, short or flat; of an ended episode, what it was."""
    if facts.quantity:
        return "long" if facts.quantity > 0 else "short"
    return facts.leg if facts.leg in ("long", "short") else "flat"


def decimal(written: str | None) -> Decimal | None:
    """Read an amount; None is unknown."""
    return None if written is None else Decimal(written)


def text(number: Decimal | None) -> str | None:
    """Write an amount; None is unknown."""
    return None if number is None else fixed(number)


def _believed_said(facts: BoardPosition) -> Said:
    """Nothing while the venue still speaks of the other side of a flip."""
    held = facts.said.quantity
    return facts.said if held is None or held * facts.quantity > 0 else UNSAID


def _net(facts: BoardPosition) -> str | None:
    """Net P&L with the unrealized part; unknown when that is."""
    if not facts.is_open:
        return fixed(facts.net_pnl)
    return None if facts.unrealized is None else fixed(facts.net_pnl + facts.unrealized)


def _sum(amount: Decimal, *, unknown: int) -> str | None:
    return None if unknown and not amount else fixed(amount)


def _by_currency(amounts: Mapping[str, Decimal], *, unknown: int) -> str:
    parts = [
        f"{numbers.quantity(amount)} {currency}" for currency, amount in sorted(amounts.items()) if amount
    ]
    return " + ".join([*parts, f"{unknown} unknown"] if unknown else parts)


def _kind(instrument: Instrument) -> str:
    if instrument.kind in (InstrumentKind.SPOT, InstrumentKind.ASSET):
        return "spot"
    return "inverse" if instrument.kind == InstrumentKind.INVERSE else instrument.quote
