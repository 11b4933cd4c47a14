"""Limits as they are set, measured and kept: the only writer of RiskLimit.

`set_limit` and `drop_limit` are for people; `evaluate` is the refresh's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, TypedDict

from django.db import transaction
from django.db.models import Q

from core.security.security_events import Act, record
from core.values.money import fixed
from portfolio import limits
from portfolio.limits import LimitFigure, LimitKind, LimitLevel, LimitRule, LimitScope, LimitState
from portfolio.models import RiskLimit
from portfolio.totals.figures import AccountFigures, GroupFigures
from positions.models import Instrument

ZERO, HUNDRED = Decimal(0), Decimal(100)


class LimitFigures(TypedDict):
    """Where a limit stands, in JSON types; also what alerts of the kind `limit` are made of.

    `account` None and `asset` "": all of the environment. `exceeded` is what totals carry as
    `limit_exceeded`. `why` says why the figure is not known, or what it leaves out.
    """

    id: int
    environment: str
    kind: str
    account: int | None
    asset: str
    level: str
    exceeded: bool
    value: str | None
    warn: str | None
    breach: str
    headroom: str | None
    used_pct: str | None
    since: str | None
    why: str


def rule_of(row: RiskLimit) -> LimitRule:
    """Return a row as the rules take it."""
    scope = LimitScope(row.environment, row.account_id, row.asset)
    return LimitRule(row.pk or 0, LimitKind(row.kind), scope, row.breach, row.warn, row.hysteresis_pct)


def check_limit(row: RiskLimit) -> None:
    """Raise BadLimit where a limit, with those that are set, cannot be meant."""
    if row.account is not None and row.account.environment != row.environment:
        raise limits.BadLimit("account", f"the account is {row.account.environment}, not {row.environment}")
    if row.asset and not _is_traded(row.asset, row.environment):
        raise limits.BadLimit("asset", f"no market is known in {row.asset} ({row.environment})")
    others = RiskLimit.objects.filter(environment=row.environment).exclude(pk=row.pk)
    limits.check([*(rule_of(one) for one in others), rule_of(row)])


def _is_traded(asset: str, environment: str) -> bool:
    """Return whether a market of the environment is in it: a limit on a misspelt asset would never act."""
    found = Instrument.objects.filter(environment=environment)
    return found.filter(Q(underlying=asset) | Q(underlying="", base=asset)).exists()


def set_limit(row: RiskLimit, *, who: str, now: datetime) -> RiskLimit:
    """Write a limit that may be meant. Raises BadLimit."""
    # One transaction: limits stay locked from the check to the write, so that two people at once cannot
    # contradict each other.
    with transaction.atomic():
        known = list(RiskLimit.objects.select_for_update().filter(environment=row.environment).order_by("pk"))
        check_limit(row)
        before = next((_facts(one) for one in known if one.pk == row.pk), None)
        row.changed_at, row.changed_by = now, who
        row.save()
        record(Act.LIMIT_CHANGED, who=who, subject=str(row), before=before, after=_facts(row))
    return row


def drop_limit(row: RiskLimit, *, who: str) -> None:
    """Take a limit away."""
    with transaction.atomic():
        record(Act.LIMIT_DROPPED, who=who, subject=str(row), before=_facts(row), after=None)
        row.delete()


def _facts(row: RiskLimit) -> dict[str, Any]:
    return {
        "kind": row.kind,
        "environment": row.environment,
        "account": row.account_id,
        "asset": row.asset,
        "warn": None if row.warn is None else fixed(row.warn),
        "breach": fixed(row.breach),
        "hysteresis_pct": fixed(row.hysteresis_pct),
        "enabled": row.enabled,
    }


def evaluate(
    *, figures: Sequence[AccountFigures], groups: Sequence[GroupFigures], now: datetime
) -> list[LimitFigures]:
    """Measure every limit that is on, note a level that changed, and return where each stands."""
    rows = {row.pk: row for row in RiskLimit.objects.filter(enabled=True)}
    if not rows:
        return []
    measured = {pk: _measure(rule_of(row), figures, groups) for pk, row in rows.items()}
    before = {pk: LimitLevel(row.level) for pk, row in rows.items()}
    states = limits.evaluate([rule_of(row) for row in rows.values()], measured, before=before)
    for state in states:
        row = rows[state.rule.id]
        if state.level.value != row.level:
            row.level, row.value, row.since = state.level.value, state.value, now
            row.save(update_fields=["level", "value", "since"])
    return [_written(state, rows[state.rule.id]) for state in states]


def _written(state: LimitState, row: RiskLimit) -> LimitFigures:
    def text(value: Decimal | None) -> str | None:
        return None if value is None else fixed(value)

    return LimitFigures(
        id=row.pk, environment=row.environment, kind=row.kind, account=row.account_id, asset=row.asset,
        level=state.level.value, exceeded=state.exceeded, value=text(state.value), warn=text(row.warn),
        breach=fixed(row.breach), headroom=text(state.headroom), used_pct=text(state.used_pct),
        since=None if row.since is None else row.since.isoformat(), why=state.why,
    )  # fmt: skip


# Measuring --------------------------------------------------------------------------------------------------


def _measure(
    rule: LimitRule, figures: Iterable[AccountFigures], groups: Iterable[GroupFigures]
) -> LimitFigure:
    scope = rule.scope
    accounts = [
        one
        for one in figures
        if one["environment"] == scope.environment and scope.account in (None, one["id"])
    ]
    ids = {one["id"] for one in accounts}
    held = [one for one in groups if one["account"] in ids and scope.asset in ("", one["asset"])]
    if rule.kind is LimitKind.EXPOSURE:
        return _exposure(held)
    if rule.kind is LimitKind.LEVERAGE:
        return _leverage(accounts, held)
    if rule.kind is LimitKind.CONCENTRATION:
        return _concentration(held)
    if rule.kind is LimitKind.LOSS_TODAY:
        return _loss_of_groups(held) if scope.asset else _loss(accounts)
    return _distance(held)


def _gross(held: Iterable[GroupFigures]) -> Decimal:
    return sum((Decimal(one["long"]) + Decimal(one["short"]) for one in held), ZERO)


def _left_out(count: int, what: str) -> str:
    return f"{count} {what}" if count else ""


def _exposure(held: Collection[GroupFigures]) -> LimitFigure:
    unknown = sum(one["unknown"] for one in held)
    return LimitFigure(_gross(held), _left_out(unknown, "positions without a value"), least=unknown > 0)


def _leverage(accounts: Sequence[AccountFigures], held: Collection[GroupFigures]) -> LimitFigure:
    unknown = [one["label"] for one in accounts if one["equity"] is None]
    if unknown:
        return LimitFigure(None, f"equity of {', '.join(unknown)} is not known")
    equity = sum((Decimal(one["equity"] or 0) for one in accounts), ZERO)
    exposure = _exposure(held)
    if equity <= 0:
        if not _gross(held):
            return LimitFigure(ZERO)
        return LimitFigure(None, "there is no equity that carries the exposure")
    ratio = (_gross(held) / equity).quantize(Decimal("0.0001"))
    return LimitFigure(ratio, exposure.why, least=exposure.least)


def _concentration(held: Collection[GroupFigures]) -> LimitFigure:
    by_asset: dict[str, Decimal] = {}
    for one in held:
        by_asset[one["asset"]] = by_asset.get(one["asset"], ZERO) + _gross([one])
    unknown = sum(one["unknown"] for one in held)
    gross = sum(by_asset.values(), ZERO)
    if unknown:
        return LimitFigure(None, _left_out(unknown, "positions without a value"))
    if not gross:
        return LimitFigure(ZERO)
    name = max(by_asset, key=lambda one: by_asset[one])
    return LimitFigure((HUNDRED * by_asset[name] / gross).quantize(Decimal("0.01")), name)


def _loss(accounts: Iterable[AccountFigures]) -> LimitFigure:
    known = {one["label"]: one["periods"]["today"]["pnl"] for one in accounts}
    unknown = [label for label, pnl in known.items() if pnl is None]
    if unknown:
        return LimitFigure(None, f"today's P&L of {', '.join(unknown)} is not known")
    pnl = sum((Decimal(one or 0) for one in known.values()), ZERO)
    return LimitFigure(max(-pnl, ZERO))


def _loss_of_groups(held: Collection[GroupFigures]) -> LimitFigure:
    unknown = sum(one["pnl_unknown"] for one in held)
    if unknown:
        return LimitFigure(None, _left_out(unknown, "positions whose P&L of today is not known"))
    return LimitFigure(max(-sum((Decimal(one["pnl_today"]) for one in held), ZERO), ZERO))


def _distance(held: Collection[GroupFigures]) -> LimitFigure:
    known = [Decimal(one["nearest"]) for one in held if one["nearest"] is not None]
    unknown = sum(one["risk_unknown"] for one in held)
    if known:
        return LimitFigure(min(known), _left_out(unknown, "positions of unknown distance"), least=unknown > 0)
    if unknown:
        return LimitFigure(None, _left_out(unknown, "positions of unknown distance"))
    return LimitFigure(HUNDRED, "no position that can be liquidated")
