"""Risk bands: the distance to liquidation as a word, by a ladder that account and instrument may set."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise

from positions.risk.exact import HUNDRED, BadRiskInput, check_finite, check_positive


class RiskBand(StrEnum):
    """How near liquidation is. DANGER and CRITICAL count as at risk."""

    SAFE = "safe"
    WATCH = "watch"
    DANGER = "danger"
    CRITICAL = "critical"

    @property
    def at_risk(self) -> bool:
        """Whether somebody should act."""
        return self in (RiskBand.DANGER, RiskBand.CRITICAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskLadder:
    """Distances to liquidation, in percent of the mark, at or under which a band begins.

    `danger_pct` is the at-risk threshold. Raises BadRiskInput unless 0 < critical < danger < watch ≤ 100.
    """

    watch_pct: Decimal = Decimal(10)
    danger_pct: Decimal = Decimal(5)
    critical_pct: Decimal = Decimal(2)

    def __post_init__(self) -> None:
        rungs = {
            "critical_pct": self.critical_pct,
            "danger_pct": self.danger_pct,
            "watch_pct": self.watch_pct,
        }
        for field, value in rungs.items():
            if value is None:
                raise BadRiskInput(field=field, value=value, reason="must be given")
        check_positive(**rungs)
        for (_, nearer), (field, farther) in pairwise(rungs.items()):
            if farther <= nearer:
                raise BadRiskInput(field=field, value=farther, reason=f"must be above {nearer}")
        if self.watch_pct > HUNDRED:
            raise BadRiskInput(field="watch_pct", value=self.watch_pct, reason="must be at most 100")


DEFAULT_LADDER = RiskLadder()

Ladders = Mapping[tuple[str | None, str | None], RiskLadder]


def ladder_for(
    *, ladders: Ladders, account: str | None, instrument: str | None, default: RiskLadder = DEFAULT_LADDER
) -> RiskLadder:
    """The ladder in force: that of (account, instrument), else the account's, else the instrument's.

    `ladders` is keyed (account, instrument), None standing for any; (None, None) replaces the default.
    """
    for key in ((account, instrument), (account, None), (None, instrument), (None, None)):
        if key in ladders:
            return ladders[key]
    return default


def risk_band(
    *,
    distance_pct: Decimal | None,
    ladder: RiskLadder = DEFAULT_LADDER,
    under_maintenance: bool | None = None,
    never_liquidated: bool = False,
) -> RiskBand | None:
    """The band of a distance to liquidation (percent of the mark, negative once passed).

    A threshold itself belongs to the nearer band. Equity `under_maintenance` is CRITICAL whatever the
    distance. No distance is SAFE only where the caller knows that no price liquidates the position (spot, or
    a complete margin calculation without a price); otherwise None: unknown is not safe. Raises BadRiskInput.
    """
    check_finite(distance_pct=distance_pct)
    if under_maintenance:
        return RiskBand.CRITICAL
    if distance_pct is None:
        return RiskBand.SAFE if never_liquidated else None
    if distance_pct <= ladder.critical_pct:
        return RiskBand.CRITICAL
    if distance_pct <= ladder.danger_pct:
        return RiskBand.DANGER
    return RiskBand.WATCH if distance_pct <= ladder.watch_pct else RiskBand.SAFE
