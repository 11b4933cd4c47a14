"""The portfolio's tables.

history   PositionSnapshot, AccountSnapshot, PortfolioSnapshot, the Hour of each, Restatement
limits    RiskLimit
pnl       ClosingMark, PnlDay, AccountDay, EntryStrategy
witness   VenueDay
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
    Restatement,
)
from portfolio.models.limits import RiskLimit, RiskLimitKind
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
from portfolio.models.pnl import AccountDay, ClosingMark, EntryStrategy, PnlDay
from portfolio.models.views import SavedView
from portfolio.models.witness import VenueDay

__all__ = [
    "DELIVERY_MOVES",
    "OPEN_STATES",
    "WAITING",
    "AccountDay",
    "AccountHour",
    "AccountSnapshot",
    "Alert",
    "AlertEvaluation",
    "AlertKind",
    "AlertState",
    "AlertTransition",
    "AlertTransitionKind",
    "Channel",
    "ClosingMark",
    "Delivery",
    "DeliveryState",
    "EntryStrategy",
    "LadderSetting",
    "Mail",
    "Mute",
    "PnlDay",
    "PortfolioHour",
    "PortfolioSnapshot",
    "PositionHour",
    "PositionSnapshot",
    "Purpose",
    "Recipient",
    "Restatement",
    "RiskLimit",
    "RiskLimitKind",
    "SavedView",
    "Severity",
    "Subscription",
    "VenueDay",
]
