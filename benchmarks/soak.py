"""The whole demo for minutes, browsers on it: memory and processor time of each process, before and after.

    .venv/bin/python -m benchmarks.soak --minutes 10
    bin/bench soak            (SOAK_MINUTES, default 10)

Every process of the Procfile runs as in bin/demo, on data of its own; 20 browsers listen, half of them in the
compact format, and never reconnect. "Before" is after a minute of warming up.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from websockets.asyncio.client import connect

from config import servers

ROOT = Path(__file__).resolve().parent.parent
BROWSERS = 20
WARM_UP = 60.0
GROWTH = 1.1  # of what a process has after warming up
NAMES = {
    "web": r"daphne", "worker": r"celery .*worker|celeryd|ForkPoolWorker", "beat": r"celery .*beat",
    "stream": r"manage\.py stream", "postgres": r"postgres", "valkey": r"valkey",
    "simulators": r"-m simulator",
}  # fmt: skip
OURS = ("web", "worker", "beat", "stream")


def run(report: Callable[..., None]) -> None:
    """The growth of each of our processes over SOAK_MINUTES, and whether every browser heard to the end."""
    before, after, browsers = soak(minutes=float(os.environ.get("SOAK_MINUTES", "10")))
    for name in OURS:
        floor = before[name].rss / 1e6
        report(f"memory of {name}, after", after[name].rss / 1e6, "MB", GROWTH * floor, "lower", floor)
    report("browsers that were cut off", browsers.cut, "browsers", 0, "lower", None)


@dataclass(slots=True)
class Use:
    """Of all processes of one kind together: resident bytes, seconds of processor time, how many."""

    rss: int = 0
    cpu: float = 0.0
    count: int = 0


@dataclass(slots=True)
class Browsers:
    """What the browsers heard."""

    frames: int = 0
    cut: int = 0
    last: dict[int, float] = field(default_factory=dict)

    async def listen(self, number: int, url: str, key: str) -> None:
        """One browser, until cancelled."""
        form = "compact" if number % 2 else "named"
        try:
            async with connect(
                f"{url}?format={form}", additional_headers={"X-API-Key": key}, max_size=None
            ) as socket:
                async for _ in socket:
                    self.frames += 1
                    self.last[number] = time.monotonic()
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  counted, and said
            print(f"browser {number}: {type(error).__name__}: {error}", file=sys.stderr)
        self.cut += 1


def soak(*, minutes: float) -> tuple[dict[str, Use], dict[str, Use], Browsers]:
    """Run the demo for so long; use after a minute, use at the end, what the browsers heard."""
    with tempfile.TemporaryDirectory(prefix="plumbline-soak-") as scratch:
        port = servers.free_port()
        environment = {**os.environ, "DATA_DIR": scratch, "PORT": str(port), "LOG_FORMAT": "json"}
        for name in ("DATABASE_URL", "REDIS_URL"):
            environment.pop(name, None)
        with (Path(scratch) / "demo.log").open("wb") as log:
            demo = subprocess.Popen(
                [sys.executable, "-m", "config.demo", "--speed", "3"],
                cwd=ROOT, env=environment, stdout=log, stderr=log,
            )  # fmt: skip
        try:
            _await(f"http://127.0.0.1:{port}/health/live", demo, Path(scratch) / "demo.log")
            key = _key(environment)
            url = f"ws://127.0.0.1:{port}/api/v1/positions/stream"
            return asyncio.run(_watch(demo, url, key, minutes))
        finally:
            demo.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                demo.wait(30)
            demo.kill()


async def _watch(
    demo: subprocess.Popen[bytes], url: str, key: str, minutes: float
) -> tuple[dict[str, Use], dict[str, Use], Browsers]:
    browsers = Browsers()
    listening = [asyncio.create_task(browsers.listen(number, url, key)) for number in range(BROWSERS)]
    await asyncio.sleep(WARM_UP)
    before, began, frames = use_of(demo.pid), time.monotonic(), browsers.frames
    _print("after a minute", before, None, 0.0)
    while (left := minutes * 60 - (time.monotonic() - began)) > 0:
        await asyncio.sleep(min(60.0, left))
        if demo.poll() is not None:
            raise SystemExit("the demo ended by itself")
        now = use_of(demo.pid)
        _print(f"{(time.monotonic() - began) / 60:.0f} min", now, before, time.monotonic() - began)
    after, seconds = use_of(demo.pid), time.monotonic() - began
    stale = [number for number in range(BROWSERS) if time.monotonic() - browsers.last.get(number, 0.0) > 10]
    browsers.cut += len(stale)
    for task in listening:
        task.cancel()
    await asyncio.gather(*listening, return_exceptions=True)
    print(f"{BROWSERS} browsers: {(browsers.frames - frames) / seconds:.0f} frames/s, {browsers.cut} cut off")
    return before, after, browsers


def use_of(pid: int) -> dict[str, Use]:
    """Memory and processor time of a demo's processes, by what they are."""
    found = {name: Use() for name in NAMES}
    marked = {process.pid: process for process in psutil.Process(pid).children(recursive=True)}
    folder = _data_dir(pid)
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid in marked or folder in " ".join(process.cmdline()):
                _add(found, process)
    return found


def _add(found: dict[str, Use], process: psutil.Process) -> None:
    if process.parent() is not None and process.name().startswith("postgres: "):
        return
    command = " ".join(process.cmdline())
    name = next((name for name, pattern in NAMES.items() if re.search(pattern, command)), None)
    if name is None:
        return
    one = found[name]
    memory = process.memory_info()
    # The buffers that all of Postgres' processes share would count once for each that has touched them.
    one.rss += memory.rss - (memory.shared if name == "postgres" else 0)
    times = process.cpu_times()
    one.cpu += times.user + times.system
    one.count += 1


def _data_dir(pid: int) -> str:
    return str(psutil.Process(pid).environ()["DATA_DIR"])


def _print(when: str, now: dict[str, Use], before: dict[str, Use] | None, seconds: float) -> None:
    parts = []
    for name, one in now.items():
        text = f"{name} {one.rss / 1e6:.1f} MB"
        if before is not None:
            busy = (one.cpu - before[name].cpu) / seconds
            text += f" ({(one.rss - before[name].rss) / 1e6:+.1f}), {busy:.0%} cpu"
        parts.append(text)
    print(f"{when}: " + " · ".join(parts), flush=True)


def _await(url: str, demo: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and demo.poll() is None:
        with suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(0.5)
    raise SystemExit(f"the demo did not start:\n{log.read_text(errors='replace')[-3000:]}")


def _key(environment: dict[str, str]) -> str:
    urls: dict[str, Any] = json.loads((Path(environment["DATA_DIR"]) / "services.json").read_text())
    made = subprocess.run(
        [sys.executable, "manage.py", "create_api_key", "soak", "--tier", "unlimited", "--owner", "demo"],
        cwd=ROOT, check=True, capture_output=True, text=True,
        env=environment | {"DATABASE_URL": urls["database_url"], "REDIS_URL": urls["redis_url"]},
    )  # fmt: skip
    return made.stdout.strip()


def main() -> None:
    """Soak, and print how memory stands each minute."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    soak(minutes=parser.parse_args().minutes)


if __name__ == "__main__":
    main()
