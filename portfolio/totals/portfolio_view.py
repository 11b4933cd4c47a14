"""The portfolio as page, API and mail show it: what the refresh stored, added up over some accounts.

Amounts are USD as text; {value, left_out} is a sum of what is known and the number of amounts that it leaves
out. Environments never mix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from core.templatetags import numbers
from core.values.money import fixed
from portfolio.rollup import PositionSums, sums_by_environment
from portfolio.totals.figures import SUMS, AccountFigures, GroupFigures
from portfolio.totals.limit_keeping import LimitFigures
from portfolio.totals.today import PERIODS
from portfolio.totals.totals_store import PortfolioTotals
from positions.risk.bands import RiskBand

Facts = dict[str, Any]
ZERO = Decimal(0)
_AT_RISK = frozenset(band.value for band in RiskBand if band.at_risk)


def portfolio_view(totals: PortfolioTotals, *, now: datetime) -> list[Facts]:
    """Return one portfolio for each environment that has accounts, in the order of ENVIRONMENTS."""
    used = {one["environment"] for one in totals.figures}
    sums = sums_by_environment(totals.sums.values(), environments=sorted(used))
    return [_environment(name, total, totals, now) for name, total in sums.items()]


def _environment(name: str, total: PositionSums, totals: PortfolioTotals, now: datetime) -> Facts:
    accounts = [one for one in totals.figures if one["environment"] == name]
    ids = {one["id"] for one in accounts}
    groups = [one for one in totals.groups if one["account"] in ids]
    limits = [one for one in totals.limits if one["environment"] == name]
    rest = _rest(accounts, groups)
    equity = _known(one["equity"] for one in accounts)
    # Derivatives without a stated margin have one that is not known; coins have none.
    leveraged = {one["account"] for one in groups if one["derivative_quantity"] != "0"}
    margined = [one for one in accounts if _has_margin(one) or one["id"] in leveraged]
    return {
        "environment": name,
        "accounts": len(accounts),
        "positions": total.positions,
        "equity": equity,
        **_exposure(total),
        "leverage": _leverage(total, equity),
        "margin_used": _known(one["margin_used"] for one in margined),
        "margin_free": _known(one["margin_free"] for one in margined),
        "unrealized": _sum(total.unrealized.amount, total.unrealized.left_out),
        "realized": _sum(total.realized.amount, total.realized.left_out),
        "periods": {period: _period(accounts, period) for period in PERIODS},
        "at_risk": sum(total.risks[band] for band in _AT_RISK),
        "risk_unknown": total.risks["unknown"],
        "nearest": _nearest(total),
        "quality": quality(accounts),
        "conversions": _conversions(totals.conversions, ids, now),
        "limit_exceeded": any(one["exceeded"] for one in limits),
        "limits": limits,
        "by_account": [_account(one, totals.sums.get(one["id"]), groups, limits) for one in accounts],
        "by_venue": _by_venue(accounts, groups),
        "by_asset": _grouped(groups, lambda one: one["asset"], rest, quantities=True),
        "by_strategy": _grouped(groups, lambda one: one["strategy"], rest),
    }


def _has_margin(one: AccountFigures) -> bool:
    return one["margin_used"] is not None or one["margin_free"] is not None


def _sum(value: Decimal | None, left_out: int) -> Facts:
    return {"value": None if value is None else fixed(value), "left_out": left_out}


def _known(amounts: Iterable[str | None]) -> Facts:
    """Return the sum of amounts; None where none of several is known, 0 of none at all."""
    found = list(amounts)
    known = [Decimal(one) for one in found if one is not None]
    return _sum(sum(known, ZERO) if known or not found else None, len(found) - len(known))


def _exposure(total: PositionSums) -> Facts:
    gross, left_out = total.notional.amount, total.notional.left_out
    long = None if gross is None else gross - total.shorts.value
    return {
        "gross_exposure": _sum(gross, left_out),
        "net_exposure": _sum(total.net, left_out),
        "long_exposure": _sum(long, left_out),
        "short_exposure": _sum(None if gross is None else total.shorts.value, left_out),
    }


def _leverage(total: PositionSums, equity: Facts) -> str | None:
    """Return gross exposure over equity; None while a part of either is unknown, or nothing carries it."""
    gross = total.notional.whole
    if gross is None or equity["left_out"] or equity["value"] is None:
        return None
    carries = Decimal(equity["value"])
    if carries <= 0:
        return None if gross else "0"
    return fixed((gross / carries).quantize(Decimal("0.0001")))


def _period(accounts: Sequence[AccountFigures], period: str) -> Facts:
    found = [one["periods"][period] for one in accounts]
    parts = {name: fixed(sum((Decimal(one["parts"][name]) for one in found), ZERO)) for name in SUMS}
    return _known(one["pnl"] for one in found) | {
        "parts": parts,
        "unknown_days": sum(one["unknown"] for one in found),
    }


def _nearest(total: PositionSums) -> Facts | None:
    found = total.nearest
    if found is None:
        return None
    return {
        "id": found.id,
        "account": found.account,
        "symbol": found.symbol,
        "liquidation_distance_pct": fixed(found.distance_pct),
        "risk": found.risk,
    }


def quality(accounts: Sequence[AccountFigures]) -> Facts:
    """Return whether all inputs are there and fresh, which are not, and what they are worth."""
    stale = [one for one in accounts if one["stale"]]
    incomplete = [one for one in accounts if one["incomplete"] or one["equity"] is None]
    whole = sum((Decimal(one["equity_known"]) for one in accounts), ZERO)
    old = sum((Decimal(one["equity_known"]) for one in stale), ZERO)
    words = []
    if stale:
        worth = f"{numbers.whole(old)} of {numbers.whole(whole)}"
        words.append(f"{len(stale)} of {len(accounts)} accounts stale, {worth}")
    if incomplete:
        words.append(f"{len(incomplete)} of {len(accounts)} accounts incomplete")
    return {
        "complete": not words,
        "text": "; ".join(words) or "complete",
        "accounts_stale": len(stale),
        "accounts_incomplete": len(incomplete),
        "equity_stale": fixed(old),
        "equity_known": fixed(whole),
        "inputs": [
            {"account_id": one["id"], "account": one["label"], "worth": one["equity_known"], "why": why}
            for one in accounts
            for why in [*one["stale"], *one["incomplete"]]
        ],
    }


def _conversions(
    rates: Mapping[int, Mapping[str, tuple[str, str]]], ids: Iterable[int], now: datetime
) -> list[Facts]:
    found: dict[str, tuple[str, str]] = {}
    for account in ids:
        found |= rates.get(account, {})
    return [
        {
            "currency": name,
            "price": price,
            "at": at,
            "age_seconds": max((now - datetime.fromisoformat(at)).total_seconds(), 0.0),
        }
        for name, (price, at) in sorted(found.items())
    ]


def _account(
    one: AccountFigures,
    sums: PositionSums | None,
    groups: Sequence[GroupFigures],
    limits: Sequence[LimitFigures],
) -> Facts:
    sums = sums or PositionSums(one["environment"])
    own = [group for group in groups if group["account"] == one["id"]]
    return {
        "key": one["label"],
        "account_id": one["id"],
        "venue": one["venue"],
        "equity": one["equity"],
        "margin_used": one["margin_used"],
        "margin_free": one["margin_free"],
        "stale": one["stale"],
        "incomplete": one["incomplete"],
        "limit_exceeded": any(limit["exceeded"] for limit in limits if limit["account"] == one["id"]),
        **_group(own),
        "pnl_today": {
            "value": one["periods"]["today"]["pnl"],
            "left_out": int(one["periods"]["today"]["pnl"] is None),
        },
        "unrealized": _sum(sums.unrealized.amount, sums.unrealized.left_out),
    }


def _by_venue(accounts: Sequence[AccountFigures], groups: Sequence[GroupFigures]) -> list[Facts]:
    found = []
    for venue in sorted({one["venue"] for one in accounts}):
        mine = [one for one in accounts if one["venue"] == venue]
        ids = {one["id"] for one in mine}
        found.append(
            {"key": venue, "equity": _known(one["equity"] for one in mine)["value"]}
            | _group([one for one in groups if one["account"] in ids])
            | {"pnl_today": _known(one["periods"]["today"]["pnl"] for one in mine)}
        )
    return found


def _rest(accounts: Sequence[AccountFigures], groups: Sequence[GroupFigures]) -> Decimal:
    """Return what of today's P&L no position earned: interest, corrections, what is not explained yet."""
    if any(one["periods"]["today"]["pnl"] is None for one in accounts):
        return ZERO
    if any(one["pnl_unknown"] for one in groups):
        return ZERO
    whole = sum((Decimal(one["periods"]["today"]["pnl"] or 0) for one in accounts), ZERO)
    return whole - sum((Decimal(one["pnl_today"]) for one in groups), ZERO)


