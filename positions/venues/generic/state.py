"""Reads unified position and balance answers of several calls into one report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from positions.book.contracts import ContractKind
from positions.venues.base import (
    BalanceRow,
    Method,
    PositionRow,
    Report,
    ReportScope,
    UnreadableRow,
    VenueError,
    VenueInstrument,
)
from positions.venues.decoding import ROW_ERRORS, UnknownSymbol, listed_instrument, unexpected
from positions.venues.fields import InvalidField
from positions.venues.generic import unified_rows
from positions.venues.generic.calls import ReportCall
from positions.venues.generic.markets import Markets
from positions.venues.generic.rules import VenueRules
from positions.venues.generic.unified_rows import Row
from positions.venues.redaction import scrub_value
from positions.venues.transport.conversation import Conversation
from positions.venues.transport.instrumentation import UNREADABLE


class UnifiedReportBuilder:
    """Builds one report of several answers: a part whose call failed stays unknown, the others are kept."""

    def __init__(self, venue: VenueRules, markets: Markets, *, as_of: datetime) -> None:
        self._venue = venue
        self._markets = markets
        self._as_of = as_of
        self._positions: list[PositionRow] = []
        self._balances: list[BalanceRow] = []
        self._scopes: dict[str, ReportScope] = {}
        self._unreadable: list[UnreadableRow] = []
        self._unknown: set[str] = set()
        self._errors: list[VenueError] = []
        self._problems: list[str] = []
        self._asked = self._answered = self._zero_rows = 0
        self._hedge: bool | None = None
        # Assets of which margin positions hold a part that no wallet says.
        self._apart: set[str] = set()
        self._balances_asked = False
        self._balances_complete = True

    def take(self, ask: ReportCall, answer: Any) -> None:
        """Add one call's answer, or the reason why there is none. Raises any error that is no VenueError."""
        self._asked += 1
        if isinstance(answer, BaseException):
            if not isinstance(answer, VenueError):
                raise answer
            self._errors.append(answer)
            self._fail(ask, f"{type(answer).__name__}: {answer}")
            return
        self._answered += 1
        result, talk = answer
        if _empty(result, ask) and not self._believed(ask, talk):
            error = unexpected(ask.method, "rows or an empty list", result, talk)
            self._answered -= 1
            self._errors.append(error)
            self._fail(ask, str(error))
        elif ask.wallet:
            self._take_balances(ask, result)
        else:
            self._take_positions(ask, result, talk)

    def _believed(self, ask: ReportCall, talk: Conversation) -> bool:
        """Whether an answer that ccxt made nothing of is really empty."""
        if not ask.wallet:
            return talk.believes_none()
        if not self._venue.proven:
            return False
        return talk.believes_no_assets()

    def _fail(self, ask: ReportCall, problem: str) -> None:
        self._problems.append(f"{ask.method} {ask.wallet or ', '.join(ask.scopes or ())}: {problem}")
        if ask.wallet:
            self._balances_complete = False
        for name in ask.scopes or ():
            self._scopes[name] = ReportScope(name=name, complete=False, problem=problem)

    def _take_positions(self, ask: ReportCall, answer: Any, talk: Conversation) -> None:
        if isinstance(answer, Mapping):
            answer = [answer]
        if not isinstance(answer, list):
            self._cannot_read(
                "position", InvalidField(f"expected a list, got {type(answer).__name__}"), answer, None
            )
            self._fail(ask, "not a list")
            return
        found: set[str] = set()
        for row in answer:
            self._position(row, found)
        lost = [raw for raw, _ in talk.unparsed if not any(_is_of(row, raw) for row in answer)]
        for raw in lost:
            self._cannot_read("position", InvalidField("ccxt could not parse the row"), raw, None)
        for raw in talk.held_back():
            self._cannot_read("position", InvalidField("ccxt left the row out"), raw, None)
        cut = ask.page is not None and max(len(answer), talk.parsed) >= ask.page
        problem = f"the answer was cut at {ask.page} rows" if cut else None
        if ask.scopes is None:
            self._problems.append(f"{ask.method}: what this venue answers completely is not proven")
        for name in self._venue.scopes_of(ask, found, self._markets):
            self._scopes.setdefault(name, ReportScope(name=name, complete=not cut, problem=problem))
        if problem:
            self._problems.append(f"{ask.method}: {problem}")

    def _position(self, row: Any, found: set[str]) -> None:
        symbol = row.get("symbol") if isinstance(row, Mapping) else None
        try:
            if not isinstance(row, Mapping):
                raise InvalidField(f"row is {type(row).__name__}, not an object")
            if row.get(UNREADABLE):
                raise InvalidField(str(row[UNREADABLE]))
            instrument = listed_instrument(symbol, self._markets)
            if instrument.contract.kind is ContractKind.SPOT:
                self._margin_position(row, instrument)
                return
            position = self._venue.position_row(row, instrument)
        except UnknownSymbol as error:
            self._unknown.add(error.venue_symbol)
            self._cannot_read("position", error, row, error.venue_symbol)
        except ROW_ERRORS as error:
            # A name that is not listed is perhaps none: then nobody knows whose row this is.
            listed = isinstance(symbol, str) and self._markets.get(symbol) is not None
            self._cannot_read("position", error, row, symbol if listed else None)
        else:
            found.add(instrument.scope)
            hedged = self._venue.hedged(row)
            hedged = row.get("hedged") if hedged is None else hedged
            if hedged is not None and not self._hedge:  # a zero row beside hedge legs says otherwise
                self._hedge = bool(hedged)
            if position.quantity:
                self._positions.append(position)
            else:
                self._zero_rows += 1

    def _margin_position(self, row: Row, pair: VenueInstrument) -> None:
        """Take a row about a spot pair. It is no leg: it is coin and debt kept beside the wallet.

        How they are counted (in base or quote, net of what was paid back) differs by venue, and no wallet
        says it, so both coins of the pair are unknown while there is such a position.
        """
        try:
            held: Decimal | None = self._venue.margin_size(row)
        except ROW_ERRORS:
            held = None
        if held == 0:
            self._zero_rows += 1
            return
        base, quote = pair.contract.base, pair.contract.quote
        self._apart |= {base, quote}
        self._problems.append(
            f"a margin position on {pair.symbol} is not read: how much {base} and {quote} the account has "
            "is not known while it is open"
        )

    def _take_balances(self, ask: ReportCall, answer: Any) -> None:
        self._balances_asked = True
        if not isinstance(answer, Mapping):
            self._balances_complete = False
            self._cannot_read("balance", InvalidField(f"got {type(answer).__name__}"), answer, None)
            return
        info = answer.get("info")
        if isinstance(info, Mapping) and _continues(info):
            self._balances_complete = False
            self._problems.append(f"{ask.method} {ask.wallet}: the answer was cut, more assets follow")
        for asset in unified_rows.balance_assets(answer):
            try:
                row = unified_rows.balance(asset, answer[asset], wallet=ask.wallet)
                total = self._venue.wallet_total(asset, answer)
            except ROW_ERRORS as error:
                self._balances_complete = False
                self._cannot_read("balance", error, {asset: answer[asset]}, None)
            else:
                row = row if total is None else replace(row, total=total)
                self._balances.append(row)
                if row.total is None:
                    self._balances_complete = False
                    self._problems.append(f"{ask.method} {ask.wallet}: how much {asset} is not said")
        if self._balances_complete:
            # Spot is held as balances: they prove what is there and what is not.
            for name in self._venue.scopes_of(ask, {"spot"}, self._markets):
                self._scopes.setdefault(name, ReportScope(name=name, complete=True))

    def _cannot_read(self, what: str, error: Exception, row: Any, symbol: str | None) -> None:
        reason = f"{type(error).__name__}: {error}"
        self._unreadable.append(
            UnreadableRow(what=what, reason=reason, payload=scrub_value(row), venue_symbol=symbol)
        )

    def _doubt(self, method: Method, doubt: str) -> None:
        """Prove nothing by a reading that is known to be wrong or partial."""
        problem = f"{method} of this venue are read wrongly or in part: {doubt}"
        if method is Method.BALANCES and self._balances_asked:
            self._balances_complete = False
            self._balances = [replace(row, total=None) for row in self._balances]
        self._problems.append(problem)
        self._scopes = {
            name: ReportScope(name=name, complete=False, problem=problem)
            if (name == "spot") == (method is Method.BALANCES)
            else scope
            for name, scope in self._scopes.items()
        }

    def finish(self, *, received_at: datetime) -> Report:
        """The report as of the time given. Raises the first error when nothing was answered."""
        if self._errors and not self._answered:
            raise self._errors[0]
        for method, doubt in self._venue.doubts.items():
            self._doubt(method, doubt)
        if self._apart:
            self._balances_complete = False
            self._balances = [
                replace(row, total=None) if row.asset in self._apart else row for row in self._balances
            ]
            if "spot" in self._scopes:
                problem = "margin positions on spot pairs"
                self._scopes["spot"] = ReportScope(name="spot", complete=False, problem=problem)
        return Report(
            as_of=self._as_of,
            as_of_source="sent",
            received_at=received_at,
            positions=tuple(unified_rows.legs(self._positions)),
            balances=tuple(self._balances),
            scopes=tuple(self._scopes.values()),
            balances_complete=self._balances_asked and self._balances_complete,
            hedge=self._hedge,
            zero_rows=self._zero_rows,
            unknown_symbols=tuple(sorted(self._unknown)),
            unreadable=tuple(self._unreadable),
            problems=tuple(self._problems),
        )


def _empty(result: Any, ask: ReportCall) -> bool:
    if isinstance(result, Mapping):
        return bool(ask.wallet) and not unified_rows.balance_assets(result)
    return isinstance(result, list) and not result


def _is_of(row: Any, raw: Any) -> bool:
    return isinstance(row, Mapping) and row.get("info") is raw


def _continues(info: Mapping[str, Any]) -> bool:
    """Whether a paged answer says that more follows (Coinbase v3, v2)."""
    paging = info.get("pagination")
    return info.get("has_next") is True or bool(isinstance(paging, Mapping) and paging.get("next_uri"))
