"""The book: exact positions from immutable facts. Pure: standard library only."""

from positions.book.apply import OutOfOrder, apply
from positions.book.cash import CashLeg, by_asset, cash_legs
from positions.book.content import EntryComparison, compare, completion
from positions.book.contracts import BaseFee, Contract, ContractKind, spot
from positions.book.entries import Cause, Entry, Kind, Leg, ParValue, Side
from positions.book.fold import Fold, fold, fold_facts, fold_legs
from positions.book.invariants import broken, wrong_side
from positions.book.legs import LegSizes, split_by_leg
from positions.book.money import InvalidEntry, exact, plain
from positions.book.position import ChangeKind, PositionChange, PositionState, PositionStatus
from positions.book.resolve import Conflict, Resolution, replaces, resolve

__all__ = [
    "BaseFee",
    "CashLeg",
    "Cause",
    "ChangeKind",
    "Conflict",
    "Contract",
    "ContractKind",
    "Entry",
    "EntryComparison",
    "Fold",
    "InvalidEntry",
    "Kind",
    "Leg",
    "LegSizes",
    "OutOfOrder",
    "ParValue",
    "PositionChange",
    "PositionState",
    "PositionStatus",
    "Resolution",
    "Side",
    "apply",
    "broken",
    "by_asset",
    "cash_legs",
    "compare",
    "completion",
    "exact",
    "fold",
    "fold_facts",
    "fold_legs",
    "plain",
    "replaces",
    "resolve",
    "split_by_leg",
    "spot",
    "wrong_side",
]
