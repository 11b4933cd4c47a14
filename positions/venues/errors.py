"""Errors of a venue by what the operator must do, and the one translation of ccxt's errors into them."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from positions.venues.redaction import scrub

# An error body may be a whole HTML page; what identifies it stands at the top.
PAYLOAD_LIMIT = 20_000
# A venue that says "too many" without saying for how long.
DEFAULT_PAUSE = timedelta(seconds=10)
# No ban of a known venue lasts longer; an absurd header must not silence a venue for years.
LONGEST_PAUSE = timedelta(days=3)


class VenueError(Exception):
    """A venue did not give a usable answer. `payload` is the answer's text, without secrets, or None."""

    def __init__(self, message: str, *, payload: str | None = None, http_status: int | None = None) -> None:
        super().__init__(scrub(message))
        self.payload = scrub(payload)[:PAYLOAD_LIMIT] if payload is not None else None
        self.http_status = http_status


class Transient(VenueError):
    """The network or the venue failed for now: the same read may be tried again."""


class RateLimited(VenueError):
    """The venue (or our own budget) refuses more requests for `for_`: wait that long."""

    def __init__(
        self, message: str, *, for_: timedelta, payload: str | None = None, http_status: int | None = None
    ) -> None:
        super().__init__(message, payload=payload, http_status=http_status)
        self.for_ = for_


class Denied(VenueError):
    """Wrong or insufficient credentials, a blocked place or a wrong clock. The message tells what to fix."""


class Unsupported(VenueError):
    """The venue or the adapter cannot do this; asking again is pointless."""


class Corrupt(VenueError):
    """The venue's answer cannot be read. The payload is kept and nothing is concluded from it."""


@dataclass(slots=True)
class HttpRoundTrip:
    """One HTTP exchange as seen at the transport, kept to explain an error and to date an answer."""

    url: str
    sent_at: datetime
    status: int | None = None
    body: str | None = None
    retry_after: str | None = None
    received_at: datetime | None = None
    answer: Any = None


KEY_NOT_USED = "is not used; it"
"""What every error says of a key that we refuse."""
_CLOCK = "the venue refused our time stamp: synchronise this machine's clock (check_venue shows the offset)"
_KEYS = "check the API key, its secret and password, its permissions and its allowed IP addresses"
_PLACE = "the venue refuses this location or IP address: use a permitted egress address"


def translate(error: BaseException, last: HttpRoundTrip | None, *, now: datetime) -> VenueError:
    """Return the VenueError that tells what to do about `error` (a ccxt, network or parser exception).

    ccxt's classes are recognised by name along the MRO, so that this module works before ccxt is imported.
    """
    if isinstance(error, VenueError):
        return error
    names = {cls.__name__ for cls in type(error).__mro__}
    status = last.status if last else None
    body = last.body if last else None
    text = f"{type(error).__name__}: {error}"[:600]
    kept: dict[str, Any] = {"payload": body, "http_status": status}
    if last is None and names & {"TypeError", "ValueError"}:
        return Denied(f"the request could not be signed: {_KEYS} ({text})", **kept)
    if names & {"RateLimitExceeded", "DDoSProtection"} or status in (418, 429):
        return RateLimited(text, for_=_pause(last.retry_after if last else None, now=now), **kept)
    if "InvalidNonce" in names:
        return Denied(f"{_CLOCK} ({text})", **kept)
    if names & {"AuthenticationError", "PermissionDenied", "AccountNotEnabled", "AccountSuspended"}:
        return Denied(f"{_KEYS} ({text})", **kept)
    if "RestrictedLocation" in names or status == 451:
        return Denied(f"{_PLACE} ({text})", **kept)
    if names & {"NotSupported", "ArgumentsRequired", "BadSymbol"}:
        return Unsupported(text, **kept)
    if _is_tls(error):
        return Transient(text, **kept)
    if names & {"OperationFailed", "TimeoutError", "OSError", "ClientError"}:
        return _failed(text, names, status, body)
    if status in (401, 403) and not is_page(body):
        return Denied(f"{_KEYS} ({text})", **kept)
    if "BadRequest" in names or status in (400, 404, 405, 422):
        return Unsupported(f"the venue did not accept the request ({text})", **kept)
    if status is not None and status >= 500:
        return Transient(text, **kept)
    return Corrupt(text, **kept)


def _failed(text: str, names: set[str], status: int | None, body: str | None) -> VenueError:
    """ccxt calls several permanent refusals "not available": tell them from a network that failed."""
    kept: dict[str, Any] = {"payload": body, "http_status": status}
    page = is_page(body)
    if status in (401, 403) and not page:
        return Denied(f"{_KEYS} ({text})", **kept)
    if status in (400, 404, 405, 422) and not page:
        return Unsupported(f"the venue did not accept the request ({text})", **kept)
    if (
        status is not None
        and status < 400
        and names & {"BadResponse", "NullResponse", "ExchangeNotAvailable"}
    ):
        return Corrupt(text, **kept)
    return Transient(text, **kept)


def names_the_key(problem: str) -> bool:
    """Return whether an error's text says that a key was refused, by the venue or by our own rules."""
    return _KEYS in problem or KEY_NOT_USED in problem


def is_page(body: str | None) -> bool:
    """Whether an answer is a web page (of a CDN or a proxy) where JSON was due."""
    return body is not None and body.lstrip()[:1] == "<"


def _is_tls(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _pause(retry_after: str | None, *, now: datetime) -> timedelta:
    """Retry-After: seconds, or an HTTP date (RFC 9110, 10.2.3)."""
    if not retry_after:
        return DEFAULT_PAUSE
    try:
        return min(LONGEST_PAUSE, timedelta(seconds=max(0.0, float(retry_after))))
    except (ValueError, OverflowError):
        pass
    from email.utils import parsedate_to_datetime

    try:
        return min(LONGEST_PAUSE, max(timedelta(0), parsedate_to_datetime(retry_after) - now))
    except (TypeError, ValueError):
        return DEFAULT_PAUSE
