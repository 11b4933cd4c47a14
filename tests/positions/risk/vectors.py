"""Reads the accounting vectors, and keeps the score that each file's test prints."""

import json
import os
import sys
from decimal import Decimal
from pathlib import Path

import pytest

ELSEWHERE = os.environ.get("VECTORS_DIR")
FOLDER = Path(ELSEWHERE or Path(__file__).parents[2] / "data" / "vectors")


def cases(name: str) -> list[dict]:
    """The cases of one file in the folder that VECTORS_DIR names, or in ours."""
    if ELSEWHERE and not (FOLDER / f"{name}.json").exists():
        pytest.skip(f"{name}.json is not in {FOLDER}", allow_module_level=True)
    return json.loads((FOLDER / f"{name}.json").read_text())["cases"]


def number(text: str | int | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def signed(side: str | int) -> Decimal:
    """+1 or -1 of a side, written as a number or as a word."""
    words = {"long": 1, "buy": 1, "short": -1, "sell": -1}
    return Decimal(words.get(str(side).lower(), side))


def show(capsys, name: str, results: dict[str, bool]) -> None:
    """Print `file: agree/total`, and fail with the ids that do not agree."""
    if ELSEWHERE and not results:
        pytest.skip(f"{name}: no case of {FOLDER} states it")
    wrong = [key for key, agrees in results.items() if not agrees]
    with capsys.disabled():
        sys.stdout.write(f"\n{name}: {len(results) - len(wrong)}/{len(results)} agree")
    assert results
    assert not wrong
