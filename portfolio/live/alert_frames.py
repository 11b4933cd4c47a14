"""The alerts that sockets were sent: a repeat is sent to nobody, and who connects gets what is open."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from portfolio.live import frames
from portfolio.live.sockets import SocketFilter

OF_NO_ACCOUNT = frozenset({"component_down", "test"})
"""Kinds that concern everybody who may read. Others without an account are about all of them together."""
MOST_CLEARED = 500
HEARD_WITHIN = 35.0
"""Seconds: what is open is published every ten."""


class _Sent(NamedTuple):
    account: int | None
    alert: dict[str, Any]
    frame: bytes
    heard_at: float


def may_see_alert(wanted: SocketFilter, account: int | None, alert: dict[str, Any]) -> bool:
    """Return whether a socket is sent an alert."""
    if account is not None:
        return wanted.includes(account)
    return wanted.accounts is None or alert["kind"] in OF_NO_ACCOUNT


class AlertFrames:
    """The alerts of one hub, by id, as they were last sent."""

    def __init__(self) -> None:
        self._sent: dict[int, _Sent] = {}

    def take(self, account: int | None, alert: dict[str, Any]) -> bytes | None:
        """Keep an alert and return its frame; None where nothing changed but the time it was looked at."""
        known = self._sent.pop(alert["id"], None)
        if known is not None and _essence(known.alert) == _essence(alert):
            self._sent[alert["id"]] = known._replace(heard_at=time.monotonic())
            return None
        frame = frames.frame("alert", alert=alert)
        self._sent[alert["id"]] = _Sent(account, alert, frame, time.monotonic())
        cleared = [key for key, one in self._sent.items() if one.alert["cleared_at"]]
        for key in cleared[: max(0, len(cleared) - MOST_CLEARED)]:
            del self._sent[key]
        return frame

    def open_for(self, wanted: SocketFilter) -> Iterator[bytes]:
        """Yield the frames of open alerts that a socket may see; of one not heard of lately nobody knows."""
        since = time.monotonic() - HEARD_WITHIN
        for one in self._sent.values():
            is_open = not one.alert["cleared_at"] and one.heard_at >= since
            if is_open and may_see_alert(wanted, one.account, one.alert):
                yield one.frame


def _essence(alert: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in alert.items() if name != "at"}
