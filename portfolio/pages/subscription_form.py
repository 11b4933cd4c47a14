"""The forms of one's own subscriptions: what is wrong is said at the field."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import time
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError

from portfolio.models import AlertKind, Channel, Recipient, Severity, Subscription
from portfolio.notify import messenger
from positions.models import Account

KINDS = [(kind.value, kind.label) for kind in AlertKind if kind != AlertKind.TEST]


def known_zone(name: str) -> str:
    """Return the name of a time zone. Raises ValidationError."""
    if name not in available_timezones():
        raise ValidationError(
            f"“{name[:60]}” is no time zone: write it like Europe/Zurich, America/New_York or UTC."
        )
    ZoneInfo(name)
    return name


class RecipientForm(forms.ModelForm):  # type: ignore[type-arg]  # generic to the type checker only
    """Where and when one person is told."""

    zone = forms.CharField(
        label="Time zone", max_length=64, help_text="Like Europe/Zurich. Times in mails are in it."
    )
    quiet_from = forms.TimeField(
        label="Quiet from", required=False, widget=forms.TimeInput(attrs={"type": "time"})
    )
    quiet_until = forms.TimeField(
        label="Quiet until", required=False, widget=forms.TimeInput(attrs={"type": "time"})
    )
    digest_at = forms.TimeField(
        label="Daily digest at", required=False, widget=forms.TimeInput(attrs={"type": "time"}),
        help_text="Empty: no digest.",
    )  # fmt: skip

    class Meta:
        model = Recipient
        fields = [
            "address",
            "zone",
            "quiet_from",
            "quiet_until",
            "digest_at",
            "with_amounts",
            "escalation_rank",
        ]
        labels = {
            "address": "E-mail address",
            "with_amounts": "With amounts",
            "escalation_rank": "Place in the order of escalation",
        }
        help_texts = {
            "address": "Empty: the one of your login.",
            "with_amounts": "Off: mails say what is wrong, and no sizes or sums.",
            "escalation_rank": "1 is told first when nobody acknowledges a critical alert. Empty: never.",
        }

    def clean_zone(self) -> str:
        return known_zone(self.cleaned_data["zone"])

    def clean(self) -> dict[str, Any]:
        found: dict[str, Any] = super().clean() or {}
        start, end = found.get("quiet_from"), found.get("quiet_until")
        if (start is None) != (end is None):
            lacking = "quiet_until" if end is None else "quiet_from"
            self.add_error(lacking, "Quiet hours need a beginning and an end.")
        elif isinstance(start, time) and start == end:
            self.add_error("quiet_until", "Quiet hours must end at another time than they begin.")
        return found


class SubscriptionForm(forms.Form):
    """One rule. A field that is left open means everything."""

    channel = forms.ChoiceField(label="By", choices=Channel.choices, initial=Channel.EMAIL)
    min_severity = forms.ChoiceField(
        label="From severity", choices=Severity.choices, initial=Severity.WARNING
    )
    kinds = forms.MultipleChoiceField(
        label="Kinds", choices=KINDS, required=False, widget=forms.CheckboxSelectMultiple,
        help_text="None chosen: every kind.",
    )  # fmt: skip
    accounts = forms.MultipleChoiceField(
        label="Accounts", required=False, widget=forms.CheckboxSelectMultiple,
        help_text="None chosen: every account that you may see, later ones too.",
    )  # fmt: skip
    target = forms.CharField(
        label="Messenger's address", required=False, max_length=messenger.MAX_URL,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        help_text="Like tgram://… or json://host/path. It is encrypted and never shown again.",
    )  # fmt: skip

    def __init__(
        self,
        *args: Any,
        accounts: Iterable[Account],
        recipient: Recipient,
        may_messenger: bool,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.recipient = recipient
        choices = [(str(account.pk), account.label) for account in accounts]
        self.fields["accounts"] = forms.MultipleChoiceField(
            label="Accounts", choices=choices, required=False, widget=forms.CheckboxSelectMultiple,
            help_text=self.fields["accounts"].help_text,
        )  # fmt: skip
        self.may_messenger = may_messenger
        if not (settings.MESSENGERS and may_messenger):
            self.fields["channel"] = forms.ChoiceField(
                label="By", choices=[(Channel.EMAIL.value, Channel.EMAIL.label)], initial=Channel.EMAIL
            )
            del self.fields["target"]

    def clean(self) -> dict[str, Any]:
        found: dict[str, Any] = super().clean() or {}
        channel, target = found.get("channel"), found.get("target", "")
        if channel == Channel.EMAIL and not self.recipient.mail_address:
            self.add_error("channel", "You have no e-mail address: enter one above first.")
        if channel == Channel.EMAIL and target:
            self.add_error(
                "target", "An e-mail rule has no messenger: leave this empty, or choose the messenger."
            )
        if channel == Channel.MESSENGER:
            try:
                found["target"] = messenger.checked(target)
            except messenger.AddressRefused as error:
                self.add_error("target", str(error))
        return found

    def subscription(self, **fields: Any) -> Subscription:
        """Return the rule that a valid form describes, not yet saved."""
        told = self.cleaned_data
        target = told.get("target", "")
        return Subscription(
            recipient=self.recipient,
            channel=told["channel"],
            kinds=told["kinds"],
            accounts=[int(one) for one in told["accounts"]] or None,
            min_severity=told["min_severity"],
            target=messenger.encrypted(target) if target else "",
            target_label=messenger.label_of(target) if target else "",
            **fields,
        )
