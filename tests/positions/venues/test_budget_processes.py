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

from positions.sync.redis_ports import RedisBudget, clients

ROOT = Path(__file__).parents[3]
PROCESSES = 10
# So slow that a late wake-up on a busy machine wastes little: all ten owe 0.4 s.
BURST, PER_SECOND = 10, 25
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


@pytest.mark.processes
def test_ten_processes_share_one_budget() -> None:
    run = Run()

    # Whoever may go is noted a moment later: at most one of each process is between the two.
    assert run.most_above(PER_SECOND) <= BURST + PROCESSES, f"over the limit: {run}"
    assert len(run.all) >= 0.7 * (BURST + PER_SECOND * run.seconds), f"left unused: {run}"

    after = [at for at in run.all if at > run.killed_at]
    used = len(after) / (after[-1] - after[0]) / PER_SECOND
    assert used >= 0.7, f"{used:.0%} used once one was killed: {run}"

    survivors = run.each[1:]
    assert min(survivors) >= 0.3 * sum(survivors) / len(survivors), f"somebody starved: {run}"

    assert run.waits_afterwards == [], "what the dead owed is forgotten, and the budget full again"
