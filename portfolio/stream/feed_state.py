"""How one feed stands, moved by its watcher and told on every change."""

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
        """A feed is read again because somebody asked for it (None: no longer); the state stays."""
        self.feed = replace(self.feed, progress=progress, at=now)
        self._tell(self.feed)

    def unwritten(self, reason: str, *, now: datetime) -> None:
        """The book cannot be written ("": it can again)."""
        self._unwritten = reason
        state, why = self._beneath
        self.move(state, now=now, reason=why)

    def heard(self, *, now: datetime) -> None:
        """Something came from the venue."""
        self.feed = replace(self.feed, last_event=now)

    def polled(self, *, reason: str = "") -> None:
        """The venue streams nothing of the account; `reason`, where it would of others, stays."""
        self._polled = reason
        self.feed = replace(self.feed, streams=False)

    def as_of(self, now: datetime) -> Feed:
        """The feed as its watcher knows it now."""
        return replace(self.feed, at=now)
