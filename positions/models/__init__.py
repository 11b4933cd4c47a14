"""The ledger's tables. `ingest` writes the book, `observe` what venues show; reads live in `queries`.

accounts   Account, AccountHead, FeedCursor
market     Instrument, Mark, VenueState
entries    Entry, QuarantinedEntry
positions  Position, PositionEvent, Checkpoint, Balance
anchors    LedgerAnchor
"""

from positions.models.accounts import Account, AccountHead, Environment, FeedCursor
from positions.models.anchors import LedgerAnchor
from positions.models.entries import Entry, QuarantinedEntry, QuarantineReason
from positions.models.market import Instrument, InstrumentKind, Mark, VenueState
from positions.models.positions import OPEN_STATUSES, Balance, Checkpoint, Position, PositionEvent, Status

__all__ = [
    "OPEN_STATUSES",
    "Account",
    "AccountHead",
    "Balance",
    "Checkpoint",
    "Entry",
    "Environment",
    "FeedCursor",
    "Instrument",
    "InstrumentKind",
    "LedgerAnchor",
    "Mark",
    "Position",
    "PositionEvent",
    "QuarantineReason",
    "QuarantinedEntry",
    "Status",
    "VenueState",
]
