"""Eight processes book the same facts at once; some are killed, Postgres crashes: the book is the fold.

`LEDGER_KILL_FILLS=5000 LEDGER_KILL_KEYS=50` runs it at full size.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import psycopg
import pytest

from config import servers
from config.embedded import Services

ROOT = Path(__file__).parents[3]
FILLS = int(os.environ.get("LEDGER_KILL_FILLS", "600"))
KEYS = int(os.environ.get("LEDGER_KILL_KEYS", "12"))
WRITERS = 8
SECONDS = 120  # for one step on a machine that is slow and busy; nobody waits longer than it must


class World:
    """Services of their own, and processes on them."""

    def __init__(self, folder: Path) -> None:
        self.services = Services(folder, durable=True)
        urls = self.services.acquire()
        self.environment = os.environ | {
            "DATABASE_URL": urls.database,
            "REDIS_URL": urls.redis,
            "DATA_DIR": str(folder),
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "LOG_LEVEL": "ERROR",
        }

    def start(self, *arguments: object) -> subprocess.Popen:
        command = [sys.executable, "-m", "tests.positions.ledger.ledger_process", *map(str, arguments)]
        return subprocess.Popen(
            command, cwd=ROOT, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, *arguments: object) -> str:
        out, errors = (process := self.start(*arguments)).communicate(timeout=SECONDS)
        assert process.returncode == 0, errors[-3000:]
        return out

    def booked(self) -> int:
        with psycopg.connect(self.environment["DATABASE_URL"]) as connection:
            row = connection.execute("SELECT count(*) FROM positions_entry").fetchone()
        return row[0]

    def wait_until_booked(self, wanted: int, *, by: Iterable[subprocess.Popen]) -> None:
        enough = min(wanted, FILLS * 3 // 4)
        deadline = time.monotonic() + SECONDS
        while (booked := self.booked()) < enough:
            failed = [writer.communicate(timeout=SECONDS)[1] for writer in by if writer.poll()]
            assert not failed, failed[0][-3000:]
            assert time.monotonic() < deadline, f"{booked} of {enough} facts after {SECONDS} s"
            time.sleep(0.1)

    def crash_postgres(self) -> None:
        """kill -9 of the postmaster, and a start that recovers."""
        running = self.services.postgres.running()
        assert running is not None
        port = self.services.postgres.port()
        running.send_signal(signal.SIGKILL)
        running.wait(SECONDS)
        deadline = time.monotonic() + SECONDS
        while True:
            # What the dead postmaster's children still hold keeps a new one from starting for a moment.
            try:
                self.services.postgres.start(port)
                return
            except servers.ServiceFailed:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)

    def crash_valkey(self) -> None:
        running = self.services.valkey.running()
        assert running is not None
        port = self.services.valkey.port()
        running.kill()
        running.wait(SECONDS)
        self.services.valkey.start(port)


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.services.release()


@pytest.mark.processes
class TestEightWriters:
    def test_killed_and_without_postgres_for_a_while_leave_the_book_of_the_facts(self, world):
        world.run("setup", KEYS)
        draw = random.Random(5)
        writers = {n: world.start("write", FILLS, KEYS, n, WRITERS) for n in range(WRITERS)}
        world.wait_until_booked(FILLS // 5, by=writers.values())
        for victim in draw.sample(range(WRITERS), 3):
            writers[victim].kill()
            writers[victim].communicate(timeout=SECONDS)
            writers[victim] = world.start("write", FILLS, KEYS, victim, WRITERS)
            world.wait_until_booked(world.booked() + FILLS // 20, by=writers.values())
        world.crash_postgres()
        for process in writers.values():
            _, errors = process.communicate(timeout=SECONDS)
            assert process.returncode == 0, errors[-3000:]
        told = json.loads(world.run("check", FILLS, KEYS).splitlines()[-1])
        assert told["problems"] == []
        assert told["changes"] > 0
        print(f"{told['changes']} changes, {told['repaired']} of them told by the repairer")  # noqa: T201

    def test_restarted_with_everything_else_have_all_positions_back(self, world):
        world.run("setup", KEYS)
        world.run("write", 200, KEYS, 0, 1)
        before = world.run("check", 200, KEYS)
        world.crash_postgres()
        world.crash_valkey()
        after = world.run("check", 200, KEYS)
        assert json.loads(before)["problems"] == json.loads(after)["problems"] == []
        assert json.loads(before)["changes"] == json.loads(after)["changes"]
