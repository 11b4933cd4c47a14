"""What people are to be told: queued in the transaction that writes the alert's transition."""

from __future__ import annotations

from datetime import datetime

import structlog

from portfolio.models import AlertTransition

log = structlog.get_logger("notify")


def queue(*, transition: AlertTransition, now: datetime) -> int:
    """Queue a transition to all who are to hear of it, in the caller's transaction; return how many do.

    Raises DatabaseError. Until recipients exist it is logged, and 0 returned.
    """
    log.warning(
        "nobody is told",
        alert=transition.alert_id,
        kind=transition.kind,
        title=transition.alert.title,
        at=now.isoformat(),
    )
    return 0
