"""`bin/bench NAME …`: run benchmarks on scratch services, one JSON line per figure.

A benchmark is a module `benchmarks/NAME.py` with `run(report)`. It calls `report(name, value, unit, goal,
better, floor)` for each figure; a floor is what the machine itself allows, measured in the same run, so
that ratios mean something on a noisy machine.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Literal

from config import embedded, servers

NAMES = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))


class Report:
    """Prints each figure and remembers whether all goals were met."""

    def __init__(self, benchmark: str) -> None:
        self.benchmark = benchmark
        self.missed = 0

    def __call__(
        self,
        name: str,
        value: float,
        unit: str,
        goal: float,
        better: Literal["higher", "lower"],
        floor: float | None = None,
    ) -> None:
        """Print one figure. `better` says on which side of `goal` it should be."""
        met = value >= goal if better == "higher" else value <= goal
        self.missed += not met
        line = {
            "benchmark": self.benchmark,
            "figure": name,
            "value": round(value, 4),
            "unit": unit,
            "goal": f"{'≥' if better == 'higher' else '≤'} {goal:g}",
            "floor": None if floor is None else round(floor, 4),
            "verdict": "met" if met else "MISSED",
        }
        print(json.dumps(line, ensure_ascii=False), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="bin/bench", description=__doc__)
    parser.add_argument("names", nargs="+", choices=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--server", choices=("daphne", "uvicorn"), default="daphne", help="live: who serves")
    parser.add_argument("--full", action="store_true", help="measure longer, and larger")
    parser.add_argument("--only", default="", metavar="PART", help="live: fan-out, storm, ticks, fills, …")
    options = parser.parse_args()
    names = options.names
    os.environ |= {
        "BENCH_SERVER": options.server,
        "BENCH_FULL": "1" if options.full else "",
        "BENCH_ONLY": options.only,
    }
    missed = 0
    with tempfile.TemporaryDirectory(prefix="plumbline-bench-") as scratch:
        os.environ["DATA_DIR"] = scratch
        with embedded.running(Path(scratch)) as urls:
            os.environ |= {"DATABASE_URL": urls.database, "REDIS_URL": urls.redis}
            os.environ.setdefault("LOG_LEVEL", "ERROR")
            _prepare_django()
            for name in names:
                report = Report(name)
                importlib.import_module(f"benchmarks.{name}").run(report)
                missed += report.missed
    return 1 if missed else 0


def _prepare_django() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except servers.ServiceFailed as error:
        sys.exit(f"bin/bench: {error}")
