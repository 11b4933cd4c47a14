"""Who is told of alerts, by which rules, and what became of each message."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from portfolio.models.alerts import Alert, AlertKind, AlertTransition, Severity


class Channel(models.TextChoices):
    """By what people are told. MESSENGER: whatever `apprise` reaches (Telegram, ntfy, Slack, a webhook)."""

    EMAIL = "email", "E-mail"
    MESSENGER = "messenger", "Messenger or webhook"


class Recipient(models.Model):
    """How one person wants to be told: where, in which time zone, when not, and with which figures.

    `address` "" is the person's own. Between `quiet_from` and `quiet_until` (in `zone`; both or none)
    nothing but what is critical is sent. `digest_at` is when the daily digest comes (None: never).
    `escalation_rank` is the person's place among those who are told when nobody acknowledges (None: none).
    `refused_at` is when a mail server last refused `refused_address` for good, `refused_why` its words; the
    first mail that is accepted there takes the mark away.
    """

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="recipient")
    address = models.EmailField(blank=True, default="")
    zone = models.CharField(max_length=64, default="UTC")
    quiet_from = models.TimeField(null=True, blank=True)
    quiet_until = models.TimeField(null=True, blank=True)
    with_amounts = models.BooleanField(default=True)
    digest_at = models.TimeField(null=True, blank=True)
    escalation_rank = models.PositiveSmallIntegerField(null=True, blank=True)
    refused_address = models.EmailField(blank=True, default="")
    refused_at = models.DateTimeField(null=True)
    refused_why = models.TextField(blank=True, default="")

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.CheckConstraint(
                name="portfolio_recipient_quiet_both_or_none",
                condition=Q(quiet_from__isnull=True, quiet_until__isnull=True)
                | (Q(quiet_from__isnull=False, quiet_until__isnull=False) & ~Q(quiet_from=F("quiet_until"))),
            )
        ]

    def __str__(self) -> str:
        return f"recipient {self.pk}"

    @property
    def mail_address(self) -> str:
        """Return where mail goes; "" where there is no address. Reads the user: select it with the row."""
        return self.address or self.user.email

    @property
    def is_refused(self) -> bool:
        """Return whether a server refused the address that mail goes to now."""
        return self.refused_at is not None and self.refused_address == self.mail_address


class Subscription(models.Model):
    """One rule: whom, by which channel, of which kinds, accounts and severities.

    `kinds` [] is every kind; `accounts` None is every account that the person may see. What is about no
    account is told under any `accounts`. `target` is the encrypted address of a messenger, `target_label`
    what of it may be shown. A rule that is turned off is kept: `ended_at`, `ended_by`.
    """

    recipient = models.ForeignKey(Recipient, on_delete=models.PROTECT, related_name="subscriptions")
    channel = models.CharField(max_length=10, choices=Channel.choices, default=Channel.EMAIL)
    kinds = ArrayField(models.CharField(max_length=20, choices=AlertKind.choices), default=list, blank=True)
    accounts = ArrayField(models.BigIntegerField(), null=True, blank=True)
    min_severity = models.CharField(max_length=8, choices=Severity.choices, default=Severity.WARNING)
    target = models.TextField(blank=True, default="")
    target_label = models.CharField(max_length=100, blank=True, default="")
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    ended_by = models.CharField(max_length=150, blank=True, default="")

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.CheckConstraint(
                name="portfolio_subscription_target_iff_messenger",
                condition=(Q(channel="email") & Q(target="")) | (Q(channel="messenger") & ~Q(target="")),
            )
        ]

    def __str__(self) -> str:
        return f"subscription {self.pk}"

    @property
    def is_on(self) -> bool:
        return self.ended_at is None


class Purpose(models.TextChoices):
    """Why something is sent."""

    ALERT = "alert", "Alert"
    DIGEST = "digest", "Daily digest"
    TEST = "test", "Test"


class Mail(models.Model):
    """One message as it was made, kept so that a second try sends the same bytes and people can look it up.

    `root` is the id that its whole thread refers to, `thread_subject` the subject without "Re: ".
    `references` has the root and all earlier ids, separated by spaces. A messenger gets subject and text.
    `may_have_arrived`: a try ended without an answer, so that only the same message may follow.
    """

    message_id = models.CharField(max_length=250, unique=True)
    recipient = models.ForeignKey(Recipient, on_delete=models.PROTECT, related_name="mails")
    channel = models.CharField(max_length=10, choices=Channel.choices)
    subject = models.CharField(max_length=300)
    thread_subject = models.CharField(max_length=300)
    root = models.CharField(max_length=250)
    in_reply_to = models.CharField(max_length=250, blank=True, default="")
    references = models.TextField(blank=True, default="")
    is_urgent = models.BooleanField(default=False)
    text = models.TextField()
    html = models.TextField(blank=True, default="")
    made_at = models.DateTimeField()
    may_have_arrived = models.BooleanField(default=False)

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["made_at"], name="portfolio_mail_made")]

    def __str__(self) -> str:
        return self.subject


class DeliveryState(models.TextChoices):
    """What became of a delivery. DEAD: given up; SKIPPED: not to be sent; both with the reason."""

    QUEUED = "queued", "Waiting"
    CLAIMED = "claimed", "Being sent"
    SENT = "sent", "Accepted"
    DEAD = "dead", "Failed"
    SKIPPED = "skipped", "Not sent"


WAITING = (DeliveryState.QUEUED, DeliveryState.CLAIMED)
DELIVERY_MOVES: dict[DeliveryState, frozenset[DeliveryState]] = {
    DeliveryState.QUEUED: frozenset({DeliveryState.CLAIMED, DeliveryState.SKIPPED}),
    DeliveryState.CLAIMED: frozenset(
        {
            DeliveryState.CLAIMED,
            DeliveryState.QUEUED,
            DeliveryState.SENT,
            DeliveryState.DEAD,
            DeliveryState.SKIPPED,
        }
    ),
    DeliveryState.DEAD: frozenset({DeliveryState.QUEUED}),
    DeliveryState.SENT: frozenset(),
    DeliveryState.SKIPPED: frozenset(),
}
"""From CLAIMED to CLAIMED: another worker takes over what a dead one had claimed."""


class Delivery(models.Model):
    """One thing that one person is to be told: a row of the outbox.

    `message_id` is derived from (alert, transition, recipient), so that the same thing is never queued twice.
    `mail` is the message that carries it, made when it was first claimed; several deliveries may share one.
    `held` says why it waits on purpose (quiet hours). `next_at` is when it may be sent, `lease` and
    `lease_until` whose it is while CLAIMED. `why` is the reason of a SKIPPED or DEAD one.
    """

    purpose = models.CharField(max_length=8, choices=Purpose.choices, default=Purpose.ALERT)
    alert = models.ForeignKey(
        Alert, null=True, on_delete=models.PROTECT, related_name="deliveries", db_index=False
    )
    transition = models.ForeignKey(
        AlertTransition, null=True, on_delete=models.PROTECT, related_name="deliveries"
    )
    recipient = models.ForeignKey(
        Recipient, on_delete=models.PROTECT, related_name="deliveries", db_index=False
    )
    channel = models.CharField(max_length=10, choices=Channel.choices)
    subscription = models.ForeignKey(
        Subscription, null=True, on_delete=models.PROTECT, related_name="deliveries"
    )
    message_id = models.CharField(max_length=250, unique=True)
    mail = models.ForeignKey(Mail, null=True, on_delete=models.SET_NULL, related_name="deliveries")
    state = models.CharField(max_length=8, choices=DeliveryState.choices, default=DeliveryState.QUEUED)
    why = models.TextField(blank=True, default="")
    held = models.CharField(max_length=100, blank=True, default="")
    address = models.CharField(max_length=254, blank=True, default="")
    attempts = models.PositiveIntegerField(default=0)
    queued_at = models.DateTimeField()
    next_at = models.DateTimeField()
    lease = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True)
    last_error = models.TextField(blank=True, default="")
    sent_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-pk"]
        verbose_name_plural = "deliveries"
        constraints = [
            models.CheckConstraint(
                name="portfolio_delivery_leased_iff_claimed",
                condition=(Q(state="claimed") & Q(lease__isnull=False) & Q(lease_until__isnull=False))
                | (~Q(state="claimed") & Q(lease__isnull=True) & Q(lease_until__isnull=True)),
            ),
            models.CheckConstraint(
                name="portfolio_delivery_sent_has_a_time",
                condition=(Q(state="sent") & Q(sent_at__isnull=False))
                | (~Q(state="sent") & Q(sent_at__isnull=True)),
            ),
            models.CheckConstraint(
                name="portfolio_delivery_alert_with_transition",
                condition=(Q(purpose="alert") & Q(alert__isnull=False) & Q(transition__isnull=False))
                | (~Q(purpose="alert") & Q(alert__isnull=True) & Q(transition__isnull=True)),
            ),
        ]
        indexes = [
            models.Index(fields=["next_at"], name="portfolio_delivery_waiting", condition=Q(state="queued")),
            models.Index(
                fields=["lease_until"], name="portfolio_delivery_claimed", condition=Q(state="claimed")
            ),
            models.Index(fields=["alert", "recipient", "id"], name="portfolio_delivery_thread"),
            models.Index(fields=["recipient", "-id"], name="portfolio_delivery_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.purpose} {self.message_id}"
