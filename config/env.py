"""Three small readers of the environment that fail loudly, and the secrets that are generated once."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import ssl
from datetime import datetime, time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

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


def zone(name: str, default: str) -> ZoneInfo:
    """Return a time zone by its IANA name, such as Europe/Zurich."""
    value = text(name, default)
    try:
        return ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ImproperlyConfigured(f"{name}={value!r}: no time zone is called so") from error


def time_of_day(name: str, default: str) -> time:
    """Return a time of day, written as 07:30."""
    value = text(name, default)
    try:
        return datetime.strptime(value, "%H:%M").time()  # noqa: DTZ007 - its zone is another variable
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}={value!r}: write a time of day as 07:30") from error


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
    return ImproperlyConfigured(f"DATABASE_URL={without_secrets(url)!r}: {problem}")


# What a Redis URL may say after its question mark; time-outs and the like are ours.
_REDIS_TLS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname")
_REDIS_CHOICES = {"ssl_cert_reqs": ("required", "optional", "none"), "ssl_check_hostname": ("true", "false")}


def redis(url: str) -> str:
    """Return a Redis URL unchanged if it is one, with options that are known. Raises ImproperlyConfigured."""
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("redis", "rediss", "unix") and parts.port != 0
    except ValueError:
        known = False
    if not known:
        raise _bad_redis(url, "set it like redis://:password@host:6379/0")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    allowed = {"rediss": _REDIS_TLS, "unix": ("db",)}.get(parts.scheme, ())
    if unknown := sorted(options.keys() - set(allowed)):
        raise _bad_redis(url, f"{parts.scheme}:// has no option {', '.join(unknown)}")
    for name, choices in _REDIS_CHOICES.items():
        if name in options and options[name] not in choices:
            raise _bad_redis(url, f"{name} is one of {', '.join(choices)}")
    return url


def redis_tls(url: str) -> dict[str, Any] | None:
    """Return how TLS verifies a Redis, as redis-py takes it; None for a URL without TLS.

    Celery verifies nothing unless it is told to, so it gets this beside a URL without options.
    """
    parts = urlsplit(url)
    if parts.scheme != "rediss":
        return None
    found: dict[str, Any] = {"ssl_cert_reqs": "required", "ssl_check_hostname": "true"}
    found |= dict(parse_qsl(parts.query))
    demanded = {"required": ssl.CERT_REQUIRED, "optional": ssl.CERT_OPTIONAL, "none": ssl.CERT_NONE}
    found["ssl_cert_reqs"] = demanded[found["ssl_cert_reqs"]]
    found["ssl_check_hostname"] = found["ssl_check_hostname"] == "true"
    return found


def _bad_redis(url: str, problem: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"REDIS_URL={without_secrets(url)!r}: {problem}")


def web_address(name: str, default: str) -> str:
    """Return an address that begins with http:// or https://; "" where unset. Raises ImproperlyConfigured."""
    url = text(name, default)
    try:
        parts = urlsplit(url)
        known = not url or (parts.scheme in ("http", "https") and parts.hostname and parts.port != 0)
    except ValueError:
        known = False
    if not known:
        raise ImproperlyConfigured(f"{name}={without_secrets(url)!r}: set it like https://plumbline.example")
    return url


def host_of(url: str) -> str:
    """Return the host of a URL; "" where it has none."""
    return urlsplit(url).hostname or ""


def is_here(hosts: str) -> bool:
    """Return whether these hosts, separated by commas, are this machine: loopback, or sockets in a folder."""
    return all(
        host in ("", "localhost", "::1") or host.startswith(("127.", "/", "@")) for host in hosts.split(",")
    )


def words_or_lines(name: str) -> list[str]:
    """Return the words of a variable, or the lines of the file that `<name>_FILE` names; never both."""
    listed, lines = words(name), lines_of_file(f"{name}_FILE")
    if listed and lines:
        raise ImproperlyConfigured(f"set {name} or {name}_FILE, not both")
    return listed or lines


def lines_of_file(name: str) -> list[str]:
    """Return the lines of the file that a variable names; [] where it is not set.

    Raises ImproperlyConfigured for a file that cannot be read, is empty, or may be written by others.
    """
    path = text(name)
    if not path:
        return []
    try:
        lines = [line.strip() for line in Path(path).read_text().splitlines() if line.strip()]
        writable = Path(path).stat().st_mode & 0o022
    except (OSError, UnicodeDecodeError) as error:
        raise ImproperlyConfigured(f"{name}={path!r} cannot be read: {type(error).__name__}") from None
    if writable:
        raise ImproperlyConfigured(f"{name}={path!r} may be written by others: chmod go-w")
    if not lines:
        raise ImproperlyConfigured(f"{name}={path!r} is empty")
    return lines


def without_secrets(url: str) -> str:
    """Return the URL without its password, which may also be an option."""
    base, mark, options = url.partition("?")
    scheme, separator, rest = base.partition("://")
    shown = f"{scheme}://…@{rest.rpartition('@')[2]}" if "@" in rest else f"{scheme}{separator}{rest}"
    return shown + (f"{mark}…" if options else "")


def writable_folder(name: str, folder: Path) -> None:
    """Make a folder that a variable names. Raises ImproperlyConfigured where it cannot be."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
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
