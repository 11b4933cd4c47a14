"""Reads the accounting vectors, and keeps the score that each file's test prints."""

import json
import os
import sys
from decimal import Decimal
from pathlib import Path

FOLDER = Path(os.environ.get("VECTORS_DIR") or Path(__file__).parents[2] / "data" / "vectors")


def cases(name: str) -> list[dict]:
    """The cases of one file in the folder that VECTORS_DIR names, or in ours."""
    return json.loads((FOLDER / f"{name}.json").read_text())["cases"]


def number(text: str | int | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def show(capsys, name: str, results: dict[str, bool]) -> None:
    """Print `file: agree/total`, and fail with the ids that do not agree."""
    wrong = [key for key, agrees in results.items() if not agrees]
    with capsys.disabled():
        sys.stdout.write(f"\n{name}: {len(results) - len(wrong)}/{len(results)} agree")
    assert not wrong
