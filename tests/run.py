"""The last step of `bin/test`: services and a browser, pytest, and for a whole run the floors of coverage."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import coverage
from coverage.exceptions import CoverageException

from config import embedded, servers

ROOT = Path(__file__).resolve().parent.parent
# Least coverage in percent, lines and branches together, by what it is of: globs of files, none for all.
FLOORS: dict[str, tuple[int, tuple[str, ...]]] = {
    "everything": (90, ()),
    "the book": (95, ("positions/book/*",)),
    "the ledger": (95, ("positions/ledger/*",)),
    "the rules of risk": (95, ("positions/risk/*",)),
    "the rules of reconciliation": (95, ("reconciliation/rules/*",)),
    "the roll-up": (95, ("portfolio/rollup.py",)),
}


def find_chromium() -> str | None:
    """Return a Chromium that is there, or one that can be installed; None when neither."""
    named = os.environ.get("CHROMIUM")
    for name in (named, "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        if name and (found := shutil.which(name)):
            return found
    if os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "update", "-qq"], check=False)
        subprocess.run(
            ["apt-get", "install", "-y", "-qq", "chromium"], check=False, stdout=subprocess.DEVNULL
        )
        return shutil.which("chromium")
    subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


def below_the_floors() -> list[str]:
    """Print the coverage that the last run reached beside its floors; return the names of what is too low."""
    measured = coverage.Coverage()
    measured.load()
    low = []
    print("\nCoverage with branches:")
    for name, (floor, files) in FLOORS.items():
        try:
            reached = measured.report(file=io.StringIO(), include=files or None)
        except CoverageException as error:  # no such file: a floor must not vanish with a rename
            reached, name = 0.0, f"{name} ({error})"
        print(f"  {reached:6.2f} % of {name}, at least {floor} %")
        if reached < floor:
            low.append(name)
    return low


def main() -> int:
    """Run pytest with this process's arguments; with none all but the long tests, with `--all` everything."""
    chromium = find_chromium()
    if chromium is None:
        print(
            "bin/test: no Chromium: install one (Debian: apt-get install chromium), or name it in CHROMIUM=",
            file=sys.stderr,
        )
        return 2
    arguments = sys.argv[1:] or ["-m", "not long"]
    whole = arguments == ["--all"]
    if whole:
        arguments = ["--cov", "--cov-report="]
    # Many tests wait for processes and browsers: one worker more than cores uses the time.
    workers = str((os.cpu_count() or 1) + 1)
    with tempfile.TemporaryDirectory(prefix="plumbline-test-") as scratch:
        data_dir = Path(scratch) / "data"
        data_dir.mkdir()
        for folder in (Path(scratch), data_dir):
            folder.chmod(0o711)  # as root, Postgres runs as a user of its own, who must get to its files
        with embedded.running(data_dir, durable=False) as urls:
            environment = os.environ | {
                "DATABASE_URL": urls.database,
                "REDIS_URL": urls.redis,
                "DATA_DIR": str(data_dir),
                "CHROMIUM": chromium,
            }
            # Dozens of processes start in a run: each would compile the same modules again.
            environment.pop("PYTHONDONTWRITEBYTECODE", None)
            code = subprocess.run(
                [sys.executable, "-m", "pytest", "-n", workers, *arguments],
                cwd=ROOT, env=environment, check=False,
            ).returncode  # fmt: skip
    if code or not whole:
        return code
    if low := below_the_floors():
        print(f"bin/test: too little is covered of {', '.join(low)}: "
              "`.venv/bin/coverage report -m --include=FILES` shows the lines", file=sys.stderr)  # fmt: skip
        return 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except servers.ServiceFailed as error:
        sys.exit(f"bin/test: {error}")
