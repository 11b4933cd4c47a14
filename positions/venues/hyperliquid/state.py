"""Reads Hyperliquid's state answers, of several dexes and the spot wallet, into one report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from positions.venues.base import (
    BalanceRow,
    MarginRow,
    PositionRow,
    Report,
    ReportScope,
    UnreadableRow,
    VenueError,
)
from positions.venues.decoding import ROW_ERRORS, UnknownSymbol, listed_instrument
from positions.venues.fields import InvalidField, moment
from positions.venues.hyperliquid import rows
from positions.venues.instruments.catalog import Catalog
from positions.venues.redaction import scrub_value

UNIFIED = frozenset({"unifiedAccount", "portfolioMargin"})


def build_report(
    answers: Mapping[str, Any],
    catalog: Catalog,
    *,
    sent_at: datetime,
    received_at: datetime,
    mode: str | None,
) -> Report:
    """Return one report of each scope's answer, or the error in its place.

    Raises the first error when nothing was answered, and any that is no VenueError.
    """
    builder = HyperliquidReportBuilder(catalog, sent_at=sent_at, mode=mode)
    for scope, answer in answers.items():
        builder.take(scope, answer)
    return builder.finish(received_at=received_at)


class HyperliquidReportBuilder:
    """Builds one report of several answers: a scope whose call failed stays unknown, the others are kept."""

    def __init__(self, catalog: Catalog, *, sent_at: datetime, mode: str | None) -> None:
        self._catalog = catalog
        self._sent_at = sent_at
        self._mode = mode
        self._positions: list[PositionRow] = []
        self._balances: list[BalanceRow] = []
        self._margin: list[MarginRow] = []
        self._scopes: list[ReportScope] = []
        self._unreadable: list[UnreadableRow] = []
        self._unknown: set[str] = set()
        self._times: list[datetime] = []
        self._errors: list[BaseException] = []
        self._zero_rows = 0
        self._balances_complete = True

    def take(self, scope: str, answer: Any) -> None:
        """Add one scope's answer, or the reason why there is none. Raises any error that is no VenueError."""
        if isinstance(answer, BaseException):
            if not isinstance(answer, VenueError):
                raise answer
            self._errors.append(answer)
            self._fail(scope, f"{type(answer).__name__}: {answer}")
            return
        try:
            self._spot(answer) if scope == rows.SPOT else self._perp(scope, answer)
        except ROW_ERRORS as error:
            self._fail(scope, f"{type(error).__name__}: {error}")
            self._cannot_read("state", error, answer, scope, None)
        else:
            self._scopes.append(ReportScope(name=scope, complete=True))

    def _fail(self, scope: str, problem: str) -> None:
        self._scopes.append(ReportScope(name=scope, complete=False, problem=problem))
        self._balances_complete = False

    def _perp(self, scope: str, state: Any) -> None:
        if not isinstance(state, Mapping) or not isinstance(state.get("assetPositions"), list):
            raise InvalidField("clearinghouseState has no list of assetPositions")
        time = moment(state["time"]) if state.get("time") is not None else None
        found: list[PositionRow] = []
        unread = 0
        for row in state["assetPositions"]:
            position = self._position(scope, row)
            if position is None:
                unread += 1
            elif position.quantity == 0:
                self._zero_rows += 1
            else:
                found.append(position)
        asset = next((i.contract.settle for i in self._catalog if i.scope == scope), "USDC")
        balance, margin = rows.perp_wallet(state, scope=scope, asset=asset, positions=found)
        balance = replace(balance, as_of=time)
        if unread:
            # The unread row's profit is inside the account value: the cash beneath it is not known.
            balance = replace(balance, total=None)
            self._balances_complete = False
        if time is not None:
            self._times.append(time)
        self._positions.extend(found)
        if self._mode not in UNIFIED and (not scope or found or margin.equity):
            self._balances.append(balance)
        self._margin.append(margin)

    def _position(self, scope: str, row: Any) -> PositionRow | None:
        coin = row.get("position", {}).get("coin") if isinstance(row, Mapping) else None
        try:
            return rows.position(row, listed_instrument(coin, self._catalog))
        except UnknownSymbol as error:
            self._unknown.add(error.venue_symbol)
            self._cannot_read("position", error, row, scope, error.venue_symbol)
        except ROW_ERRORS as error:
            self._cannot_read("position", error, row, scope, coin if isinstance(coin, str) else None)
        return None

    def _spot(self, state: Any) -> None:
        if not isinstance(state, Mapping) or not isinstance(state.get("balances"), list):
            raise InvalidField("spotClearinghouseState has no list of balances")
        for row in state["balances"]:
            try:
                self._balances.append(rows.spot_balance(row))
            except ROW_ERRORS as error:
                self._balances_complete = False
                self._cannot_read("balance", error, row, rows.SPOT, None)

    def _cannot_read(self, what: str, error: Exception, row: Any, scope: str, symbol: str | None) -> None:
        reason = f"{type(error).__name__}: {error}"
        self._unreadable.append(
            UnreadableRow(
                what=what, reason=reason, payload=scrub_value(row), venue_symbol=symbol, scope=scope
            )
        )

    def finish(self, *, received_at: datetime) -> Report:
        """The report; as_of is the oldest envelope time. Raises the first error when nothing was answered."""
        if self._errors and len(self._errors) == len(self._scopes):
            raise self._errors[0]
        return Report(
            as_of=min(self._times) if self._times else self._sent_at,
            as_of_source="venue" if self._times else "sent",
            received_at=received_at,
            positions=tuple(self._positions),
            balances=tuple(self._balances),
            margin=tuple(self._margin),
            scopes=tuple(self._scopes),
            balances_complete=self._balances_complete,
            account_mode=self._mode,
            hedge=False,
            zero_rows=self._zero_rows,
            unknown_symbols=tuple(sorted(self._unknown)),
            unreadable=tuple(self._unreadable),
            problems=tuple(
                f"{scope.name or 'main'}: {scope.problem}" for scope in self._scopes if scope.problem
            ),
        )
