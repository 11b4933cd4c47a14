"""People, their rules, and alerts with what became of them, in few words."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import Group, User
from django.db import transaction

from core.security.scopes import Role
from portfolio.models import (
    Alert,
    AlertTransition,
    AlertTransitionKind,
    Delivery,
    Recipient,
    Subscription,
)
from portfolio.notify import audience, outbox, sending
from positions.models import Account

TITLE = "DRIFT BTC-PERP main: book 0.50, venue 0.45 · case 412"


class Stage:
    """One account, a clock, and the sender."""

    def __init__(self, now: datetime, account: Account) -> None:
        self.now = now
        self.account = account

    def person(self, name: str, *, rule: bool = True, role: Role = Role.VIEWER, **fields: Any) -> Recipient:
        """Make a person with an address, and a rule for warnings unless told otherwise."""
        user = User.objects.create_user(name, email=f"{name}@example.com")
        user.groups.add(Group.objects.get_or_create(name=role.value)[0])
        recipient = Recipient.objects.create(user=user, **fields)
        if rule:
            self.rule(recipient)
        return recipient

    def rule(self, recipient: Recipient, **fields: Any) -> Subscription:
        given = {"min_severity": "warning", "created_at": self.now} | fields
        return audience.subscribe(subscription=Subscription(recipient=recipient, **given))

    def alert(self, subject: str = "account:1/BTC", **fields: Any) -> Alert:
        """Make an alert of which nobody was told yet."""
        given: dict[str, Any] = {
            "kind": "drift",
            "severity": "warning",
            "title": TITLE,
            "summary": "Book says 0.50, the venue says 0.45; 2,500.00 USD are at stake.",
            "account": self.account,
            "usd": "2500",
            "raised_at": self.now,
            "judged_at": self.now,
        }
        return Alert.objects.create(subject=subject, **(given | fields))

    def tell(
        self,
        alert: Alert,
        kind: str = AlertTransitionKind.RAISED,
        *,
        batch: uuid.UUID | None = None,
        **fields: Any,
    ) -> AlertTransition:
        """Write a transition and queue it, in one transaction, as the engine does."""
        with transaction.atomic():
            if kind == AlertTransitionKind.CLEARED:
                Alert.objects.filter(pk=alert.pk).update(state="cleared", cleared_at=self.now)
                alert.refresh_from_db()
            given = {
                "severity": alert.severity,
                "numbers": {"book": "0.50", "venue": "0.45"},
                "usd": alert.usd,
                "text": alert.summary,
                "batch": batch or uuid.uuid4(),
            }
            sequence = alert.transitions.count() + 1
            told = AlertTransition.objects.create(
                alert=alert, sequence=sequence, kind=kind, at=self.now, **(given | fields)
            )
            outbox.queue(transition=told, now=self.now)
        return told

    def raised(self, **fields: Any) -> Alert:
        alert = self.alert(**fields)
        self.tell(alert)
        return alert

    def later(self, **time: float) -> None:
        self.now += timedelta(**time)

    def deliver(self) -> sending.Outcome:
        return sending.deliver(clock=lambda: self.now, chance=lambda: 0.5)

    def fates(self) -> list[tuple[str, str]]:
        """Return (recipient, state) of all deliveries, the oldest first."""
        rows = Delivery.objects.order_by("pk").select_related("recipient__user")
        return [(row.recipient.user.username, row.state) for row in rows]
