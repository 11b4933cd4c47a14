"""All rules together: from how everything stands to conditions. Pure.

A rule speaks of every subject whose condition holds, and of every subject that has an open alert of its kind.
"""

from __future__ import annotations

from portfolio.alerts.conditions import Condition
from portfolio.alerts.rules import feeds, operations, proof, risk
from portfolio.alerts.snapshot import Snapshot

RULES = (
    risk.liquidated,
    risk.liquidation_near,
    risk.limits,
    risk.allocations,
    proof.drifts,
    proof.proofs_too_old,
    feeds.silent,
    feeds.keys_refused,
    operations.quarantines,
    operations.automation_halted,
    operations.parts_down,
)


def conditions(snapshot: Snapshot) -> list[Condition]:
    """Return what all rules say of a snapshot."""
    return [found for rule in RULES for found in rule(snapshot)]
