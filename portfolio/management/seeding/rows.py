"""Writes a made-up year: accounts and entries by their doors, then snapshots of its minutes and hours."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from portfolio.management.seeding.year import (
    ACCOUNTS,
    MARKETS,
    ZERO,
    SeededAccount,
    SeededHour,
    SeededPosition,
)
from portfolio.models import (
    AccountHour,
    AccountSnapshot,
    PortfolioHour,
    PortfolioSnapshot,
    PositionHour,
    PositionSnapshot,
)
from portfolio.snapshots import hourly, taking
from portfolio.snapshots.figures import Figures
from positions import accounts as ledger_accounts
from positions import ingest, observe
from positions.book.world import World
from positions.models import Account, Environment, InstrumentKind, Position

BASE_URL = "http://127.0.0.1:9"  # nobody answers there: the accounts are paused for ever
WHO = "seed_history"
PLACES = Decimal("0.00000001")
SIMULATED = str(Environment.SIMULATED)

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class HeldRow:
    """What one position shows in one minute."""

    position: int
    held: SeededPosition
    price: Decimal


def make_accounts(*, now: datetime) -> dict[str, Account]:
    """Make the accounts, paused for ever as no venue is behind them, and their markets."""
    observe.instruments(
        world=World("hyperliquid", SIMULATED, BASE_URL),
        described=[
            observe.InstrumentDescription(
                venue_symbol=one.symbol, symbol=one.symbol, kind=InstrumentKind.LINEAR, base=one.base,
                quote="USDC", settle="USDC", price_tick=one.tick, quantity_step=one.step,
            )
            for one in MARKETS
        ],
        now=now,
    )  # fmt: skip
    for number, name in enumerate(ACCOUNTS, start=1):
        fields = {"venue": "hyperliquid", "address": f"0x{number:040x}"}
        ledger_accounts.put_simulated(label=name, base_url=BASE_URL, fields=fields, who=WHO, now=now)
    found = {one.label: one for one in Account.objects.filter(label__in=ACCOUNTS)}
    for account in found.values():
        ledger_accounts.set_pause(
            account=account, until=datetime(2200, 1, 1, tzinfo=UTC), reason="made-up history", who=WHO
        )
    return found


def book(account: Account, seeded: SeededAccount, *, now: datetime, progress: Progress) -> None:
    """Book an account's entries."""
    ingest.record_all(
        account=account, entries=seeded.entries, source=WHO, trace_id=WHO, now=now, progress=progress
    )


def position_ids(accounts: Iterable[Account]) -> dict[tuple[str, str], int]:
    """Return positions by (account's label, reference of the entry that opened them)."""
    found = Position.objects.filter(account__in=list(accounts))
    rows = found.values_list("account__label", "opening_ref", "pk")
    return {(label, ref): pk for label, ref, pk in rows}


