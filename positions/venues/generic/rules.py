"""How one venue differs from what ccxt's unified methods promise: what a quirk file may override."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

from positions.book.entries import Cause, Entry, Leg
from positions.venues.base import (
    AccountConfig,
    Capability,
    Evidence,
    Method,
    Ports,
    PositionRow,
    VenueInstrument,
)
from positions.venues.fields import InvalidField, required
from positions.venues.generic import unified_facts, unified_rows
from positions.venues.generic.calls import ListCall, ReportCall
from positions.venues.generic.markets import Markets, store
from positions.venues.generic.unified_rows import Row
from positions.venues.instruments.relisting import relisted
from positions.venues.transport.client import Client, Limits
from positions.venues.transport.conversation import Conversation

_LEG_FIELDS = ("positionSide", "position_side", "posSide", "holdSide")


class VenueRules:
    """The attributes and small methods that decide how a venue is read; the defaults are cautious.

    It owns the ccxt client and knows the venue's markets, but reads nothing of the account.
    """

    exchange_id: ClassVar[str] = ""
    # Whether somebody looked at how ccxt reads this venue: only then is an empty balance believed.
    proven: ClassVar[bool] = False
    # What ccxt is known to read wrongly or in part, and what of it: nothing is proven by such a reading.
    doubts: ClassVar[Mapping[Method, str]] = {}
    limits: ClassVar[Limits | None] = None
    options: ClassVar[Mapping[str, Any]] = {}
    capabilities: Mapping[Method, Capability] = {
        method: Capability(Evidence.UNPROVEN, "through ccxt's unified methods") for method in Method
    }
    position_calls: ClassVar[tuple[ReportCall, ...]] = (ReportCall("fetch_positions"),)
    balance_calls: ClassVar[tuple[ReportCall, ...]] = (ReportCall("fetch_balance", wallet="main"),)
    fills: ClassVar[tuple[ListCall, ...]] = (ListCall("fetch_my_trades"),)
    funding: ClassVar[tuple[ListCall, ...]] = (ListCall("fetch_funding_history"),)
    deposits: ClassVar[ListCall | None] = ListCall("fetch_deposits")
    withdrawals: ClassVar[ListCall | None] = ListCall("fetch_withdrawals")
    ledgers: ClassVar[tuple[ListCall, ...]] = ()

    def __init__(self, config: AccountConfig, ports: Ports) -> None:
        self.config = config
        self.ports = ports
        self.client = Client(
            self.exchange_id or config.venue,
            config=config,
            ports=ports,
            limits=self.limits,
            options={**self.options, **dict(config.options.get("ccxt", {}))},
        )

    # What quirks override

    async def ask(self, call: ReportCall) -> tuple[Any, Conversation]:
        """Make one call of a report. Raises VenueError."""
        return await self.client.call(call.method, *call.args)

    def wallet_of(self, instrument: VenueInstrument) -> str:
        """The wallet that an instrument's cash is in."""
        return self.balance_calls[0].wallet

    def wallet_of_transfers(self) -> str:
        """The wallet that deposits reach and withdrawals leave."""
        return self.balance_calls[0].wallet

    def leg_of(self, row: Row) -> Leg:
        """The leg that a fill belongs to, from the venue's raw row; net unless the venue says otherwise.

        Raises InvalidField where the row names a leg and nobody proved how this venue means it.
        """
        named = [str(row[name]) for name in _LEG_FIELDS if row.get(name)]
        if any(name.lower() in ("long", "short") for name in named):
            raise InvalidField(f"the fill names the leg {named[0]}, and hedge mode is not proven here")
        return Leg.NET

    def cause_of(self, row: Row) -> Cause:
        """Why a fill happened, from the venue's raw row."""
        return Cause.TRADE

    async def before_fills(self, rows: Collection[Row]) -> None:
        """Learn what a list of unified trades leaves out, before they are read. Raises VenueError."""

    def fills_of(self, row: Row, instrument: VenueInstrument) -> list[Entry]:
        """The entries of one unified trade."""
        info = row.get("info")
        raw: Row = info if isinstance(info, Mapping) else {}
        if not self.proven:
            row = unified_facts.without_taker_rebate(row)
        return unified_facts.fill(
            row,
            instrument,
            venue=self.config.venue,
            wallet=self.wallet_of(instrument),
            leg=self.leg_of(raw),
            cause=self.cause_of(raw),
        )

    def funding_of(self, row: Row, instrument: VenueInstrument) -> Entry:
        """The entry of one unified funding payment. Raises InvalidField."""
        code, settle = row.get("code"), instrument.contract.settle
        if not self.proven and code and code != settle:
            raise InvalidField(f"funding in {code} of a contract that settles in {settle}")
        return unified_facts.funding(
            row, instrument, venue=self.config.venue, wallet=self.wallet_of(instrument)
        )

    def funding_symbol(self, row: Row) -> Any:
        """The unified symbol of a funding payment."""
        return row.get("symbol")

    def hedged(self, row: Row) -> bool | None:
        """Whether a position row is one of two hedge legs; None: what ccxt says."""
        return None

    def ledger_of(self, row: Row) -> list[Entry]:
        """The entries of one unified ledger row; [] for what the other lists already say. Raises
        InvalidField.
        """
        raise InvalidField(f"rows of {self.config.venue}'s ledger are not understood")

    def position_row(self, row: Row, market: VenueInstrument) -> PositionRow:
        """One unified position, with what ccxt's reading of this venue loses put right."""
        return unified_rows.position(row, market, hedged=self.hedged(row))

    def margin_size(self, row: Row) -> Decimal:
        """How much a unified position on a spot pair holds; 0 when it is over. Raises InvalidField."""
        return required(row, "contracts")

    def scopes_of(
        self, ask: ReportCall, found: set[str], markets: Iterable[VenueInstrument]
    ) -> tuple[str, ...]:
        """The parts of the venue that a call answered completely; `linear:*` is every settle currency."""
        if ask.scopes is None:
            return tuple(sorted(found))
        names: set[str] = set()
        for scope in ask.scopes:
            kind, star, _ = scope.partition("*")
            if star:
                names |= {row.scope for row in markets if row.scope.startswith(kind) and row.scope != "spot"}
            else:
                names.add(scope)
        return tuple(sorted(names))

    def wallet_total(self, asset: str, answer: Row) -> Decimal | None:
        """An asset's wallet balance without unrealized P&L, where ccxt's total includes it; None:
        ccxt's is right.
        """
        return None

    # Instruments

    async def markets(self, *, refresh: bool = False) -> Markets:
        """Make sure that the exchange knows its markets (shared, cached)."""
        return await store.ensure(self.client, refresh=refresh)

    async def instruments(self, *, refresh: bool = False) -> tuple[VenueInstrument, ...]:
        """Every market whose contract size is known."""
        return tuple(await self.markets(refresh=refresh))

    async def relist(self, symbols: Collection[str]) -> Markets | None:
        """Read anew what is listed, because nobody knows these symbols; None: that was done just now, or
        failed: the symbols stay unknown, and what was read with them is kept.
        """
        if not store.may_refresh(self.config.server, symbols, now=self.ports.clock()):
            return None
        return await relisted(self.markets(refresh=True), symbols)

    def has(self, method: str) -> bool:
        """Whether ccxt has a method (fetch_my_trades) for this exchange."""
        head, *rest = method.split("_")
        return bool(self.client.exchange.has.get(head + "".join(part.capitalize() for part in rest)))

    async def symbols_traded(self, since: datetime) -> Sequence[str] | None:
        """Symbols whose fills must be asked one by one; None: they are not known (set options.symbols)."""
        symbols = self.config.options.get("symbols")
        return list(symbols) if symbols else None
