"""Both sides of a correction: what one report, and the book as of its time, have of a case's leg.

They are kept with the case, so that no correction mixes the venue of one moment with the book of another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Any

from core.values.money import fixed


@dataclass(frozen=True, slots=True)
class CaseReport:
    """Signed quantities in units (short is negative), average entry prices, and the mark price then.

    None is unknown; a side that is flat has quantity 0. A balance has only the time of the report: its
    amounts are the case's difference.
    """

    as_of: datetime
    book_quantity: Decimal | None = None
    book_entry_price: Decimal | None = None
    venue_quantity: Decimal | None = None
    venue_entry_price: Decimal | None = None
    mark_price: Decimal | None = None

    def to_plain(self) -> dict[str, Any]:
        """Return it as JSON types."""
        numbers = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "as_of"}
        return {
            "as_of": self.as_of.isoformat(),
            **{name: None if number is None else fixed(number) for name, number in numbers.items()},
        }

    @classmethod
    def from_plain(cls, stored: Mapping[str, Any]) -> CaseReport | None:
        """Return what `to_plain` wrote; None for a case of before reports were kept."""
        if not stored:
            return None
        numbers = {name: value for name, value in stored.items() if name != "as_of" and value is not None}
        return cls(
            datetime.fromisoformat(stored["as_of"]),
            **{name: Decimal(number) for name, number in numbers.items()},
        )
