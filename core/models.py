"""API keys: high entropy, stored as one SHA-256, shown once."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models

from core.scopes import Scope

# `last_used_at` is for people who clean up keys: a minute's precision spares a write per request.
_USE_RECORDED_EVERY = timedelta(minutes=1)


class ApiKey(models.Model):
    """A key `prefix.secret`. Only the secret's SHA-256 is kept: it has 256 bits, so one round is enough."""

    class Tier(models.TextChoices):
        STANDARD = "standard"
        PREMIUM = "premium"
        UNLIMITED = "unlimited"

    name = models.CharField(max_length=100, help_text="Who or what uses this key.")
    prefix = models.CharField(max_length=16, unique=True, editable=False)
    digest = models.CharField(max_length=64, editable=False)
    scopes = ArrayField(
        models.CharField(max_length=16, choices=[(scope.value, scope.value) for scope in Scope])
    )
    tier = models.CharField(max_length=16, choices=Tier, default=Tier.STANDARD)
    accounts = ArrayField(
        models.BigIntegerField(),
        default=list,
        blank=True,
        help_text="Ids of the accounts that this key may see. Empty means all.",
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE, related_name="api_keys"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "API key"
        ordering = ["-created_at", "-id"]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    def is_usable(self, *, now: datetime) -> bool:
        if self.revoked_at is not None and self.revoked_at <= now:
            return False
        return self.expires_at is None or now < self.expires_at

    def matches(self, secret: str) -> bool:
        return hmac.compare_digest(self.digest, digest(secret))


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def issue_key(
    *,
    name: str,
    scopes: list[Scope],
    owner_id: int | None = None,
    tier: str = ApiKey.Tier.STANDARD,
    accounts: list[int] | None = None,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Create a key and return it with its text `prefix.secret`, which is never shown again."""
    secret = secrets.token_urlsafe(32)
    key = ApiKey.objects.create(
        name=name,
        prefix=f"pl{secrets.token_hex(6)}",
        digest=digest(secret),
        scopes=sorted(scope.value for scope in scopes),
        tier=tier,
        accounts=accounts or [],
        owner_id=owner_id,
        expires_at=expires_at,
    )
    return key, f"{key.prefix}.{secret}"


def find_key(text: str, *, now: datetime) -> ApiKey | None:
    """Return the usable key that `prefix.secret` names, else None, and record that it was used."""
    prefix, _, secret = text.partition(".")
    key = ApiKey.objects.filter(prefix=prefix).select_related("owner").first()
    if key is None or not key.matches(secret) or not key.is_usable(now=now):
        return None
    if key.owner is not None and not key.owner.is_active:
        return None
    if key.last_used_at is None or now - key.last_used_at >= _USE_RECORDED_EVERY:
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=now)
    return key
