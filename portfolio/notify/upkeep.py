"""What grows or grows old: texts of old mails, and addresses encrypted with an old key."""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog

from portfolio.models import WAITING, Channel, Mail, Subscription
from portfolio.notify import audience
from positions.sync.connections import CredentialsUnreadable, rotated

KEPT_FOR = timedelta(days=90)
"""Texts of mails; that they were sent, and what came of it, is kept for good."""

log = structlog.get_logger("notify")


def tidy(*, now: datetime) -> int:
    """Empty the texts of mails older than KEPT_FOR, encrypt messengers' addresses with the newest key;
    return how many texts were emptied.
    """
    old = Mail.objects.filter(made_at__lt=now - KEPT_FOR).exclude(text="")
    emptied = old.exclude(deliveries__state__in=WAITING).update(text="", html="")
    for rule in Subscription.objects.filter(channel=Channel.MESSENGER).order_by("pk"):
        try:
            audience.recrypt(subscription=rule, target=rotated(rule.target, account=f"rule {rule.pk}"))
        except CredentialsUnreadable as error:
            log.warning("a messenger's address cannot be read", rule=rule.pk, error=str(error))
    return emptied
