"""Secrets that must never be printed: remembered when decrypted, replaced wherever text leaves us.

A venue's key travels in headers that ccxt and aiohttp log at DEBUG, and inside exceptions that quote a URL.
Every text of ours (log records, error payloads, tracebacks) passes `scrub`.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterable
from typing import Any

MASK = "[redacted]"
# Shorter values (an empty password, "1") would blank ordinary text.
MIN_LENGTH = 6

_lock = threading.Lock()
_secrets: set[str] = set()
_pattern: re.Pattern[str] | None = None


def remember(secrets: Iterable[str]) -> None:
    """Make `scrub` hide these values from now on, in every form they take in a text.

    A PEM key is hidden line by line too, since logs and repr() break it at newlines.
    """
    global _pattern
    forms: set[str] = set()
    for secret in secrets:
        forms.add(secret)
        forms.add(repr(secret)[1:-1])
        forms.update(secret.splitlines())
        forms.update(secret.split("\\n"))
    fresh = {form for form in forms if len(form) >= MIN_LENGTH and not form.startswith("-----")}
    with _lock:
        if fresh <= _secrets:
            return
        _secrets.update(fresh)
        longest_first = sorted(_secrets, key=len, reverse=True)
        _pattern = re.compile("|".join(re.escape(secret) for secret in longest_first))


def scrub(text: str) -> str:
    """The text with every remembered secret replaced by a mask."""
    pattern = _pattern
    return pattern.sub(MASK, text) if pattern is not None else text


def scrub_value(value: Any) -> Any:
    """Scrub nested plain data; a tuple of any kind comes back plain, other types as they are."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, dict):
        return {scrub_value(key): scrub_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        clean = [scrub_value(item) for item in value]
        return tuple(clean) if isinstance(value, tuple) else clean
    return value


def scrub_chain(error: BaseException) -> None:
    """Hide secrets in an exception and all that led to it: a traceback prints the causes too."""
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        one = pending.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        one.args = tuple(scrub_value(argument) for argument in one.args)
        pending += [one.__cause__, one.__context__]


class ScrubFilter(logging.Filter):
    """Rewrites a log record so that neither its message, arguments nor traceback show a secret."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        clean = scrub(message)
        if clean != message:
            record.msg, record.args = clean, None
        if record.exc_info and record.exc_text is None:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = scrub(record.exc_text)
        return True
