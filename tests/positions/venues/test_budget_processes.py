"""Ten real processes behind one address, one of them killed in its sleep: one budget, in a real Valkey."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from django.conf import settings

from positions.venue_ports import RedisBudget, clients

ROOT = Path(__file__).parents[3]
PROCESSES = 10
BURST, PER_SECOND = 20, 50
RUN_SECONDS = 3.0
# Only so that a failure ends.
PATIENCE = 60


class Run:
    """What ten processes spent in a few seconds; the first was killed halfway."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.positions.venues.budget_process", str(PROCESSES)]
        spenders = subprocess.Popen(
            [*command, settings.REDIS_URL, str(BURST), str(PER_SECOND)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        # Only so that a failure ends: all of them hang on this process's life.
        limit = threading.Timer(PATIENCE, spenders.kill)
        limit.start()
        try:
            self._watch(spenders)
        finally:
            limit.cancel()
            spenders.kill()
        # The debts of the dead, one token each at most, then a whole burst.
        time.sleep((PROCESSES + BURST) / PER_SECOND)
        self.waits_afterwards = asyncio.run(waits_for(BURST))

    def _watch(self, spenders: subprocess.Popen[str]) -> None:
        assert spenders.stdin is not None
        assert spenders.stdout is not None
        pids = [spenders.stdout.readline().removesuffix(" ready\n") for _ in range(PROCESSES)]
        assert all(pids), f"not all were ready within {PATIENCE} s: {pids}"
        spenders.stdin.write("go\n")
        spenders.stdin.flush()
        time.sleep(RUN_SECONDS / 2)
        os.kill(int(pids[0]), signal.SIGKILL)
        self.killed_at = time.time()
        time.sleep(RUN_SECONDS / 2)
        out, _ = spenders.communicate(timeout=PATIENCE)
        spent = [line.split() for line in out.splitlines()]
        self.each = [sum(pid == one for one, _ in spent) for pid in pids]
        self.all = sorted(float(at) for _, at in spent)
        self.seconds = self.all[-1] - self.all[0]

    def __str__(self) -> str:
        return f"{len(self.all)} spent in {self.seconds:.2f} s, by process {self.each}"

    def most_above(self, per_second: float) -> float:
        """By how much the busiest stretch of time, whichever, was above `per_second`."""
        least = most = 0.0
        for count, at in enumerate(self.all):
            level = count - per_second * at
            least = level if count == 0 else min(least, level)
            most = max(most, level - least + 1)
        return most


async def waits_for(tokens: int) -> list[float]:
    """How long who wants so many tokens now has to wait, if at all."""
    waits: list[float] = []

    async def note(seconds: float) -> None:
        waits.append(seconds)

    await RedisBudget(sleep=note).spend("venue", tokens, capacity=BURST, per_second=PER_SECOND)
    await clients.close()
    return waits


@pytest.fixture(scope="module")
def run() -> Run:
    return Run()


@pytest.mark.processes
class TestTenProcesses:
    def test_together_stay_under_the_limit(self, run: Run) -> None:
        # Whoever may go is noted a moment later: at most one of each process is between the two.
        assert run.most_above(PER_SECOND) <= BURST + PROCESSES, run

    def test_use_what_there_is(self, run: Run) -> None:
        assert len(run.all) >= 0.7 * (BURST + PER_SECOND * run.seconds), run

    def test_go_on_with_the_whole_budget_when_one_is_killed(self, run: Run) -> None:
        after = [at for at in run.all if at > run.killed_at]
        assert len(after) >= 0.7 * PER_SECOND * (after[-1] - after[0]), run

    def test_each_get_their_share(self, run: Run) -> None:
        survivors = run.each[1:]
        assert min(survivors) >= 0.3 * sum(survivors) / len(survivors), run

    def test_leave_a_budget_that_fills_again(self, run: Run) -> None:
        assert run.waits_afterwards == []
