"""`bin/test`'s last step: services and a browser for pytest, then pytest itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from config import embedded, servers

ROOT = Path(__file__).resolve().parent.parent
COVERAGE_FLOOR = 80


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


def main() -> int:
    """Run pytest with this process's arguments; a whole run (none) also measures coverage."""
    chromium = find_chromium()
    if chromium is None:
        print(
            "bin/test: no Chromium: install one (Debian: apt-get install chromium), or name it in CHROMIUM=",
            file=sys.stderr,
        )
        return 2
    arguments = sys.argv[1:]
    whole = ["--cov", "--cov-report=", f"--cov-fail-under={COVERAGE_FLOOR}"]
    with tempfile.TemporaryDirectory(prefix="plumbline-test-") as scratch:
        data_dir = Path(scratch) / "data"
        with embedded.running(data_dir, durable=False) as urls:
            environment = os.environ | {
                "DATABASE_URL": urls.database,
                "REDIS_URL": urls.redis,
                "DATA_DIR": str(data_dir),
                "CHROMIUM": chromium,
            }
            return subprocess.run(
                [sys.executable, "-m", "pytest", "-n", "auto", *(arguments or whole)],
                cwd=ROOT, env=environment, check=False,
            ).returncode  # fmt: skip


if __name__ == "__main__":
    try:
        sys.exit(main())
    except servers.ServiceFailed as error:
        sys.exit(f"bin/test: {error}")
