"""Django's e-mail settings out of EMAIL_URL, or out of Django's own names."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

from config import env

SHAPE = "set it like smtp://user:password@mail.example:587, smtps://…:465 or file:///var/mails"
_BACKENDS = "django.core.mail.backends"
_PLAIN_SCHEMES = {"console": "console", "memory": "locmem"}
_TLS = ("starttls", "none")
_OWN_NAMES = (
    "EMAIL_BACKEND", "EMAIL_HOST", "EMAIL_PORT", "EMAIL_HOST_USER", "EMAIL_HOST_PASSWORD", "EMAIL_USE_TLS",
    "EMAIL_USE_SSL",
)  # fmt: skip


def email_settings(*, data_dir: Path) -> dict[str, Any]:
    """Return Django's EMAIL_* settings. Without any variable mails land in a folder under `data_dir`.

    Raises ImproperlyConfigured, never with the password in its message.
    """
    url = env.text("EMAIL_URL") or next(iter(env.lines_of_file("EMAIL_URL_FILE")), "")
    named = [name for name in _OWN_NAMES if env.text(name)]
    if url and named:
        raise ImproperlyConfigured(f"set EMAIL_URL or {', '.join(named)}, not both")
    if url:
        found = parsed(url)
    elif named:
        found = _named()
    else:
        found = {
            "EMAIL_BACKEND": f"{_BACKENDS}.filebased.EmailBackend",
            "EMAIL_FILE_PATH": data_dir / "mails",
        }
    return {"EMAIL_TIMEOUT": env.number("EMAIL_TIMEOUT", 10, minimum=1)} | found


def parsed(url: str) -> dict[str, Any]:
    """Return the settings that an EMAIL_URL states. Raises ImproperlyConfigured.

    smtp:// asks for STARTTLS unless the server is this machine or the URL says ?tls=none; smtps:// speaks
    TLS from the first byte. Neither ever falls back to plain text.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ImproperlyConfigured(f"EMAIL_URL: the port is no number; {SHAPE}") from None
    if parts.scheme in _PLAIN_SCHEMES:
        return {"EMAIL_BACKEND": f"{_BACKENDS}.{_PLAIN_SCHEMES[parts.scheme]}.EmailBackend"}
    if parts.scheme == "file" and parts.path:
        return {
            "EMAIL_BACKEND": f"{_BACKENDS}.filebased.EmailBackend",
            "EMAIL_FILE_PATH": Path(unquote(parts.path)),
        }
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname or parts.path not in ("", "/"):
        raise ImproperlyConfigured(f"EMAIL_URL={env.without_secrets(url)!r}: {SHAPE}")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := sorted(options.keys() - ({"tls"} if parts.scheme == "smtp" else set())):
        raise ImproperlyConfigured(f"EMAIL_URL: {parts.scheme}:// has no option {', '.join(unknown)}")
    tls = options.get("tls", "none" if env.is_here(parts.hostname) else "starttls")
    if tls not in _TLS:
        raise ImproperlyConfigured(f"EMAIL_URL: tls is one of {', '.join(_TLS)}")
    implicit = parts.scheme == "smtps"
    return _smtp(
        host=parts.hostname,
        port=port or (465 if implicit else 587 if tls == "starttls" else 25),
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        starttls=not implicit and tls == "starttls",
        implicit=implicit,
    )


def _named() -> dict[str, Any]:
    """Return the settings under Django's own names; a backend of another package reads its own."""
    backend = env.text("EMAIL_BACKEND", f"{_BACKENDS}.smtp.EmailBackend")
    starttls, implicit = env.flag("EMAIL_USE_TLS"), env.flag("EMAIL_USE_SSL")
    if starttls and implicit:
        raise ImproperlyConfigured("EMAIL_USE_TLS is STARTTLS, EMAIL_USE_SSL is TLS from the start: set one")
    return _smtp(
        host=env.text("EMAIL_HOST", "localhost"),
        port=env.number("EMAIL_PORT", 465 if implicit else 587 if starttls else 25, minimum=1),
        user=env.text("EMAIL_HOST_USER"),
        password=env.text("EMAIL_HOST_PASSWORD"),
        starttls=starttls,
        implicit=implicit,
    ) | {"EMAIL_BACKEND": backend}


def _smtp(
    *, host: str, port: int, user: str, password: str, starttls: bool, implicit: bool
) -> dict[str, Any]:
    return {
        "EMAIL_BACKEND": f"{_BACKENDS}.smtp.EmailBackend",
        "EMAIL_HOST": host,
        "EMAIL_PORT": port,
        "EMAIL_HOST_USER": user,
        "EMAIL_HOST_PASSWORD": password,
        "EMAIL_USE_TLS": starttls,
        "EMAIL_USE_SSL": implicit,
    }
