"""API keys for tests: owned by somebody who may do everything, unless told otherwise."""

from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone

from core import models
from core.models import ApiKey
from core.security.scopes import Scope


def owner() -> User:
    """Return the person who owns the tests' keys."""
    found, _ = User.objects.get_or_create(username="keeper", defaults={"is_superuser": True})
    return found


def issue_key(
    *,
    name: str = "bot",
    scopes: list[Scope],
    owner_id: int | None = None,
    now: datetime | None = None,
    **fields: Any,
) -> tuple[ApiKey, str]:
    """Make a key as the product does."""
    return models.issue_key(
        name=name,
        scopes=scopes,
        owner_id=owner_id or owner().pk,
        who="test",
        now=now or timezone.now(),
        **fields,
    )
