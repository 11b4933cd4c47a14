"""What our risk rules say of live positions: break-even, leverage, margin ratio, features, P&L of today."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal
from typing import Any, NamedTuple

from ninja import Schema
from pydantic import Field

from core.values.money import Money
from portfolio import pipeline
from portfolio.live.rows import Row
from portfolio.models import PnlDay
from portfolio.totals import desk
from portfolio.totals.figures import pnl_today
from portfolio.totals.today import DayStart
from positions.ledger import serialise
from positions.ledger.instruments import contract_of
from positions.models import Position, VenueState
from positions.risk.features import position_size_norm, time_held_minutes
from positions.risk.measures import break_even_price, leverage, margin_ratio


class RiskFacts(Schema):
    """What our rules make of a position, beside what its venue states."""

    break_even_price: Money | None = Field(
        description="Where closing all of it leaves the episode at zero, fees and funding so far included."
    )
    effective_leverage: Money | None = Field(
        description="Notional over the equity that carries it: isolated its own, cross that of its wallet."
    )
    margin_ratio: Money | None = Field(
        description="Maintenance margin over margin balance, a fraction: liquidation begins at 1."
    )
    pnl_today: Money | None = Field(description="Since the desk's day began, in the P&L currency.")
    time_held_minutes: Money | None
    position_size_norm: Money | None = Field(
        description="Notional over all exposure of the environment that the caller may see."
    )


class WalletMargin(NamedTuple):
    """What a venue states of the one wallet that carries an account's cross positions."""

    maintenance: Decimal | None
    balance: Decimal | None


def risk_facts(
    positions: Sequence[Position], rows: Sequence[Row], *, accounts: frozenset[int] | None, now: datetime
) -> list[dict[str, Any]]:
    """Return the fields of RiskFacts for positions read by `queries.board()` and their rows. Two queries."""
    wallets = _wallets({one.account_id for one in positions})
    start = _day_start([one.pk for one in positions if one.is_open], now)
    exposure = _exposure(accounts, now)
    return [
        {
            "break_even_price": _break_even(one),
            **_margin(one, row, wallets.get(one.account_id)),
            "pnl_today": pnl_today(one, _decimal(row["unrealized_pnl"]), start) if one.is_open else None,
            "time_held_minutes": _held(one, now),
            "position_size_norm": _share(one, row, exposure),
        }
        for one, row in zip(positions, rows, strict=True)
    ]


def _break_even(position: Position) -> Decimal | None:
    if not position.is_open or position.unknown_count or position.open_cost is None:
        return None
    contract = contract_of(position.instrument)
    fold = serialise.loads(position.state, contract=contract)
    return break_even_price(
        contract=contract,
        size=position.quantity,
        open_cost=position.open_cost,
        fees=fold.fees_value,
        funding=fold.funding_value,
        interest=fold.interest_value,
        realized_pnl=fold.realized_pnl,
    )


def _margin(position: Position, row: Row, wallet: WalletMargin | None) -> dict[str, Decimal | None]:
    stated: Mapping[str, Any] = getattr(position, "venue_state", None) or {}
    carries = wallet
    if stated.get("margin_mode") == "isolated":
        carries = WalletMargin(_decimal(stated.get("maintenance_margin")), _decimal(stated.get("margin")))
    if carries is None or not position.is_open or row["kind"] == "spot":
        return {"effective_leverage": None, "margin_ratio": None}
    return {
        "effective_leverage": leverage(notional=_decimal(row["notional"]), margin_balance=carries.balance),
        "margin_ratio": margin_ratio(maintenance_margin=carries.maintenance, margin_balance=carries.balance),
    }


def _wallets(accounts: Collection[int]) -> dict[int, WalletMargin]:
    """Return the margin wallet of accounts that have exactly one: of several, which carries is unknown."""
    found: dict[int, list[WalletMargin]] = {}
    rows = VenueState.objects.filter(account__in=accounts, instrument=None, margin_balance__isnull=False)
    for account, maintenance, balance in rows.values_list("account", "maintenance_margin", "margin_balance"):
        found.setdefault(account, []).append(WalletMargin(maintenance, balance))
    return {account: own[0] for account, own in found.items() if len(own) == 1}


def _day_start(positions: Collection[int], now: datetime) -> DayStart:
    today = desk.day_of(now)
    before = PnlDay.objects.filter(day=today - desk.DAY, position__in=positions, strategy="")
    return DayStart(desk.day_start(today), positions=dict(before.values_list("position", "closing_pnl")))


def _held(position: Position, now: datetime) -> Decimal | None:
    until = position.closed_at or max(now, position.opened_at)
    held = time_held_minutes(opened_at=position.opened_at, until=until)
    # Whole minutes: what is asked for twice in a second is the same twice.
    return None if held is None else held.quantize(Decimal(1), rounding=ROUND_FLOOR)


def _exposure(accounts: frozenset[int] | None, now: datetime) -> dict[str, Decimal | None]:
    """Return the gross exposure of each environment by the last refresh; unknown while there is none."""
    totals = pipeline.stored(now=now, accounts=accounts)
    found: dict[str, Decimal | None] = {}
    for one in () if totals is None else totals.sums.values():
        before = found.get(one.environment, Decimal(0))
        whole = one.notional.whole
        found[one.environment] = None if before is None or whole is None else before + whole
    return found


def _share(position: Position, row: Row, exposure: Mapping[str, Decimal | None]) -> Decimal | None:
    notional, whole = _decimal(row["notional"]), exposure.get(position.account.environment)
    if not position.is_open or notional is None or whole is None or notional > whole or not row["in_par"]:
        return None  # a fill since the refresh may be larger than all that it added up
    return position_size_norm(notional=notional, total_exposure=whole)


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
