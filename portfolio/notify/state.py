"""What is wrong with telling people: settings, letters that fail, kinds that nobody hears. Reads only."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Count, Min

from portfolio.models import Delivery, DeliveryState, Recipient, Subscription
from portfolio.notify import audience, email

STUCK = timedelta(minutes=5)
DEAD_SHOWN = timedelta(days=7)


def problems(*, now: datetime) -> list[str]:
    """Return everything that keeps people from being told, each with what to do; [] when all is well."""
    return [*sending(), *stuck(now=now), *dead(now=now), *refused(), *nobody()]


def sending() -> list[str]:
    """Return what is wrong with the settings of e-mail."""
    if email.leaves_the_house():
        return []
    return [f"e-mail goes to {email.where()} and to nobody's mailbox: set EMAIL_URL"]


def stuck(*, now: datetime) -> list[str]:
    """Return what waits for too long, with the last error."""
    waiting = Delivery.objects.filter(
        state__in=[DeliveryState.QUEUED, DeliveryState.CLAIMED], held="", queued_at__lt=now - STUCK
    )
    found = waiting.aggregate(count=Count("pk"), since=Min("queued_at"))
    if not found["count"]:
        return []
    said = waiting.exclude(last_error="").order_by("-pk").values_list("last_error", flat=True).first()
    minutes = int((now - found["since"]).total_seconds() // 60)
    why = said or "no worker sends: are the Celery worker and beat running?"
    return [f"{found['count']} messages wait, the oldest for {minutes} min: {why}"]


def dead(*, now: datetime) -> list[str]:
    """Return how many messages were given up within a week and stand there still."""
    rows = Delivery.objects.filter(state=DeliveryState.DEAD, queued_at__gt=now - DEAD_SHOWN)
    count = rows.count()
    if not count:
        return []
    said = rows.order_by("-pk").values_list("why", flat=True).first()
    return [f"{count} messages were given up: see /alerts/mails/. The last one: {said}"]


def refused() -> list[str]:
    """Return the addresses that a mail server refuses."""
    rows = Recipient.objects.filter(refused_at__isnull=False).select_related("user")
    return [
        f"mail to {one.user.get_username()} ({one.refused_address}) is refused: {one.refused_why}"
        for one in rows.order_by("pk")
        if one.is_refused
    ]


def nobody() -> list[str]:
    """Return which kinds nobody would be told of."""
    found = audience.unheard()
    if not Subscription.objects.filter(ended_at=None).exists():
        return ["nobody is told of anything: give an admin an e-mail address, or use /alerts/subscriptions/"]
    if not found:
        return []
    shown = ", ".join(found[:6]) + (f" and {len(found) - 6} more" if len(found) > 6 else "")
    return [f"nobody would be told of: {shown}. Subscribe at /alerts/subscriptions/"]


def settings_problems() -> list[tuple[str, str]]:
    """Return (what is wrong, what to do) about the settings of this channel, without asking any server."""
    found = []
    if settings.EMAIL_BACKEND == email.SMTP_BACKEND:
        if bool(settings.EMAIL_HOST_USER) != bool(settings.EMAIL_HOST_PASSWORD):
            has, lacks = ("a user", "password") if settings.EMAIL_HOST_USER else ("a password", "user")
            found.append((f"EMAIL_URL has {has} and no {lacks}.", "Write smtp://user:password@host:587."))
        plain = not (settings.EMAIL_USE_TLS or settings.EMAIL_USE_SSL)
        if plain and settings.EMAIL_HOST_PASSWORD and not _is_here(settings.EMAIL_HOST):
            found.append(
                (
                    f"EMAIL_URL sends its password to {settings.EMAIL_HOST} without TLS.",
                    "Use smtps://, or smtp:// without ?tls=none.",
                )
            )
    if "@" not in settings.DEFAULT_FROM_EMAIL or email.domain() == "plumbline.invalid":
        found.append(
            (
                f"EMAIL_FROM={settings.DEFAULT_FROM_EMAIL!r} is no address.",
                'Set it like "Plumbline <plumbline@your.domain>".',
            )
        )
    elif email.leaves_the_house() and email.domain() == "localhost":
        found.append(
            (
                "EMAIL_FROM is not set: mail from plumbline@localhost is refused nearly everywhere.",
                'Set it like "Plumbline <plumbline@your.domain>".',
            )
        )
    if email.leaves_the_house() and _is_here(settings.PUBLIC_URL.partition("://")[2].partition("/")[0]):
        found.append(
            (
                f"PUBLIC_URL={settings.PUBLIC_URL}: links in mails lead to the reader's own machine.",
                "Set it to the address at which people reach the pages.",
            )
        )
    return found


def _is_here(host: str) -> bool:
    name = host.rpartition(":")[0] or host
    return name in ("localhost", "[::1]", "::1") or name.startswith("127.")


def line(now: datetime) -> str:
    """Return what /health says of telling people; "" when all is well."""
    return "; ".join(problems(now=now))[:1000]
