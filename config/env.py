"""Three small readers of the environment that fail loudly, and the secrets that are generated once."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import psycopg
from django.core.exceptions import ImproperlyConfigured
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Conninfo


def text(name: str, default: str = "", *, choices: tuple[str, ...] = ()) -> str:
    """Return an environment variable, stripped. `choices` are its only values; empty means unset."""
    value = os.environ.get(name, "").strip() or default
    if choices and value not in choices:
        raise ImproperlyConfigured(f"{name}={value!r}: set it to one of {', '.join(choices)}")
    return value


def words(name: str, default: str = "") -> list[str]:
    """Return a comma-separated environment variable as a list."""
    return [word.strip() for word in text(name, default).split(",") if word.strip()]


def flag(name: str, default: bool = False) -> bool:
    """Return an on/off environment variable."""
    return text(name, "on" if default else "off", choices=("on", "off")) == "on"


def number(name: str, default: int, *, minimum: int = 0) -> int:
    """Return a whole number from the environment, at least `minimum`."""
    value = text(name, str(default))
    if not value.isascii() or not value.isdigit() or int(value) < minimum:
        raise ImproperlyConfigured(f"{name}={value!r}: set it to a whole number of at least {minimum}")
    return int(value)


def database(url: str) -> dict[str, Any]:
    """Turn postgres://user:password@host:port/name?option=value into Django's settings of one database.

    libpq parses the URL, as it does for psql; OPTIONS has each of its options.
    Raises ImproperlyConfigured.
    """
    if not url.startswith(("postgres://", "postgresql://")):
        raise _bad_database(url, "set it like postgres://user:password@host:5432/name")
    known = {option.keyword.decode() for option in Conninfo.get_defaults()}
    options = {name for name, _ in parse_qsl(url.partition("?")[2], keep_blank_values=True)}
    if unknown := sorted(options - known - {"ssl"}):  # libpq reads ssl=true as sslmode=require
        raise _bad_database(url, f"PostgreSQL has no option {', '.join(unknown)}")
    try:
        parts: dict[str, Any] = dict(conninfo_to_dict(url))
    except psycopg.ProgrammingError:  # its message may hold the password
        raise _bad_database(url, "set it like postgres://user:password@host:5432/name") from None
    host, port, name = parts.pop("host", ""), parts.pop("port", "5432"), parts.pop("dbname", "")
    if not all(one.isdigit() and 0 < int(one) < 65536 for one in str(port).split(",")):
        raise _bad_database(url, "the port is no number")
    if not (host and name):
        raise _bad_database(url, "set it like postgres://user:password@host:5432/name")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": parts.pop("user", ""),
        "PASSWORD": parts.pop("password", ""),
        "HOST": host,
        "PORT": port,
        "OPTIONS": parts,
    }


def _bad_database(url: str, problem: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"DATABASE_URL={_without_secrets(url)!r}: {problem}")


def redis(url: str) -> str:
    """Return a Redis URL unchanged if it is one."""
    try:
        known = urlsplit(url).scheme in ("redis", "rediss", "unix") and urlsplit(url).port != 0
    except ValueError:
        known = False
    if not known:
        raise ImproperlyConfigured(
            f"REDIS_URL={_without_secrets(url)!r}: set it like redis://:password@host:6379/0"
        )
    return url


def _without_secrets(url: str) -> str:
    """Return the URL without its password, which may also be an option."""
    base, mark, options = url.partition("?")
    scheme, separator, rest = base.partition("://")
    shown = f"{scheme}://…@{rest.rpartition('@')[2]}" if "@" in rest else f"{scheme}{separator}{rest}"
    return shown + (f"{mark}…" if options else "")


def writable_folder(name: str, folder: Path) -> None:
    """Make a folder that a variable names. Raises ImproperlyConfigured where it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImproperlyConfigured(f"{name}={str(folder)!r} cannot be used: {error.strerror}") from error


def services(data_dir: Path) -> dict[str, str]:
    """Return the URLs of the embedded services that run under `data_dir`; empty when none run."""
    try:
        found = json.loads((data_dir / "services.json").read_text())
    except (FileNotFoundError, PermissionError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def generated(data_dir: Path) -> dict[str, str]:
    """Return the secrets kept in the data directory, generating them on first use.

    Raises ImproperlyConfigured when the file is damaged: encrypted credentials depend on it.
    """
    from cryptography.fernet import Fernet

    writable_folder("DATA_DIR", data_dir)
    path = data_dir / "secrets.json"
    with (data_dir / "secrets.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            made = {
                "secret_key": secrets.token_urlsafe(50),
                "credentials_key": Fernet.generate_key().decode(),
            }
            new = path.with_suffix(".new")
            new.touch(mode=0o600)
            new.write_text(json.dumps(made))
            new.replace(path)
        try:
            known = json.loads(path.read_text())
            return {"secret_key": known["secret_key"], "credentials_key": known["credentials_key"]}
        except (ValueError, KeyError, TypeError) as error:
            raise ImproperlyConfigured(
                f"{path} is damaged: restore it from a backup (venue credentials are encrypted with it), "
                "or start afresh with bin/demo --reset"
            ) from error
