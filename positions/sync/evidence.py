"""How far our reading of a venue's answers was proven, for each account and leg (see venues/evidence.py)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from positions.models import Account, Instrument, InstrumentKind
from positions.venues.base import Evidence, Method
from positions.venues.evidence import evidence_of

# What must be read right for a book that agrees with its venue to be right: the report it is compared with,
# and the facts that made the book. Funding and transfers move cash and coins, never the size of a contract.
DERIVATIVE = (Method.POSITIONS, Method.FILLS)
COIN = (Method.BALANCES, Method.FILLS, Method.TRANSFERS)
CASH = (Method.BALANCES, Method.FILLS, Method.FUNDING, Method.TRANSFERS)
EVERYTHING = (Method.POSITIONS, *CASH)

MANUAL = "manual"
_WORST_FIRST = (Evidence.UNPROVEN, Evidence.SIMULATED, Evidence.RECORDED)


@dataclass(frozen=True, slots=True)
class EvidenceGrade:
    """How far a reading is proven.

    grade     recorded (on real answers), simulated (on our simulator only) or unproven, the worst of the
              methods it takes; unsupported where there is nothing to read (a manual account)
    unproven  the methods that nothing proves yet
    """

    grade: Evidence
    unproven: tuple[str, ...]

    @property
    def is_proven(self) -> bool:
        """Whether a Synced may stand without a word of caution."""
        return self.grade in (Evidence.RECORDED, Evidence.SIMULATED)


@cache
def reading(*, venue: str, methods: tuple[Method, ...]) -> EvidenceGrade:
    """How far these methods of a venue are proven; methods that the venue does not have are left out."""
    table = {} if venue == MANUAL else evidence_of(venue)
    found = {method: table[method].evidence for method in methods if method in table}
    grades = set(found.values()) - {Evidence.UNSUPPORTED}
    return EvidenceGrade(
        grade=next((grade for grade in _WORST_FIRST if grade in grades), Evidence.UNSUPPORTED),
        unproven=tuple(name.value for name, grade in found.items() if grade is Evidence.UNPROVEN),
    )


def methods_of(*, instrument: Instrument | None) -> tuple[Method, ...]:
    """On what the proof of a leg rests; None: a balance of cash."""
    if instrument is None:
        return CASH
    return COIN if instrument.kind == InstrumentKind.ASSET else DERIVATIVE


def of_leg(*, account: Account, instrument: Instrument | None) -> EvidenceGrade:
    """How far the reading is proven on which a leg's proof rests; None: a balance of cash."""
    return reading(venue=account.venue, methods=methods_of(instrument=instrument))


def of_account(*, account: Account) -> EvidenceGrade:
    """How far the readings are proven on which an account's proof rests."""
    return reading(venue=account.venue, methods=EVERYTHING)


def unproven(account: Account) -> tuple[str, ...]:
    """The methods on which an account's Synced rests and that nothing proves yet; none for a manual account,
    which has no venue and is never Synced.
    """
    return of_account(account=account).unproven
