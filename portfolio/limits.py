"""PURE: limits on what is held: which are reached, by how much, and whether they can be meant at all.

Exposure and loss are in the display currency, leverage is a ratio, concentration and distance are in percent.

Note [Hysteresis]: a level is reached at its threshold, and left only when the figure is better than the
threshold by `hysteresis_pct` of it: a figure that trembles on the line is one breach and not fifty. A figure
that is not known leaves the level as it is: unknown never clears.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from enum import StrEnum
from typing import NamedTuple

HUNDRED = Decimal(100)
HYSTERESIS_PCT = Decimal(5)
PRECISION = 40
PLACES = Decimal("1e-18")


class LimitKind(StrEnum):
    """What a limit is on. All but DISTANCE are reached from below."""

    EXPOSURE = "exposure"  # Σ notional, gross
    LEVERAGE = "leverage"  # gross exposure over equity
    LOSS_TODAY = "loss_today"  # what today lost, positive
    CONCENTRATION = "concentration"  # the largest asset's share of gross exposure
    DISTANCE = "distance"  # the nearest liquidation


class LimitScope(NamedTuple):
    """What a limit holds for: everything of an environment, one account of it, or one asset."""

    environment: str
    account: int | None = None
    asset: str = ""


class LimitLevel(StrEnum):
    """How far a limit is used."""

    OK = "ok"
    WARN = "warn"
    BREACH = "breach"

    @property
    def rank(self) -> int:
        """Return the order of levels, the worst highest."""
        return list(LimitLevel).index(self)


ALLOWED: dict[LimitKind, tuple[bool, bool]] = {
    LimitKind.EXPOSURE: (True, True),
    LimitKind.LEVERAGE: (True, False),
    LimitKind.LOSS_TODAY: (True, True),
    LimitKind.CONCENTRATION: (True, False),
    LimitKind.DISTANCE: (True, True),
}
"""Whether a kind may be set for an account, and for an asset."""


class BadLimit(ValueError):
    """A limit, or several together, that cannot be meant. `field` names what is wrong."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


@dataclass(frozen=True, slots=True)
class LimitRule:
    """One limit. `warn` None: none. Raises BadLimit from `check`."""

    id: int
    kind: LimitKind
    scope: LimitScope
    breach: Decimal
    warn: Decimal | None = None
    hysteresis_pct: Decimal = HYSTERESIS_PCT

    @property
    def lower_is_worse(self) -> bool:
        """Return whether it is reached from above."""
        return self.kind is LimitKind.DISTANCE


class LimitFigure(NamedTuple):
    """A measured figure; None: not known, and `why` says why. `least`: at least this much, as parts lack."""

    value: Decimal | None
    why: str = ""
    least: bool = False


@dataclass(frozen=True, slots=True)
class LimitState:
    """Where a limit stands. `headroom` is what is left to the breach, negative beyond it."""

    rule: LimitRule
    level: LimitLevel
    value: Decimal | None
    headroom: Decimal | None
    used_pct: Decimal | None
    why: str = ""

    @property
    def exceeded(self) -> bool:
        """Return whether it is breached: totals then carry `limit_exceeded`."""
        return self.level is LimitLevel.BREACH


def check(rules: Sequence[LimitRule]) -> None:
    """Raise BadLimit for limits that cannot be meant: alone, twice, or against each other."""
    seen: dict[tuple[LimitKind, LimitScope], LimitRule] = {}
    for rule in rules:
        _check_alone(rule)
        if (rule.kind, rule.scope) in seen:
            raise BadLimit("kind", f"there are two limits of {rule.kind.value} for the same thing")
        seen[rule.kind, rule.scope] = rule
    for rule in rules:
        _check_inside(rule, seen)


def _check_alone(rule: LimitRule) -> None:
    for_account, for_asset = ALLOWED[rule.kind]
    if rule.scope.account is not None and not for_account:
        raise BadLimit("account", f"{rule.kind.value} is not limited by account")
    if rule.scope.asset and not for_asset:
        raise BadLimit("asset", f"{rule.kind.value} is not limited by asset")
    if rule.scope.asset and rule.scope.account is not None:
        raise BadLimit("asset", "a limit is for an account or for an asset, not for both")
    if not rule.breach.is_finite() or rule.breach <= 0:
        raise BadLimit("breach", "a limit is above 0")
    if rule.kind is LimitKind.CONCENTRATION and rule.breach > HUNDRED:
        raise BadLimit("breach", "a share is at most 100 %")
    if rule.kind is LimitKind.DISTANCE and rule.breach >= HUNDRED:
        raise BadLimit("breach", "a distance is below 100 %")
    if not 0 <= rule.hysteresis_pct < HUNDRED:
        raise BadLimit("hysteresis_pct", "hysteresis is from 0 to below 100 %")
    if rule.warn is None:
        return
    if not rule.warn.is_finite() or rule.warn <= 0:
        raise BadLimit("warn", "a warning is above 0")
    if rule.lower_is_worse and rule.warn <= rule.breach:
        raise BadLimit("warn", "a distance warns above the breach")
    if not rule.lower_is_worse and rule.warn >= rule.breach:
        raise BadLimit("warn", "a warning comes below the breach")