class HistoryWriter:
    """Writes hours as they come: those before `raw_since` as hourly rows, later ones minute by minute.

    Minutes for which `is_missed` says so have no rows, as after an outage.
    """

    def __init__(
        self,
        accounts: dict[str, Account],
        *,
        raw_since: datetime,
        now: datetime,
        is_missed: Callable[[datetime], bool],
    ) -> None:
        self._accounts, self._ids = accounts, position_ids(accounts.values())
        self._raw_since, self._now, self._is_missed = raw_since, now, is_missed
        self._hours = Figures()
        self._hourly: list[Any] = []

    def add(self, hour: SeededHour) -> None:
        """Write one hour."""
        if hour.at >= self._raw_since:
            for minute in range(60):
                at = hour.at + timedelta(minutes=minute, seconds=30)
                if at <= self._now and not self._is_missed(at):
                    self._minute(hour, at, minute)
            if self._hours.environments:
                taking.write(self._hours)
                self._hours = Figures()
        elif not self._is_missed(hour.at):
            self._hour(hour)
            if len(self._hourly) > 2000:
                self.flush()

    def flush(self) -> None:
        """Write what waits."""
        hourly.write(self._hourly)
        self._hourly = []

    def _minute(self, hour: SeededHour, at: datetime, minute: int) -> None:
        prices = {one.symbol: hour.price(one.symbol, minute) for one in MARKETS}
        common = {"at": at, "quality": 0}
        totals = self._account_facts(hour, prices)
        whole = _whole(totals)
        for name, facts in totals.items():
            self._hours.accounts.append(
                AccountSnapshot(account=self._accounts[name], venue_equity=facts["equity"],
                                venue_wallets=["perps"], **common, **facts)
            )  # fmt: skip
        self._hours.environments.append(
            PortfolioSnapshot(environment=SIMULATED, accounts=len(totals), **common, **whole)
        )
        for row in self._held(hour, prices):
            self._hours.positions.append(
                PositionSnapshot(position_id=row.position, **common, **_position(row, at, whole["exposure"]))
            )

    def _hour(self, hour: SeededHour) -> None:
        last_at = hour.at + timedelta(minutes=59, seconds=30)
        prices = {one.symbol: hour.price(one.symbol, 59) for one in MARKETS}
        first = {one.symbol: hour.price(one.symbol, 0) for one in MARKETS}
        common = {"at": hour.at, "last_at": last_at, "snapshots": 60, "quality": 0}
        totals, started = self._account_facts(hour, prices), self._account_facts(hour, first)
        whole = _whole(totals)
        for name, facts in totals.items():
            low, high = sorted((facts["equity"], started[name]["equity"]))
            self._hourly.append(
                AccountHour(account=self._accounts[name], low=low, high=high, venue_equity=facts["equity"],
                            **common, **facts)
            )  # fmt: skip
        low, high = sorted((whole["equity"], _whole(started)["equity"]))
        self._hourly.append(
            PortfolioHour(
                environment=SIMULATED, accounts=len(totals), accounts_stale=0, accounts_incomplete=0,
                equity_stale=ZERO, low=low, high=high, **common, **whole,
            )
        )  # fmt: skip
        for row in self._held(hour, prices):
            low, high = sorted((row.held.unrealized(first[row.held.market.symbol]),
                                row.held.unrealized(row.price)))  # fmt: skip
            self._hourly.append(
                PositionHour(position_id=row.position, low=low, high=high, **common,
                             **_position(row, last_at, whole["exposure"]))
            )  # fmt: skip

    def _held(self, hour: SeededHour, prices: dict[str, Decimal]) -> Iterable[HeldRow]:
        for name, account in hour.accounts.items():
            for symbol, held in account.open.items():
                yield HeldRow(self._ids[name, held.opening_ref], held, prices[symbol])

    def _account_facts(self, hour: SeededHour, prices: dict[str, Decimal]) -> dict[str, dict[str, Any]]:
        return {name: _account(account, prices) for name, account in hour.accounts.items()}


def _account(account: SeededAccount, prices: dict[str, Decimal]) -> dict[str, Any]:
    values = [one.quantity * prices[symbol] for symbol, one in account.open.items()]
    unrealized = sum((one.unrealized(prices[symbol]) for symbol, one in account.open.items()), ZERO)
    equity = (account.cash + unrealized).quantize(PLACES)
    return {
        "open_positions": len(values),
        "equity": equity,
        "equity_known": equity,
        "unrealized_pnl": unrealized.quantize(PLACES),
        "realized_pnl": account.realized.quantize(PLACES),
        "net_pnl": account.net.quantize(PLACES),
        "exposure": sum((abs(one) for one in values), ZERO).quantize(PLACES),
        "net_exposure": sum(values, ZERO).quantize(PLACES),
    }


def _whole(accounts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    rows = list(accounts.values())
    return {name: sum((one[name] for one in rows), ZERO) for name in rows[0]} | {
        "open_positions": sum(one["open_positions"] for one in rows)
    }


def _position(row: HeldRow, at: datetime, exposure: Decimal) -> dict[str, Any]:
    held, value = row.held, abs(row.held.quantity) * row.price
    unrealized = held.unrealized(row.price)
    return {
        "quantity": held.quantity,
        "mark_price": row.price,
        "unrealized_pnl": unrealized.quantize(PLACES),
        "realized_pnl": held.realized.quantize(PLACES),
        "net_pnl": held.net.quantize(PLACES),
        "unrealized_pnl_pct": (unrealized / abs(held.cost) * 100).quantize(Decimal("0.000001")),
        "time_held_minutes": (Decimal((at - held.opened_at).total_seconds()) / 60).quantize(Decimal("0.01")),
        "position_size_norm": (value / exposure).quantize(PLACES) if exposure else None,
    }
