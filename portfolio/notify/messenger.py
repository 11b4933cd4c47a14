"""Telegram, ntfy, Slack, Discord, webhooks and what else `apprise` reaches, as one more channel.

Off unless MESSENGERS=on. The address of a messenger is a secret (whoever has it may post there), so it is
encrypted like a venue's credentials and only its scheme and host are ever shown.
"""

from __future__ import annotations

from typing import Any, Self
from urllib.parse import urlsplit

from django.conf import settings

from portfolio.models import Subscription
from portfolio.notify.channel import Letter, Refused, TryLater
from positions.sync.connections import CredentialsUnreadable, decrypt, encrypt
from positions.venues.base import Credentials
from positions.venues.redaction import remember, scrub

MAX_URL = 500
_HERE_OR_MAIL = (
    "dbus",
    "gio",
    "glib",
    "gnome",
    "kde",
    "macosx",
    "mailto",
    "mailtos",
    "qt",
    "syslog",
    "windows",
)
"""Schemes that speak to the server's own desktop or log, or would send mail past the one module for mail."""


class AddressRefused(ValueError):
    """A messenger's address that cannot be used. The message says why, without the address."""


def checked(url: str) -> str:
    """Return a messenger's address that can be used. Raises AddressRefused."""
    url = url.strip()
    if not settings.MESSENGERS:
        raise AddressRefused("Messengers are off: an admin sets MESSENGERS=on.")
    if len(url) > MAX_URL or not url.isprintable() or " " in url:
        raise AddressRefused(f"An address has at most {MAX_URL} printable characters.")
    scheme = urlsplit(url).scheme.lower()
    if not scheme or scheme in _HERE_OR_MAIL:
        raise AddressRefused(
            "An address begins with a service, like tgram://, ntfys://, slack:// or json://."
        )
    remember([url])
    if not _opened(url):
        raise AddressRefused(f"{scheme}:// is not known, or its address is not complete.")
    return url


def label_of(url: str) -> str:
    """Return what of an address may be shown: its service, and the host where that is no secret."""
    parts = urlsplit(url)
    plain = parts.scheme.lower() in ("json", "jsons", "xml", "xmls", "form", "forms")
    return f"{parts.scheme}://{parts.hostname if plain and parts.hostname else '…'}"[:100]


def encrypted(url: str) -> str:
    """Return an address as it is kept."""
    return encrypt(Credentials(secret=url))


def target_of(rule: Subscription | None) -> str:
    """Return a rule's address. Raises Refused where no key decrypts it."""
    if rule is None or not rule.target:
        raise Refused("this messenger has no address")
    try:
        url = decrypt(rule.target, account=f"rule {rule.pk}").secret
    except CredentialsUnreadable as error:
        raise Refused(str(error)) from error
    return url or ""


class MessengerSender:
    """Sends by `apprise`, which opens a connection for each message."""

    def __enter__(self) -> Self:
        if not settings.MESSENGERS:
            raise TryLater("messengers are off: MESSENGERS=on lets them send", whole=True)
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def send(self, letter: Letter) -> None:
        """Hand one message to a service. Raises TryLater, Refused."""
        service = _opened(letter.address)
        if service is None:
            raise Refused("this service is not known any more")
        try:
            accepted = service.notify(title=letter.subject, body=letter.text, body_format="text")
        except (OSError, TypeError, ValueError) as error:
            raise TryLater(scrub(f"{type(error).__name__}: {error}"), certain=False) from error
        if not accepted:
            raise TryLater(f"{label_of(letter.address)} did not accept it", certain=True)


def _opened(url: str) -> Any:
    """Return a sender for one address; None where `apprise` knows no such service. It loads none of files."""
    import apprise  # a second to import: only where it is used

    asset = apprise.AppriseAsset(secure_logging=True, plugin_paths=[], app_id="Plumbline")
    found = apprise.Apprise(asset=asset)
    return found if found.add(url) and len(found) == 1 else None
