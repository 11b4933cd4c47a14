"""System checks: wrong settings, each with an id and a hint."""

from __future__ import annotations

import os
from typing import Any

from cryptography.fernet import Fernet
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register


@register(Tags.security)
def credentials_keys(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    for position, key in enumerate(settings.CREDENTIALS_KEYS, start=1):
        try:
            Fernet(key)
        except (ValueError, TypeError):
            found.append(
                Error(
                    f"Key {position} in CREDENTIALS_KEYS is not a Fernet key.",
                    hint="Make one: python -c 'from cryptography.fernet import Fernet; "
                    "print(Fernet.generate_key().decode())'",
                    id="plumbline.E001",
                )
            )
    return found


@register(Tags.security, deploy=True)
def secrets_outside_the_data_directory(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    wanted = ("SECRET_KEY", "CREDENTIALS_KEYS", "DATABASE_URL", "REDIS_URL")
    missing = [name for name in wanted if not os.environ.get(name, "").strip()]
    if not missing:
        return []
    return [
        Warning(
            f"Not set: {', '.join(missing)}. The embedded services and generated secrets are for trying out.",
            hint="docs/configuration.md lists what production sets.",
            id="plumbline.W001",
        )
    ]


@register()
def pinging_faster_than_promised(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if settings.PRICE_STALENESS_THRESHOLD > 30:
        return []
    return [
        Warning(
            f"PRICE_STALENESS_THRESHOLD={settings.PRICE_STALENESS_THRESHOLD} is not above the 30 s after "
            "which a price is shown as stale: each stale price would be fetched over REST at once.",
            hint="Use a value above 30 (default 300).",
            id="plumbline.W002",
        )
    ]
