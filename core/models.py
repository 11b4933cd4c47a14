"""API keys: high entropy, stored as one SHA-256, shown once; never more than their owner may do now."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

import pgtrigger
from django.conf import settings
from django.contrib.auth.models import Group, User
from django.contrib.postgres.expressions import ArraySubquery
from django.contrib.postgres.fields import ArrayField
from django.db import models, transaction
from django.db.models import OuterRef, QuerySet

from core.security.scopes import Scope, scopes_of_roles, scopes_of_user
from core.security.security_events import Act, SecurityEvent, changes, record, record_refusal

__all__ = ["ApiKey", "SecurityEvent", "change_key", "find_key", "issue_key", "keys_with_roles", "revoke_key"]

# `last_used_at` is for people who clean up keys: a minute's precision spares a write per request.
_USE_RECORDED_EVERY = timedelta(minutes=1)
VALID_FOR = timedelta(days=90)
LONGEST = timedelta(days=366)


class ApiKey(models.Model):
    """A key `prefix.secret`. Only the secret's SHA-256 is kept: it has 256 bits, so one round is enough.

    `owner` is None only on keys of before owners were asked for: they are not usable until one is set.
    """

    class Tier(models.TextChoices):
        STANDARD = "standard"
        PREMIUM = "premium"
        UNLIMITED = "unlimited"

    name = models.CharField(max_length=100, help_text="Who or what uses this key.")
    prefix = models.CharField(max_length=16, unique=True, editable=False)
    digest = models.CharField(max_length=64, editable=False)
    scopes = ArrayField(
        models.CharField(max_length=16, choices=[(scope.value, scope.value) for scope in Scope]),
        help_text="At most these; never more than the owner's role allows at the time.",
    )
    tier = models.CharField(max_length=16, choices=Tier, default=Tier.STANDARD)
    accounts = ArrayField(
        models.BigIntegerField(),
        null=True,
        blank=True,
        help_text="Ids of the accounts that this key may see; an empty list is none, null is all.",
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="api_keys"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name = "API key"
        ordering = ["-created_at", "-id"]
        triggers = [
            pgtrigger.Protect(
                name="revoked_for_ever",
                operation=pgtrigger.Update,
                condition=pgtrigger.Q(old__revoked_at__isnull=False),
            ),
            pgtrigger.Protect(name="never_deleted", operation=pgtrigger.Delete),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    def is_usable(self, *, now: datetime) -> bool:
        """Return whether it is neither revoked nor expired, and its owner is there and switched on."""
        return self.why_unusable(now=now) is None

    def why_unusable(self, *, now: datetime) -> str | None:
        """Return why it may not be used, None if it may."""
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at <= now:
            return "expired"
        if self.owner is None:
            return "without an owner"
        return None if self.owner.is_active else "its owner is switched off"

    def matches(self, secret: str) -> bool:
        """Return whether this is the key's secret, in a time that does not depend on where it differs."""
        return hmac.compare_digest(self.digest, digest(secret))

    def granted(self) -> frozenset[Scope]:
        """Return the scopes it has now: its own, as far as its owner's present role has them."""
        if self.owner is None or not self.owner.is_active:
            return frozenset()
        names: Collection[str] | None = getattr(self, "owner_roles", None)
        if self.owner.is_superuser or names is None:
            owners = scopes_of_user(self.owner)
        else:
            owners = scopes_of_roles(names)
        return owners & frozenset(Scope(scope) for scope in self.scopes)


def keys_with_roles() -> QuerySet[ApiKey]:
    """Return all keys with their owners and the names of their owners' groups, in one query."""
    roles = Group.objects.filter(user=OuterRef("owner_id")).values("name")
    return ApiKey.objects.select_related("owner").annotate(owner_roles=ArraySubquery(roles))


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def issue_key(
    *,
    name: str,
    scopes: list[Scope],
    owner_id: int,
    who: str,
    now: datetime,
    tier: str = ApiKey.Tier.STANDARD,
    accounts: list[int] | None = None,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Create a key and return it with its text `prefix.secret`, which is never shown again.

    `accounts` None is all, [] none. Without `expires_at` it is valid for VALID_FOR.
    """
    secret = secrets.token_urlsafe(32)
    # One transaction: no key without its security event.
    with transaction.atomic():
        key = ApiKey.objects.create(
            name=name,
            prefix=f"pl{secrets.token_hex(6)}",
            digest=digest(secret),
            scopes=sorted(scope.value for scope in scopes),
            tier=tier,
            accounts=accounts,
            owner=User.objects.get(pk=owner_id),
            expires_at=expires_at or now + VALID_FOR,
        )
        record(Act.KEY_MADE, who=who, subject=key.prefix, after=_facts(key))
    return key, f"{key.prefix}.{secret}"


def change_key(*, key: ApiKey, fields: Collection[str], who: str) -> None:
    """Write these fields as they are on `key`; Postgres refuses it for a key that is revoked."""
    # One transaction: no change without its security event.
    with transaction.atomic():
        before = _facts(ApiKey.objects.select_related("owner").select_for_update(of=["self"]).get(pk=key.pk))
        key.save(update_fields=fields)
        was, becomes = changes(before, _facts(key))
        record(Act.KEY_CHANGED, who=who, subject=key.prefix, before=was, after=becomes)


def revoke_key(*, key: ApiKey, who: str, now: datetime) -> bool:
    """Revoke a key for ever; return whether it was not yet."""
    # One transaction: no revocation without its security event.
    with transaction.atomic():
        done = ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=now)
        if done:
            record(Act.KEY_REVOKED, who=who, subject=key.prefix, after={"revoked_at": now.isoformat()})
    return bool(done)


def _facts(key: ApiKey) -> dict[str, Any]:
    return {
        "name": key.name,
        "scopes": list(key.scopes),
        "tier": key.tier,
        "accounts": key.accounts,
        "owner": None if key.owner is None else key.owner.get_username(),
        "expires_at": key.expires_at.isoformat(),
    }


def find_key(text: str, *, now: datetime) -> ApiKey | None:
    """Return the usable key that `prefix.secret` names, else None; record that it was used, or refused.

    What names no key at all leaves no trace here: anybody can send that.
    """
    prefix, _, secret = text.partition(".")
    if not (prefix.isascii() and prefix.isalnum()):  # Postgres takes no NUL, for one
        return None
    key = keys_with_roles().filter(prefix=prefix).first()
    if key is None:
        return None
    refused = key.why_unusable(now=now) if key.matches(secret) else "wrong secret"
    if refused is not None:
        record_refusal(Act.KEY_REFUSED, who=f"key:{key.prefix}", subject=key.prefix, reason=refused)
        return None
    if key.last_used_at is None or now - key.last_used_at >= _USE_RECORDED_EVERY:
        # Asked for again: between the two a key may have been revoked, and Postgres refuses to change it.
        ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(last_used_at=now)
    return key
