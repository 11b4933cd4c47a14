"""The portfolio's tables.

history   Snapshot
alerts    Alert, AlertTransition, AlertEvaluation, Mute
"""

from portfolio.models.alerts import (
    OPEN_STATES,
    Alert,
    AlertEvaluation,
    AlertKind,
    AlertState,
    AlertTransition,
    AlertTransitionKind,
    Mute,
    Severity,
)
from portfolio.models.history import Snapshot

__all__ = [
    "OPEN_STATES",
    "Alert",
    "AlertEvaluation",
    "AlertKind",
    "AlertState",
    "AlertTransition",
    "AlertTransitionKind",
    "Mute",
    "Severity",
    "Snapshot",
]
