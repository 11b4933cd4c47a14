"""The one module through which all mail leaves: by Django's e-mail backends, with headers of an alert.

`connection()` is where the backend is chosen, so that Django's MAILERS (6.1) will change one line here.
"""

from __future__ import annotations

import contextlib
import smtplib
import socket
import ssl
from email.utils import parseaddr
from typing import Any, Self

from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection

from portfolio.notify import threads
from portfolio.notify.channel import Letter, NotSent, Refused, TryLater

SMTP_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
_SILENT_BACKENDS = ("filebased", "console", "locmem", "dummy")


def connection() -> Any:
    """Return the configured backend, not yet open."""
    return get_connection()


def domain() -> str:
    """Return the domain of our Message-IDs: that of EMAIL_FROM."""
    return threads.domain_of(parseaddr(settings.DEFAULT_FROM_EMAIL)[1], otherwise="plumbline.invalid")


def leaves_the_house() -> bool:
    """Return whether the configured backend sends mail to people at all."""
    return not any(f".backends.{name}." in settings.EMAIL_BACKEND for name in _SILENT_BACKENDS)


def where() -> str:
    """Return where mail goes, in words and without secrets."""
    if settings.EMAIL_BACKEND == SMTP_BACKEND:
        how = "TLS" if settings.EMAIL_USE_SSL else "STARTTLS" if settings.EMAIL_USE_TLS else "no TLS"
        return f"{settings.EMAIL_HOST}:{settings.EMAIL_PORT} ({how})"
    if settings.EMAIL_FILE_PATH and "filebased" in settings.EMAIL_BACKEND:
        return f"the folder {settings.EMAIL_FILE_PATH}"
    return str(settings.EMAIL_BACKEND)


class EmailSender:
    """One connection to the mail server, opened for the first letter and again after it broke."""

    def __init__(self) -> None:
        self._backend = connection()

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def send(self, letter: Letter) -> None:
        """Hand one mail to the server. Raises Refused, TryLater."""
        self._open()
        try:
            self._backend.send_messages([message_of(letter)])
        except NotSent:
            raise
        except Exception as error:
            if not _is_an_answer(error):
                self._close()
            raise failure(error) from error

    def _open(self) -> None:
        if getattr(self._backend, "connection", None) is not None:
            return
        try:
            self._backend.open()
        except (smtplib.SMTPException, OSError, ValueError) as error:
            self._close()
            raise TryLater(f"{where()}: {explained(error)}", whole=True) from error

    def _close(self) -> None:
        # A connection that broke cannot be ended politely.
        with contextlib.suppress(smtplib.SMTPException, OSError):
            self._backend.close()
        if hasattr(self._backend, "connection"):
            self._backend.connection = None


def message_of(letter: Letter) -> EmailMultiAlternatives:
    """Return a letter as Django's message."""
    headers = {
        "Message-ID": letter.message_id,
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "All",
        "List-Id": f"Plumbline alerts <alerts.{domain()}>",
    }
    if letter.in_reply_to:
        headers["In-Reply-To"] = letter.in_reply_to
    if letter.references:
        headers["References"] = " ".join(letter.references)
    if letter.unsubscribe_url:
        headers["List-Unsubscribe"] = f"<{letter.unsubscribe_url}>"
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    if letter.is_urgent:
        headers |= {"Importance": "high", "X-Priority": "1"}
    message = EmailMultiAlternatives(
        subject=threads.one_line(letter.subject, longest=threads.MAX_SUBJECT + 10),
        body=letter.text,
        from_email=settings.DEFAULT_FROM_EMAIL,
        to=[letter.address],
        headers=headers,
    )
    if letter.html:
        message.attach_alternative(letter.html, "text/html")
    return message


def failure(error: Exception) -> NotSent:
    """Return what a backend's error means for one letter: try later, or never again.

    A 4xx answer is temporary, a 5xx one permanent. A connection that broke while sending may have
    delivered. Of another package's backend the HTTP status counts, where it tells one.
    """
    told = explained(error)
    match error:
        case smtplib.SMTPRecipientsRefused():
            codes = [code for code, _ in error.recipients.values()]
            return TryLater(told) if any(code < 500 for code in codes) else Refused(told)
        case smtplib.SMTPSenderRefused() | smtplib.SMTPNotSupportedError():
            # Our own settings are wrong, not the address: it must not be marked.
            return TryLater(told, whole=True)
        case smtplib.SMTPResponseException():
            return Refused(told) if 500 <= error.smtp_code < 600 else TryLater(told)
        case smtplib.SMTPServerDisconnected() | OSError():
            return TryLater(told, certain=False, whole=True)
        case ValueError():  # of Django: what is no header, or no address
            return Refused(told)
    status = getattr(error, "status_code", None)
    if isinstance(status, int) and 400 <= status < 500 and status not in (401, 403, 408, 429):
        return Refused(told)
    return TryLater(told, certain=False)


def explained(error: BaseException) -> str:
    """Return an error of SMTP in words that say which setting is wrong, where one is."""
    match error:
        case smtplib.SMTPAuthenticationError():
            return f"user or password refused ({_answer(error)}): see EMAIL_URL"
        case smtplib.SMTPNotSupportedError() if "STARTTLS" in str(error):
            return "the server offers no STARTTLS: use smtps://, or ?tls=none where the network is yours"
        case smtplib.SMTPNotSupportedError() if "AUTH" in str(error):
            return "the server takes no user and password on this port: see EMAIL_URL"
        case smtplib.SMTPSenderRefused():
            return f"the sender {error.sender} is refused ({_answer(error)}): see EMAIL_FROM"
        case smtplib.SMTPRecipientsRefused():
            return "; ".join(f"{code} {_text(text)}" for code, text in error.recipients.values())
        case smtplib.SMTPResponseException():
            return _answer(error)
        case ssl.SSLCertVerificationError():
            return f"the server's certificate is not trusted ({error.verify_message}): see EMAIL_URL's host"
        case ssl.SSLError():
            return f"no TLS on this port ({error.reason}): smtps:// is for 465, smtp:// for 587 and 25"
        case socket.gaierror():
            return "the host name is unknown: see EMAIL_URL"
        case ConnectionRefusedError():
            return "nothing listens there: see EMAIL_URL's host and port"
        case TimeoutError():
            return f"no answer within {settings.EMAIL_TIMEOUT} s"
        case smtplib.SMTPServerDisconnected() if "timed out" in str(error):
            return f"no answer within {settings.EMAIL_TIMEOUT} s"
        case smtplib.SMTPServerDisconnected():
            return "the server closed the connection"
    return f"{type(error).__name__}: {error}"


def _is_an_answer(error: Exception) -> bool:
    """Return whether the server answered, so that the connection can go on."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return 421 not in {code for code, _ in error.recipients.values()}
    return isinstance(error, smtplib.SMTPResponseException) and error.smtp_code not in (-1, 421)


def _answer(error: smtplib.SMTPResponseException) -> str:
    return f"{error.smtp_code} {_text(error.smtp_error)}"


def _text(answer: bytes | str) -> str:
    text = answer.decode(errors="replace") if isinstance(answer, bytes) else str(answer)
    return threads.one_line(text, longest=300)
