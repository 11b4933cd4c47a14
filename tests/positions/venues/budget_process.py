"""Spenders of one budget: `python -m tests.positions.venues.budget_process COUNT URL CAPACITY RATE`.

Forks COUNT processes; each says "PID ready", waits for a line on standard input, then spends one token after
another and says "PID TIME" of each. The end of standard input ends them all.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time

from django.conf import settings

from positions.sync.redis_ports import RedisBudget


def say(what: object) -> None:
    """One line, at once: short enough for a pipe never to mix two."""
    os.write(1, f"{os.getpid()} {what}\n".encode())


async def spend(capacity: float, per_second: float, *, begin: int) -> None:
    """Until somebody ends this process; starts when `begin` (a pipe) is closed."""
    budget = RedisBudget()
    # The connection is made before the start, or the slowest to start would be behind.
    await budget.spend("warm-up", 0, capacity=1, per_second=1)
    say("ready")
    os.read(begin, 1)
    while True:
        await budget.spend("venue", 1, capacity=capacity, per_second=per_second)
        say(time.time())


def main() -> None:
    count, url, capacity, rate = sys.argv[1:]
    settings.configure(REDIS_URL=url)
    begin, start = os.pipe()
    children = []
    for _ in range(int(count)):
        child = os.fork()
        if not child:
            os.close(start)
            asyncio.run(spend(float(capacity), float(rate), begin=begin))
        children.append(child)
    sys.stdin.readline()
    os.close(start)
    sys.stdin.read()
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
