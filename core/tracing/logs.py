"""Logs: structlog and the standard library through one pipe; JSON lines, or readable in a terminal.

Every line carries the trace id bound in `core.tracing.trace`. The logger `audit` (who did what) also writes
JSON lines to LOG_DIR/audit.jsonl when that is set.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

_SECRET_NAMES = re.compile(
    r"password|passphrase|secret|private[-_]?key|api[-_]?key|token|authorization|credential|cookie|ticket"
    r"|session[-_]?(?:id|key|data)|signature[-_]?key",
    re.I,
)
REDACTED = "[redacted]"

# What a secret looks like wherever it stands: in a header, a cookie, a URL, a traceback.
_FORMS = (
    (re.compile(r"\b(pl[0-9a-f]{12}\.)[\w-]{8,}"), rf"\1{REDACTED}"),  # our API keys
    (re.compile(r"\b(ticket\.)[\w-]{8,}"), rf"\1{REDACTED}"),
    (
        re.compile(r"([a-z][a-z0-9+.-]{0,30}://)[^/\s\"'@]*@", re.I),
        rf"\1{REDACTED}@",
    ),  # name and password in a URL
    (re.compile(r"\b(sessionid|csrftoken)=[^;,\s\"'\\]+"), rf"\1={REDACTED}"),
    (re.compile(r"\b(Bearer|Basic) [\w.~+/=-]{8,}", re.I), rf"\1 {REDACTED}"),
    (
        re.compile(
            r"([?&](?:api_?key|key|token|ticket|secret|signature|password|passphrase|sig)=)[^&\s\"'\\]+", re.I
        ),
        rf"\1{REDACTED}",
    ),
    (
        re.compile(
            r"((?:x-api-key|authorization|set-cookie|cookie|x-csrftoken)[\"'\\]*\s*[:=,]\s*b?[\"'\\]*)"
            r"[^\s,;\"'\\\[]+",
            re.I,
        ),
        rf"\1{REDACTED}",
    ),
)


def scrub_forms(text: str) -> str:
    """Return the text without whatever has the form of a secret."""
    for form, replaced in _FORMS:
        text = form.sub(replaced, text)
    return text


def redact(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Replace the values of fields with a secret's name, at any depth."""
    return {name: _clean(name, value) for name, value in event.items()}


def _clean(name: str, value: Any) -> Any:
    if _SECRET_NAMES.search(name):
        return REDACTED
    if isinstance(value, dict):
        return {key: _clean(str(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean("", item) for item in value]
    return value


_shared: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    redact,
]


def logging_config(
    *, log_format: str, level: str, directory: str, scrub: Callable[[str], str]
) -> dict[str, Any]:
    """Configure structlog and return the standard library's dictConfig.

    `scrub` hides secrets known by value in each finished line: a traceback may quote what no name reveals.
    """
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.processors.StackInfoRenderer(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handlers: dict[str, Any] = {"stderr": {"class": "logging.StreamHandler", "formatter": log_format}}
    audit_handlers = ["stderr"]
    if directory:
        handlers["audit"] = {
            "class": "logging.handlers.WatchedFileHandler",
            "filename": str(Path(directory) / "audit.jsonl"),
            "formatter": "json",
            "delay": True,
        }
        audit_handlers.append("audit")
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": _formatter(
                structlog.processors.format_exc_info, structlog.processors.JSONRenderer(), scrub=scrub
            ),
            "console": _formatter(_console, scrub=scrub),
        },
        "handlers": handlers,
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "audit": {"handlers": audit_handlers, "level": "INFO", "propagate": False},
            # One line a request is ours (core.tracing.trace); the servers' own would repeat it.
            "django.channels.server": {"level": "WARNING"},
            "daphne": {"level": "WARNING"},
            "celery": {"level": "WARNING"},
            "axes": {"level": "WARNING"},
            "ccxt": {"level": "WARNING"},
        },
    }


# A plain traceback: the rich one prints local variables, credentials among them.
_console = structlog.dev.ConsoleRenderer(
    colors=False, pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
)


def _formatter(*renderers: Any, scrub: Callable[[str], str]) -> dict[str, Any]:
    def scrubbed(_: WrappedLogger, __: str, line: Any) -> str:
        return scrub_forms(scrub(str(line)))

    return {
        "()": structlog.stdlib.ProcessorFormatter,
        "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers, scrubbed],
        "foreign_pre_chain": _shared,
    }
