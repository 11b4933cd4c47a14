"""Cases: opened when a drift is found, followed until book and venue agree, commented on and assigned."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from positions.models import Account
from reconciliation.models import Run, Verdict


def follow(*, account: Account, drifting: Sequence[Verdict], run: Run, now: datetime) -> None:
    """Open a case for each drift that has none."""