def _grouped(
    groups: Sequence[GroupFigures],
    key: Callable[[GroupFigures], str],
    rest: Decimal,
    *,
    quantities: bool = False,
) -> list[Facts]:
    """Return groups by a key, the largest first. The rest is part of "": untagged, or cash."""
    found: dict[str, list[GroupFigures]] = {"": []} if rest else {}
    for one in groups:
        found.setdefault(key(one), []).append(one)
    rows: list[Facts] = [
        {"key": name} | _group(own) | (_quantities(own) if quantities else {}) for name, own in found.items()
    ]
    for row in rows:
        if row["key"] == "":
            row["pnl_today"]["value"] = fixed(Decimal(row["pnl_today"]["value"]) + rest)
    return sorted(rows, key=lambda one: (-Decimal(one["gross_exposure"]["value"]), one["key"]))


def _quantities(groups: Sequence[GroupFigures]) -> Facts:
    """Return units of one underlying: spot, perpetuals and inverse contracts netted by their ratios."""
    spot = sum((Decimal(one["spot_quantity"]) for one in groups), ZERO)
    derivative = sum((Decimal(one["derivative_quantity"]) for one in groups), ZERO)
    return {
        "spot_quantity": fixed(spot),
        "derivative_quantity": fixed(derivative),
        "net_quantity": fixed(spot + derivative),
    }


def _group(groups: Sequence[GroupFigures]) -> Facts:
    def added(name: str) -> Decimal:
        return sum((Decimal(one[name]) for one in groups), ZERO)  # type: ignore[literal-required]  # its keys

    long, short = added("long"), added("short")
    unknown = sum(one["unknown"] for one in groups)
    return {
        "positions": sum(one["positions"] for one in groups),
        "gross_exposure": _sum(long + short, unknown),
        "net_exposure": _sum(long - short, unknown),
        "long_exposure": _sum(long, unknown),
        "short_exposure": _sum(short, unknown),
        "pnl_today": _sum(added("pnl_today"), sum(one["pnl_unknown"] for one in groups)),
    }
