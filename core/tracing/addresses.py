"""The client's network address, parsed: whose guesses are counted, and whom a security event names."""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest

UNKNOWN = "unknown"
# An IPv6 customer has at least a /64: whoever guesses has 2^64 addresses of it.
_V6_PREFIX = 64

_current: ContextVar[str] = ContextVar("client_address", default="")


def parse(text: str) -> IPv4Address | IPv6Address | None:
    """Return the address in `1.2.3.4`, `1.2.3.4:5678`, `::1`, `[::1]` or `[::1]:5678`; None if it is none."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    with contextlib.suppress(ValueError):
        found = ip_address(text.partition("%")[0])
        return getattr(found, "ipv4_mapped", None) or found
    return None


def client_address(request: HttpRequest) -> str:
    """Return the address that the outermost *trusted* proxy saw, in canonical form; `unknown` if it is none.

    With TRUSTED_PROXIES = 0 the header is ignored: anybody can send it.
    """
    hops = [hop.strip() for hop in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if hop.strip()]
    trusted = settings.TRUSTED_PROXIES
    told = hops[-trusted] if trusted and len(hops) >= trusted else request.META.get("REMOTE_ADDR") or ""
    found = parse(str(told))
    return UNKNOWN if found is None else str(found)


def client_network(request: HttpRequest) -> str:
    """Return the address by which a client's guesses are counted: of IPv6 the first one of its /64.

    Clients whose address nobody knows are counted together, as 0.0.0.0.
    """
    found = parse(client_address(request))
    if isinstance(found, IPv6Address):
        return str(ip_network((found, _V6_PREFIX), strict=False).network_address)
    return "0.0.0.0" if found is None else str(found)


def remember(address: str) -> None:
    """Keep the address of the request that is being answered, for `current`."""
    _current.set(address)


def current() -> str:
    """Return the address of the request that is being answered; "" outside of one."""
    return _current.get()
