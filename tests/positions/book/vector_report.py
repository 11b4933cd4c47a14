"""The vector table: `python -m tests.positions.book.vector_report` prints agree/total per file."""

from __future__ import annotations

import sys
from collections.abc import Callable
from decimal import Decimal

from tests.positions.book.vectors import FOLDER, Report, Tolerance, run_file
from tests.positions.book.vectors_corrections import run_corrections
from tests.positions.book.vectors_hyperliquid import run_fills, run_funding

LIVE = Tolerance(average=Decimal("1e-12"), money=Decimal("1e-8"))
FILES: dict[str, Callable[[], Report]] = {
    "hyperliquid_fills": run_fills,
    "hyperliquid_funding": run_funding,
    "nautilus_live": lambda: run_file("nautilus_live", LIVE),
    "nautilus_corrections": lambda: run_corrections("nautilus_corrections"),
    "nautilus_tests": lambda: run_file("nautilus_tests", Tolerance()),
    "other_libraries": lambda: run_file("other_libraries", Tolerance()),
    "exchange_recorded": lambda: run_file("exchange_recorded", Tolerance()),
}


def main() -> int:
    reports = [run() for name, run in FILES.items() if (FOLDER / f"{name}.json").exists()]
    sys.stdout.write("\n".join(str(report) for report in reports) + "\n")
    return any(report.failures for report in reports)


if __name__ == "__main__":
    raise SystemExit(main())
