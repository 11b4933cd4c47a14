"""The tables of reconciliation. Each has one writer; reads live in `queries`.

runs        Run, Verdict, Transition, Difference
cases       Case, CaseEvent, Correction, Policy
allocation  AllocationTarget, AllocationBreach
pauses      Pause
"""

from reconciliation.models.allocation import AllocationBreach, AllocationTarget
from reconciliation.models.cases import UNSETTLED, Case, CaseEvent, CaseState, Correction, Mode, Policy
from reconciliation.models.pauses import Pause
from reconciliation.models.runs import (
    PROOF_INTERVALS,
    SUBJECT,
    DifferenceEnd,
    Run,
    Subject,
    Transition,
    Trigger,
    Verdict,
    VerdictStatus,
    leg_name,
    oldest_proof,
)
from reconciliation.models.runs import Difference as DifferenceRow

__all__ = [
    "PROOF_INTERVALS",
    "SUBJECT",
    "UNSETTLED",
    "AllocationBreach",
    "AllocationTarget",
    "Case",
    "CaseEvent",
    "CaseState",
    "Correction",
    "DifferenceEnd",
    "DifferenceRow",
    "Mode",
    "Pause",
    "Policy",
    "Run",
    "Subject",
    "Transition",
    "Trigger",
    "Verdict",
    "VerdictStatus",
    "leg_name",
    "oldest_proof",
]
