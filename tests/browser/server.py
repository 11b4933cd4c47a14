"""The product's own web process (Daphne, sockets included) on the tests' database and Redis."""

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def database_url(settings: dict) -> str:
    """The address of a database given as Django's settings of it."""
    return (
        f"postgres://{quote(settings['USER'])}:{quote(settings['PASSWORD'])}"
        f"@{settings['HOST']}:{settings['PORT']}/{settings['NAME']}"
    )


@contextlib.contextmanager
def running(*, database: str, redis: str, log: Path, port: int | None = None) -> Iterator[str]:
    """Run the web process, on a free port unless one is named; yields its URL, and ends it afterwards."""
    port = port or free_port()
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "DATABASE_URL": database,
        "REDIS_URL": redis,
        "LOGIN_FAILURE_LIMIT": "5",
        "LOG_LEVEL": "WARNING",
    }
    environment.pop("DJANGO_ALLOW_ASYNC_UNSAFE", None)
    command = [sys.executable, "-m", "daphne", "--bind", "127.0.0.1", "--port", str(port), "--verbosity", "0"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "config.asgi:application"],
            cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            _wait(f"http://127.0.0.1:{port}/health/live", process, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)


def _wait(url: str, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2):
            return
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise RuntimeError(f"the web process did not start:\n{log.read_text(errors='replace')[-2000:]}")
