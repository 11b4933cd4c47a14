"""The portfolio's tables.

history   Snapshot
alerts    Alert, AlertTransition, Mute
"""

from portfolio.models.alerts import (
    OPEN_STATES,
    Alert,
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
    "AlertKind",
    "AlertState",
    "AlertTransition",
    "AlertTransitionKind",
    "Mute",
    "Severity",
    "Snapshot",
]
