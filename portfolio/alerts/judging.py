"""All rules together: from how everything stands to conditions. Pure.

Note [A rule that fails]: it must not silence the others. Its open alerts cannot be judged, and that is an
alert itself.
"""

from __future__ import annotations

from typing import NamedTuple

from portfolio.alerts import terms
from portfolio.alerts.causes import part_key
from portfolio.alerts.conditions import Condition, plain_line
from portfolio.alerts.rules import feeds, operations, proof, risk, values
from portfolio.alerts.snapshot import Snapshot

RULES = (
    risk.liquidated,
    risk.liquidation_near,
    risk.limits,
    risk.allocations,
    proof.drifts,
    proof.proofs_too_old,
    values.values_differ,
    feeds.silent,
    feeds.keys_refused,
    operations.quarantines,
    operations.automation_halted,
    operations.parts_down,
)
RULES_PART = "rules"


class RuleFailure(NamedTuple):
    """A rule that raised an error."""

    rule: str
    error: Exception


def conditions(snapshot: Snapshot) -> tuple[list[Condition], list[RuleFailure]]:
    """Return what all rules say of a snapshot, and those that failed."""
    found: list[Condition] = []
    failures: list[RuleFailure] = []
    for rule in RULES:
        try:
            found += rule(snapshot)
        except Exception as error:  # noqa: BLE001  it is told, see Note [A rule that fails]
            failures.append(RuleFailure(rule.__name__, error))
    if failures:
        found.append(_failed(failures))
    return found, failures


def _failed(failures: list[RuleFailure]) -> Condition:
    names = ", ".join(failure.rule.replace("_", " ") for failure in failures)
    return Condition(
        kind="component_down",
        subject=part_key(RULES_PART).subject,
        holds=True,
        severity=terms.CRITICAL,
        title=plain_line(f"DOWN alert rules: {names}"),
        summary=f"Rules failed: {names}. What they judge is not known; the log has the error.",
    )
