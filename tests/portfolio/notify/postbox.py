"""A real SMTP server on a socket, with faults on a switch, and what arrived there."""

from __future__ import annotations

import asyncio
import email
import email.policy
import threading
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP


@dataclass
class Postbox:
    """Accepts mail. `refuses` answers RCPT of an address; `answers` are taken by DATA, one a mail ("drop"
    accepts the mail and closes the connection without an answer); `slow` is how long DATA takes.
    """

    refuses: dict[str, str] = field(default_factory=dict)
    answers: list[str] = field(default_factory=list)
    slow: float = 0
    got: list[tuple[list[str], EmailMessage]] = field(default_factory=list)
    connections: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    async def handle_EHLO(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        self.connections += 1
        session.host_name = hostname
        return responses

    async def handle_RCPT(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if address in self.refuses:
            return self.refuses[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        if self.slow:
            await asyncio.sleep(self.slow)
        answer = self.answers.pop(0) if self.answers else "250 accepted"
        if answer.startswith(("250", "drop")):
            message = email.message_from_bytes(envelope.content, policy=email.policy.default)
            with self.lock:
                self.got.append((list(envelope.rcpt_tos), message))
        if answer == "drop":
            server.transport.close()
        return answer

    @property
    def mails(self) -> list[EmailMessage]:
        with self.lock:
            return [message for _, message in self.got]

    @property
    def subjects(self) -> list[str]:
        return [header(message, "Subject") for message in self.mails]


class Server(Controller):
    """The server of a postbox; `limits` are options of aiosmtpd's SMTP."""

    def __init__(self, postbox: Postbox, **limits: Any) -> None:
        self.limits = limits
        super().__init__(postbox, hostname="127.0.0.1", port=0)

    def factory(self) -> SMTP:
        return SMTP(self.handler, enable_SMTPUTF8=True, **self.limits)

    def _trigger_server(self) -> None:
        """Take the port that the system picked, before the server is asked whether it answers."""
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


def header(message: EmailMessage, name: str) -> str:
    """Return a header as programs show it: a folded one begins with the space of its second line."""
    return str(message[name] or "").strip()


def text_of(message: EmailMessage) -> str:
    return message.get_body(("plain",)).get_content()


def html_of(message: EmailMessage) -> str:
    return message.get_body(("html",)).get_content()
