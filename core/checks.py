"""System checks: wrong settings, each with an id and a hint."""

from __future__ import annotations

import os
import ssl
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
    wanted = ("SECRET_KEY", "DATABASE_URL", "REDIS_URL")
    missing = [name for name in wanted if not os.environ.get(name, "").strip()]
    if settings.CREDENTIALS_KEY_IS_GENERATED:
        missing.append("CREDENTIALS_KEYS or CREDENTIALS_KEYS_FILE")
    if not missing:
        return []
    return [
        Warning(
            f"Not set: {', '.join(missing)}. The embedded services and generated secrets are for trying out.",
            hint="docs/configuration.md lists what production sets.",
            id="plumbline.W001",
        )
    ]


@register(Tags.security, deploy=True)
def encrypted_and_verified(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """What travels to Postgres and Redis is encrypted where it leaves the machine, for whom we know."""
    found: list[CheckMessage] = []
    database, redis = os.environ.get("DATABASE_URL", "").strip(), os.environ.get("REDIS_URL", "").strip()
    options = settings.DATABASES["default"]["OPTIONS"]
    if database and not settings.DATABASE_IS_HERE and options.get("sslmode") != "verify-full":
        found.append(
            Error(
                f"DATABASE_URL leaves this machine with sslmode={options.get('sslmode', 'prefer')}: "
                "whoever sits between may read it, and answer.",
                hint="Add ?sslmode=verify-full&sslrootcert=/path/to/ca.pem (or sslrootcert=system).",
                id="plumbline.E002",
            )
        )
    tls = settings.CELERY_BROKER_USE_SSL
    verified = tls and tls["ssl_cert_reqs"] == ssl.CERT_REQUIRED and tls["ssl_check_hostname"]
    if redis and not settings.REDIS_IS_HERE and not verified:
        found.append(
            Error(
                "REDIS_URL leaves this machine without TLS, or does not verify whom it reaches.",
                hint="Use rediss:// (with ?ssl_ca_certs=/path/to/ca.pem for an authority of your own).",
                id="plumbline.E003",
            )
        )
    return found


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
