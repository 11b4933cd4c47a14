"""Two traders whose accounts are watched, and what must be true once they rest."""

import contextlib
import sys
import threading
import time

from tests.portfolio.faults.rig import LONG, until


def say(text):
    """Figures for whoever runs with -s."""
    sys.stdout.write(f"{text}\n")


def best_of_three(attempt, *, limit):
    """A time that is promised, on a machine that others use too: one of three attempts must keep it.

    `attempt()` returns seconds; what it asserts must be true each time.
    """
    times = []
    for _ in range(3):
        times.append(attempt())
        if times[-1] < limit:
            return times[-1]
    raise AssertionError(f"promised within {limit} s, took {times}")


class Trading:
    """Two traders, watched and live; `check(fault)` proves book and browsers once trading has stopped."""

    def __init__(self, rig, venue, watching):
        self.rig, self.venue, self.watching = rig, venue, watching
        self.users = venue.users()
        self.accounts = [rig.account(venue, user, f"trader {n}") for n, user in enumerate(self.users)]

    def until_live(self):
        took = until(lambda: self.rig.is_live(*self.accounts), LONG, why=self.differences)
        self.rig.forget_budgets()
        return took

    def until_shared(self):
        until(
            lambda: len({self.rig.feed(one)["copy"] for one in self.accounts}) == 2,
            LONG,
            why=self.differences,
        )
        self.until_live()

    def burst(self, seconds):
        """About 40 fills a second for a while, in the background; returns the thread."""

        def trade():
            end = time.monotonic() + seconds
            turn = 0
            while time.monotonic() < end:
                for user in self.users:
                    with contextlib.suppress(OSError):
                        self.venue.trade(user, "0.05", side="sell" if turn % 3 == 2 else "buy")
                turn += 1
                time.sleep(0.04)

        thread = threading.Thread(target=trade, daemon=True)
        thread.start()
        return thread

    def over(self, burst):
        """Wait for a burst to end."""
        burst.join(LONG)
        assert not burst.is_alive(), "the venue takes no more orders"

    def check(self, fault):
        """Stop trading: the book must become the truth, and browsers show it. Prints the times."""
        self.venue.pause()
        began = time.monotonic()
        until(self.agree, LONG, why=self.differences)
        took = time.monotonic() - began
        fills = sum(self.rig.fills(account) for account in self.accounts)
        assert fills > 0
        until(lambda: not self.watching.differences(self.accounts), LONG, why=self.told)
        shown = time.monotonic() - began
        assert self.watching.backwards() == []
        say(f"{fault}: book = truth {took:.2f} s, browsers right {shown:.2f} s after trading, {fills} fills")
        return took

    def agree(self):
        return all(
            self.rig.agrees(self.venue, user, account)
            for user, account in zip(self.users, self.accounts, strict=True)
        )

    def differences(self):
        told = [
            (self.rig.feed(account), self.rig.differences(self.venue, user, account))
            for user, account in zip(self.users, self.accounts, strict=True)
        ]
        return f"{told}\n{self.rig.log.read_text()[-4000:]}"

    def told(self):
        return f"{self.watching.differences(self.accounts)}\n{self.rig.web_log.read_text()[-3000:]}"
