"""What the refresh keeps besides sums of positions: exposure and P&L of today by asset and strategy, margin,
periods. Reads only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypedDict

from core.values.money import fixed
from portfolio import rollup
from portfolio.rollup import AccountSummary, PositionSums, Row
from portfolio.totals.held import HeldPosition
from portfolio.totals.today import DayStart, day_start
from positions.book import money
from positions.labels import TELLING_FEEDS
from positions.ledger.instruments import par_currencies
from positions.models import Account, Position, VenueState

ZERO = Decimal(0)
SUMS = ("price", "funding", "interest", "fees", "flows", "conversion", "corrections", "unexplained")


class GroupFigures(TypedDict):
    """Open positions of one account, underlying and strategy ("": untagged), amounts as text.

    Quantities are units of the underlying, signed; values are USD. `pnl_today` has positions closed today
    too; `unknown` counts positions without a value, `pnl_unknown` those without a P&L of today. `nearest` is
    the shortest known distance to liquidation, in percent; `risk_unknown` counts those nobody knows.
    """

    account: int
    asset: str
    strategy: str
    positions: int
    spot_quantity: str
    derivative_quantity: str
    long: str
    short: str
    unknown: int
    pnl_today: str
    pnl_unknown: int
    nearest: str | None
    risk_unknown: int


class PeriodFigures(TypedDict):
    """One account's P&L of a period, and what it is made of; `pnl` None: not known.

    `unknown` counts days of which a part is not known. The parts of today are as of the last minute.
    """

    pnl: str | None
    unknown: int
    parts: dict[str, str]


class AccountFigures(TypedDict):
    """One account beside its sums of positions, in JSON types. Margins are what its venue states."""

    id: int
    label: str
    venue: str
    environment: str
    equity: str | None
    equity_known: str
    margin_used: str | None
    margin_free: str | None
    periods: dict[str, PeriodFigures]
    stale: list[str]
    incomplete: list[str]


@dataclass(slots=True)
class Group:
    """GroupFigures while they are added up."""

    positions: int = 0
    spot: Decimal = ZERO
    derivative: Decimal = ZERO
    long: Decimal = ZERO
    short: Decimal = ZERO
    unknown: int = 0
    pnl: Decimal = ZERO
    pnl_unknown: int = 0
    distances: list[Decimal] = field(default_factory=list)
    risk_unknown: int = 0

    def add(self, position: HeldPosition, row: Row, *, pnl: Decimal | None) -> None:
        """Count an open position with its row of totals."""
        self.positions += 1
        rate = ONE if row["in_par"] else _decimal(row.get("conversion"))
        notional = None if row["notional"] is None or rate is None else row["notional"] * rate
        units = position.market.units(position.quantity, row["notional"])
        if notional is None or units is None:
            self.unknown += 1
        else:
            if position.market.is_coin:
                self.spot += units
            else:
                self.derivative += units
            if position.quantity > 0:
                self.long += notional
            else:
                self.short += notional
        self.count(None if pnl is None or rate is None else pnl * rate)
        if row["liquidation_distance_pct"] is not None:
            self.distances.append(row["liquidation_distance_pct"])
        self.risk_unknown += row["risk"] == "unknown"

    def count(self, pnl: Decimal | None) -> None:
        """Count a P&L of today."""
        if pnl is None:
            self.pnl_unknown += 1
        else:
            self.pnl += pnl

    def figures(self, account: int, asset: str, strategy: str) -> GroupFigures:
        """Return what is kept."""
        return GroupFigures(
            account=account, asset=asset, strategy=strategy, positions=self.positions,
            spot_quantity=_text(self.spot), derivative_quantity=_text(self.derivative),
            long=_text(self.long), short=_text(self.short), unknown=self.unknown, pnl_today=_text(self.pnl),
            pnl_unknown=self.pnl_unknown, nearest=_text(min(self.distances)) if self.distances else None,
            risk_unknown=self.risk_unknown,
        )  # fmt: skip


ONE = Decimal(1)


def pnl_today(position: Position, unrealized: Decimal | None, start: DayStart) -> Decimal | None:
    """Return what a position earned since the day began, in its own currency; None: not known."""
    before = ZERO if position.opened_at >= start.at else start.positions.get(position.pk)
    return _earned(position.net_pnl, unrealized, before)


def _earned(net_pnl: Decimal, unrealized: Decimal | None, before: Decimal | None) -> Decimal | None:
    if before is None or unrealized is None:
        return None
    return money.subtract(money.add(net_pnl, unrealized), before)


def groups(
    held: Iterable[HeldPosition],
    rows: Iterable[Row],
    *,
    start: DayStart,
    rates: Mapping[int, Mapping[str, Any]],
) -> list[GroupFigures]:
    """Return open positions, and those closed today, by account, underlying and strategy."""
    found: dict[tuple[int, str, str], Group] = {}
    for one, row in zip(held, rows, strict=True):
        key = one.account.id, one.market.underlying, one.strategy
        group = found.get(key)
        if group is None:
            group = found[key] = Group()
        before = ZERO if one.is_new else start.positions.get(one.id)
        group.add(one, row, pnl=_earned(one.net_pnl, row["unrealized_pnl"], before))
    for position in start.ended:
        pnl = pnl_today(position, ZERO, start)
        rate = rates.get(position.account_id, {}).get(position.pnl_currency)
        if position.pnl_currency not in par_currencies():
            pnl = None if pnl is None or rate is None else pnl * Decimal(rate[0])
        found.setdefault(_key(position), Group()).count(pnl)
    return [group.figures(*key) for key, group in sorted(found.items())]


def _key(position: Position) -> tuple[int, str, str]:
    instrument = position.instrument
    return position.account_id, instrument.underlying or instrument.base, position.strategy


def accounts(
    known: Iterable[Account],
    summaries: Sequence[AccountSummary],
    sums: Mapping[int, PositionSums],
    *,
    start: DayStart,
    stale_marks: Mapping[int, int],
) -> list[AccountFigures]:
    """Return the figures of accounts, of which these are the summaries."""
    margins = _margins([one["id"] for one in summaries])
    by_id = {one.pk: one for one in known}
    return [
        _account(by_id[one["id"]], one, sums.get(one["id"]), start, margins, stale_marks.get(one["id"], 0))
        for one in summaries
    ]


def _account(
    account: Account,
    summary: AccountSummary,
    sums: PositionSums | None,
    start: DayStart,
    margins: Mapping[int, tuple[Decimal | None, Decimal | None]],
    stale_marks: int,
) -> AccountFigures:
    sums = sums or PositionSums(account.environment)
    equity = rollup.account_equity(summary, sums)
    used, balance = margins.get(account.pk, (None, None))
    stale = [f"{stale_marks} old price{'s' if stale_marks > 1 else ''}"] if stale_marks else []
    if summary["feed"] not in TELLING_FEEDS:
        stale.append(f"its feed is {summary['feed']}")
    return AccountFigures(
        id=account.pk, label=account.label, venue=account.venue, environment=account.environment,
        equity=None if equity is None else fixed(equity),
        equity_known=fixed(money.add(Decimal(summary["cash"] or 0), sums.derivatives.value)),
        margin_used=None if used is None else fixed(used),
        margin_free=None if used is None or balance is None else fixed(balance - used),
        periods=_periods(account.pk, equity, start), stale=stale, incomplete=_incomplete(summary, sums),
    )  # fmt: skip


def _incomplete(summary: AccountSummary, sums: PositionSums) -> list[str]:
    words = [
        (summary["cash_unknown"], "balance that is not known"),
        (sums.unpriced, "position without a price"),
        (max(sums.derivatives.left_out - sums.unpriced, 0), "position without a cost or a conversion mark"),
    ]
    found = [f"{count} {what}" for count, what in words if count]
    return found or (["nothing is counted yet"] if summary["cash"] is None and sums.positions else [])


def _periods(account: int, equity: Decimal | None, start: DayStart) -> dict[str, PeriodFigures]:
    begun = start.accounts.get(account)
    today = None
    if begun is not None and begun.equity is not None and equity is not None:
        today = equity - begun.equity - begun.flows
    parts = dict.fromkeys(SUMS, ZERO) if begun is None else begun.sums
    found = {"today": _period(today, int(today is None), parts)}
    for name, by_account in start.earlier.items():
        before = by_account.get(account)
        if before is None:
            found[name] = found["today"]
            continue
        pnl = None if today is None else before.pnl + today
        added = {one: before.sums[one] + parts[one] for one in SUMS}
        found[name] = _period(pnl, before.unknown + (today is None), added)
    return found


def _period(pnl: Decimal | None, unknown: int, parts: Mapping[str, Decimal]) -> PeriodFigures:
    written = {name: fixed(amount) for name, amount in parts.items()}
    return PeriodFigures(pnl=None if pnl is None else fixed(pnl), unknown=unknown, parts=written)


def _margins(ids: Collection[int]) -> dict[int, tuple[Decimal | None, Decimal | None]]:
    """Return (margin used, margin balance) of accounts by what venues stated last of their wallets."""
    found: dict[int, tuple[Decimal | None, Decimal | None]] = {}
    rows = VenueState.objects.filter(account__in=ids, instrument=None).order_by("pk")
    for account, used, balance in rows.values_list("account", "margin", "margin_balance"):
        before = found.get(account, (ZERO, ZERO))
        found[account] = (
            None if before[0] is None or used is None else before[0] + used,
            None if before[1] is None or balance is None else before[1] + balance,
        )
    return found


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _text(amount: Decimal) -> str:
    return fixed(money.rounded(amount)) if amount else "0"


__all__ = ["AccountFigures", "DayStart", "GroupFigures", "accounts", "day_start", "groups", "pnl_today"]
