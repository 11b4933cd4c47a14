"""The book: exact positions from immutable facts. Pure: standard library only."""

from positions.book.apply import OutOfOrder, apply
from positions.book.cash import CashLeg, by_asset, cash_legs
from positions.book.contracts import BaseFee, Contract, ContractKind, spot
from positions.book.entries import Cause, Entry, Kind, Leg, ParValue, Side
from positions.book.fold import Conflict, Fold, fold
from positions.book.money import InvalidEntry, exact, plain
from positions.book.position import Change, Happened, Position, PositionStatus

__all__ = [
    "BaseFee",
    "CashLeg",
    "Cause",
    "Change",
    "Conflict",
    "Contract",
    "ContractKind",
    "Entry",
    "Fold",
    "Happened",
    "InvalidEntry",
    "Kind",
    "Leg",
    "OutOfOrder",
    "ParValue",
    "Position",
    "PositionStatus",
    "Side",
    "apply",
    "by_asset",
    "cash_legs",
    "exact",
    "fold",
    "plain",
    "spot",
]
