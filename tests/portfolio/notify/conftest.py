from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from portfolio.notify.email import SMTP_BACKEND
from positions.models import Account
from tests.portfolio.notify.postbox import Postbox, Server
from tests.portfolio.notify.stage import Stage


@pytest.fixture
def account(db: None, now: datetime) -> Account:
    return Account.objects.create(label="main", venue="hyperliquid", environment="live", created_at=now)


@pytest.fixture
def stage(account: Account, now: datetime) -> Stage:
    return Stage(now, account)


@pytest.fixture
def to_smtp(settings: Any) -> Any:
    """Let mail leave to a server on a port of this machine."""

    def point(port: int, **fields: Any) -> None:
        settings.EMAIL_BACKEND = SMTP_BACKEND
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port
        settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = ""
        settings.EMAIL_USE_TLS, settings.EMAIL_USE_SSL = False, False
        settings.EMAIL_TIMEOUT = 2
        settings.DEFAULT_FROM_EMAIL = "Plumbline <plumbline@desk.example>"
        settings.PUBLIC_URL = "https://plumbline.example"
        for name, value in fields.items():
            setattr(settings, name, value)

    return point


@pytest.fixture
def postbox(to_smtp: Any) -> Iterator[Postbox]:
    """A server that accepts everything, to which mail leaves."""
    found = Postbox()
    server = Server(found)
    server.start()
    to_smtp(server.port)
    yield found
    server.stop()
