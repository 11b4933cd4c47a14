"""What every channel has in common: what it sends, to where, and how it says what came of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Letter:
    """One message, ready to be sent. `unsubscribe_url` is "" where there is no rule to turn off."""

    message_id: str
    address: str
    subject: str
    text: str
    html: str = ""
    in_reply_to: str = ""
    references: tuple[str, ...] = ()
    unsubscribe_url: str = ""
    is_urgent: bool = False


class NotSent(Exception):
    """A message was not accepted. `certain`: the other side has not got it; else it may have."""

    certain = True


class Refused(NotSent):
    """The other side refuses this message or address for good: another try cannot help."""


class TryLater(NotSent):
    """The other side cannot take it now. `whole`: nothing else would get through either."""

    def __init__(self, message: str, *, certain: bool = True, whole: bool = False) -> None:
        super().__init__(message)
        self.certain, self.whole = certain, whole


class Sender(Protocol):
    """An open way to a channel. Use it in a `with` statement: one connection serves a whole batch."""

    def __enter__(self) -> Sender: ...

    def __exit__(self, *_: object) -> None: ...

    def send(self, letter: Letter) -> None:
        """Hand one message over. Raises Refused, TryLater."""
