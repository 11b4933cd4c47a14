"""What makes mails one thread: ids, subjects, References. Pure.

Gmail shows mails as one conversation when References overlap *and* the subject is the same but for "Re: ";
Outlook and Thunderbird go by References and In-Reply-To. So the subject of a thread never changes, and the
new state is the first line of the text.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MAX_SUBJECT = 150
"""Characters of a thread's subject: longer ones are cut by most programs, and by each at another place."""
MAX_REFERENCES = 25
"""Ids in References: the root and the newest. RFC 5322 allows any number, relays do not."""
REPLY = "Re: "
_UNPRINTABLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_BRACKETS = str.maketrans("[]", "()")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a mail stands: its own id, the root of its thread, and what came before it there."""

    message_id: str
    root: str
    thread_subject: str
    earlier: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        return f"{REPLY}{self.thread_subject}" if self.earlier else self.thread_subject

    @property
    def in_reply_to(self) -> str:
        """Return the id of the mail before it; "" for the first one."""
        return self.earlier[-1] if self.earlier else ""

    @property
    def references(self) -> tuple[str, ...]:
        """Return the root and all earlier ids, each once, the oldest first; none but the root are dropped."""
        known = [one for one in dict.fromkeys(self.earlier) if one not in (self.root, self.message_id)]
        root = () if self.root == self.message_id else (self.root,)
        return (*root, *known[-(MAX_REFERENCES - 1) :])


def delivery_id(*, alert: int, transition: int, recipient: int, rule: int | None, domain: str) -> str:
    """Return the Message-ID of one transition for one recipient; `rule` tells a messenger's rules apart."""
    by_rule = "" if rule is None else f".s{rule}"
    return _id(f"a{alert}.t{transition}.r{recipient}{by_rule}", domain)


def root_id(*, alert: int, domain: str) -> str:
    """Return the id that every mail about an alert refers to. No mail has it: the thread has no first one
    that all recipients share.
    """
    return _id(f"alert.{alert}", domain)


def storm_id(message_ids: Iterable[str], *, domain: str) -> str:
    """Return the id of the mail that carries several deliveries: the same for the same ones."""
    digest = hashlib.sha256("\n".join(sorted(message_ids)).encode()).hexdigest()[:24]
    return _id(f"storm.{digest}", domain)


def digest_id(*, day: str, recipient: int, domain: str) -> str:
    """Return the id of a person's digest of one day."""
    return _id(f"digest.{day}.r{recipient}", domain)


def test_id(*, nonce: str, recipient: int, domain: str) -> str:
    """Return the id of a test that somebody asked for."""
    return _id(f"test.{nonce}.r{recipient}", domain)


def domain_of(address: str, *, otherwise: str) -> str:
    """Return the domain of an e-mail address, in ASCII; `otherwise` where an id may not carry it."""
    domain = address.partition("@")[2].strip(" >").lower()
    try:
        written = domain.encode("idna").decode("ascii")
    except UnicodeError:
        return otherwise
    return written if re.fullmatch(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?", written) else otherwise


def one_line(text: str, *, longest: int = MAX_SUBJECT) -> str:
    """Return text as one line of printable characters, cut with an ellipsis.

    Symbols and labels come from venues and people: a line break in them would begin a header of its own, and
    a mark of direction would turn the rest of the line around.
    """
    shown = "".join(" " if unicodedata.category(one) in _UNPRINTABLE else one for one in text)
    line = " ".join(shown.split())
    return line if len(line) <= longest else f"{line[: longest - 1].rstrip()}…"


def subject_line(title: str) -> str:
    """Return an alert's title as a subject: one line, no brackets (Gmail drops what is in front of them)."""
    line = one_line(title).translate(_BRACKETS)
    while line[:3].lower() == "re:":
        line = line[3:].lstrip()
    return line or "Alert"


def storm_subject(titles: Sequence[str]) -> str:
    """Return the subject of a mail that lists several alerts: their number, and the worst one's title."""
    more = len(titles) - 1
    tail = f" · and {more} more"
    return f"{one_line(subject_line(titles[0]), longest=MAX_SUBJECT - len(tail))}{tail}"


def _id(local: str, domain: str) -> str:
    return f"<{local}@{domain}>"
