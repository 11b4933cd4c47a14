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
    Difference,
    Ended,
    Run,
    Status,
    Subject,
    Transition,
    Trigger,
    Verdict,
    leg_name,
    oldest_proof,
)

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
    "Difference",
    "Ended",
    "Mode",
    "Pause",
    "Policy",
    "Run",
    "Status",
    "Subject",
    "Transition",
    "Trigger",
    "Verdict",
    "leg_name",
    "oldest_proof",
]
