"""Text in CSV files that people open in a spreadsheet."""

from __future__ import annotations

import re

_FORMULA = re.compile(r"'?[=+@\t\r-]")
_NUMBER = re.compile(r"[+-]?[0-9.]+", re.ASCII)


def cell(text: str) -> str:
    """Return a cell that no spreadsheet runs as a formula: an apostrophe before it makes it text.

    A venue, or whoever names an order, decides what stands in a reference; numbers stay numbers.
    """
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def from_cell(text: str) -> str:
    """Return the text that `cell` was given."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text[1:]) else text
