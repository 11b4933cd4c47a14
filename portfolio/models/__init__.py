"""The portfolio's tables.

history   PositionSnapshot, AccountSnapshot, PortfolioSnapshot, and the Hour of each
alerts    Alert, AlertTransition, AlertEvaluation, Mute, LadderSetting
"""

from portfolio.models.alerts import (
    OPEN_STATES,
    Alert,
    AlertEvaluation,
    AlertKind,
    AlertState,
    AlertTransition,
    AlertTransitionKind,
    LadderSetting,
    Mute,
    Severity,
)
from portfolio.models.history import (
    AccountHour,
    AccountSnapshot,
    PortfolioHour,
    PortfolioSnapshot,
    PositionHour,
    PositionSnapshot,
)

__all__ = [
    "OPEN_STATES",
    "AccountHour",
    "AccountSnapshot",
    "Alert",
    "AlertEvaluation",
    "AlertKind",
    "AlertState",
    "AlertTransition",
    "AlertTransitionKind",
    "LadderSetting",
    "Mute",
    "PortfolioHour",
    "PortfolioSnapshot",
    "PositionHour",
    "PositionSnapshot",
    "Severity",
]