def _check_inside(rule: LimitRule, seen: Mapping[tuple[LimitKind, LimitScope], LimitRule]) -> None:
    """A part that may hold more than the whole contradicts the limit of the whole."""
    if rule.kind not in (LimitKind.EXPOSURE, LimitKind.LOSS_TODAY):
        return
    whole = seen.get((rule.kind, LimitScope(rule.scope.environment)))
    if whole is not None and whole is not rule and rule.breach > whole.breach:
        raise BadLimit(
            "breach",
            f"{rule.kind.value}: a part may be {rule.breach.normalize():f}, "
            f"but all together only {whole.breach.normalize():f}",
        )


def evaluate(
    rules: Iterable[LimitRule], figures: Mapping[int, LimitFigure], *, before: Mapping[int, LimitLevel]
) -> list[LimitState]:
    """Return where each limit stands, the worst first. `figures` and `before` are by the rule's id.

    A figure that is at least so much can raise a level, and lowers none.
    """
    states = [
        _state(rule, figures.get(rule.id, LimitFigure(None, "not measured")), before.get(rule.id))
        for rule in rules
    ]
    return sorted(states, key=lambda one: (-one.level.rank, -(one.used_pct or Decimal(0)), one.rule.id))


def _state(rule: LimitRule, figure: LimitFigure, before: LimitLevel | None) -> LimitState:
    before = before or LimitLevel.OK
    if figure.value is None:
        return LimitState(rule, before, None, None, None, figure.why or "not known")
    level = _level(rule, figure.value, before)
    if figure.least and level.rank < before.rank:
        level = before
    sign = -1 if rule.lower_is_worse else 1
    with localcontext(prec=PRECISION):
        headroom = sign * (rule.breach - figure.value)
        used = rule.breach / figure.value if rule.lower_is_worse and figure.value > 0 else None
        if not rule.lower_is_worse:
            used = max(figure.value, Decimal(0)) / rule.breach
        share = None if used is None else (HUNDRED * used).quantize(Decimal("0.01"))
        return LimitState(rule, level, figure.value, headroom.quantize(PLACES), share, figure.why)


def _level(rule: LimitRule, value: Decimal, before: LimitLevel) -> LimitLevel:
    """Return the worst level that is reached, or was and is not left yet. See Note [Hysteresis]."""
    for level, threshold in ((LimitLevel.BREACH, rule.breach), (LimitLevel.WARN, rule.warn)):
        if threshold is None:
            continue
        held = before.rank >= level.rank
        with localcontext(prec=PRECISION):
            slack = threshold * rule.hysteresis_pct / HUNDRED if held else Decimal(0)
            reached = value <= threshold + slack if rule.lower_is_worse else value >= threshold - slack
            if held and slack:  # left exactly at the end of the slack
                reached = value < threshold + slack if rule.lower_is_worse else value > threshold - slack
        if reached:
            return level
    return LimitLevel.OK


# Exposure by underlying -------------------------------------------------------------------------------------


class Exposed(NamedTuple):
    """One position's exposure to an underlying: units of it and USD, signed; None: not known."""

    underlying: str
    quantity: Decimal | None
    value: Decimal | None
    spot: bool


@dataclass(slots=True)
class UnderlyingExposure:
    """All exposure to one underlying, netted: coins held, derivatives, and both, in units and in USD."""

    underlying: str
    spot_quantity: Decimal = Decimal(0)
    derivative_quantity: Decimal = Decimal(0)
    net_value: Decimal = Decimal(0)
    gross_value: Decimal = Decimal(0)
    long_value: Decimal = Decimal(0)
    short_value: Decimal = Decimal(0)
    positions: int = 0
    unknown: int = 0

    @property
    def net_quantity(self) -> Decimal:
        """Return units held and owed together."""
        return self.spot_quantity + self.derivative_quantity

    def add(self, one: Exposed) -> None:
        """Count a position."""
        self.positions += 1
        if one.quantity is None or one.value is None:
            self.unknown += 1
            return
        if one.spot:
            self.spot_quantity += one.quantity
        else:
            self.derivative_quantity += one.quantity
        self.net_value += one.value
        self.gross_value += abs(one.value)
        if one.value > 0:
            self.long_value += one.value
        else:
            self.short_value -= one.value


def by_underlying(held: Iterable[Exposed]) -> list[UnderlyingExposure]:
    """Return the exposure to each underlying, the largest gross value first. Ratios are in the quantities."""
    found: dict[str, UnderlyingExposure] = {}
    with localcontext(prec=76):
        for one in held:
            found.setdefault(one.underlying, UnderlyingExposure(one.underlying)).add(one)
    return sorted(found.values(), key=lambda one: (-one.gross_value, one.underlying))
