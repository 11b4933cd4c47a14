"""The state of one feed: its watcher moves it, and every change is published."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from positions.sync.feeds import Feed, State


class FeedState:
    """The feed of one account; `tell(feed)` is called for each change, in order."""

    def __init__(self, *, account: int, copy: str, now: datetime, tell: Callable[[Feed], None]) -> None:
        self._tell = tell
        self._unwritten = ""
        self._polled = ""
        self._beneath = (State.DOWN, "connecting")
        self.feed = Feed(account=account, state=State.DOWN, since=now, at=now, reason="connecting", copy=copy)

    def move(self, state: State, *, now: datetime, reason: str = "", progress: Any = None) -> None:
        """Go to a state. While the book cannot be written it stays DOWN, and says that."""
        reason = reason or self._polled
        self._beneath = (state, reason)
        if self._unwritten:
            state, reason, progress = State.DOWN, self._unwritten, None
        before = self.feed
        if (before.state, before.reason, before.progress) == (state, reason, progress):
            return
        self.feed = replace(
            before,
            state=state,
            reason=reason,
            progress=progress,
            since=before.since if before.state is state else now,
            at=now,
        )
        self._tell(self.feed)

    def read_again(self, progress: Any, *, now: datetime) -> None:
        """Show the progress of a requested backfill (None: it is over); the state stays."""
        self.feed = replace(self.feed, progress=progress, at=now)
        self._tell(self.feed)

    def unwritten(self, reason: str, *, now: datetime) -> None:
        """Note why the book cannot be written ("": it can again)."""
        self._unwritten = reason
        state, why = self._beneath
        self.move(state, now=now, reason=why)

    def heard(self, *, now: datetime) -> None:
        """Note that something came from the venue."""
        self.feed = replace(self.feed, last_event=now)

    def polled(self, *, reason: str = "") -> None:
        """Note that the venue streams nothing of this account. `reason` says why, where it streams others."""
        self._polled = reason
        self.feed = replace(self.feed, streams=False)

    def as_of(self, now: datetime) -> Feed:
        """Return the feed as its watcher knows it now."""
        return replace(self.feed, at=now)
