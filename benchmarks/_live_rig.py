"""The product's processes for benchmarks/live.py: the web server, clients and servers to compare with."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil

UP_WITHIN = 60.0
ANSWER_WITHIN = 150.0
SERVERS = {
    "daphne": ["daphne", "--verbosity", "0", "--ping-timeout", "20",
               "--endpoint", "tcp:{port}:interface=127.0.0.1:backlog=1024"],
    "uvicorn": ["uvicorn", "--port", "{port}", "--host", "127.0.0.1", "--ws", "websockets-sansio",
                "--log-level", "error", "--no-access-log", "--ws-per-message-deflate", "false"],
}  # fmt: skip


class Peer:
    """A process of the benchmark's, spoken to by lines."""

    def __init__(self, module: str, *arguments: object) -> None:
        command = [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def hear(self) -> dict[str, Any]:
        """The next thing it says. Raises RuntimeError if it has ended, or says nothing for too long."""
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], ANSWER_WITHIN)[0]:
            raise RuntimeError(f"{self.process.args!r} says nothing")
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.process.args!r} has ended")
        heard: dict[str, Any] = json.loads(line)
        return heard

    def tell(self, line: str) -> None:
        """Say something."""
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def ask(self, do: str, **given: object) -> dict[str, Any]:
        """Say what to do, and wait for the answer."""
        self.tell(json.dumps({"do": do, **given}))
        return self.hear()

    def end(self) -> None:
        """Stop it."""
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


class Web:
    """One web process of the product, and what it takes."""

    def __init__(self, server: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        self.url = f"ws://127.0.0.1:{port}/api/v1/positions/stream"
        options = [one.format(port=port) for one in SERVERS[server]]
        command = [sys.executable, "-m", *options, "config.asgi:application"]
        self._process = subprocess.Popen(command, env=os.environ)
        self._seen = psutil.Process(self._process.pid)

    def until_up(self) -> None:
        """Wait until it answers. Raises RuntimeError."""
        deadline = time.monotonic() + UP_WITHIN
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"{self.address}/health/live", timeout=2):
                    return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError("the web process did not start")

    @property
    def memory(self) -> int:
        """Bytes that are its own."""
        return int(self._seen.memory_info().rss)

    @property
    def processor(self) -> float:
        """Seconds of processor that it has taken so far."""
        times = self._seen.cpu_times()
        return float(times.user + times.system)

    def end(self) -> None:
        """Stop it."""
        self._process.kill()
        self._process.wait()


@contextmanager
def web(server: str) -> Iterator[Web]:
    """The web process for the length of the block."""
    running = Web(server)
    try:
        running.until_up()
        yield running
    finally:
        running.end()


@contextmanager
def clients(url: str, keys: list[str], count: int, **given: object) -> Iterator[Peer]:
    """So many clients, connected and served."""
    with Peer("_live_clients") as peer:
        peer.served = peer.ask("connect", url=url, keys=keys, count=count, **given)  # type: ignore[attr-defined]
        yield peer
