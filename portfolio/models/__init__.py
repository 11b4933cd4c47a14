"""The portfolio's tables.

history   PositionSnapshot, AccountSnapshot, PortfolioSnapshot, and the Hour of each
alerts    Alert, AlertTransition, AlertEvaluation, Mute, LadderSetting
notify    Recipient, Subscription, Delivery, Mail
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
from portfolio.models.notify import (
    DELIVERY_MOVES,
    WAITING,
    Channel,
    Delivery,
    DeliveryState,
    Mail,
    Purpose,
    Recipient,
    Subscription,
)
from portfolio.models.views import SavedView

__all__ = [
    "DELIVERY_MOVES",
    "OPEN_STATES",
    "WAITING",
    "AccountHour",
    "AccountSnapshot",
    "Alert",
    "AlertEvaluation",
    "AlertKind",
    "AlertState",
    "AlertTransition",
    "AlertTransitionKind",
    "Channel",
    "Delivery",
    "DeliveryState",
    "LadderSetting",
    "Mail",
    "Mute",
    "PortfolioHour",
    "PortfolioSnapshot",
    "PositionHour",
    "PositionSnapshot",
    "Purpose",
    "Recipient",
    "SavedView",
    "Severity",
    "Subscription",
]
