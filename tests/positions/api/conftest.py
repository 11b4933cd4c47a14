"""A book with open and ended positions on two accounts, and keys that see one or both."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from django.utils import timezone

from core.security.scopes import Scope
from positions.models import Position
from tests.portfolio.market import Market


@pytest.fixture
def now() -> datetime:
    """Requests happen now."""
    return timezone.now()


@pytest.fixture
def market(db: None, now: datetime) -> Market:
    return Market(now=now)


@pytest.fixture
def other(db: None, now: datetime) -> Market:
    """Somebody else's account on the same venue."""
    return Market(now=now, label="other")


@pytest.fixture
def position(market: Market, now: datetime) -> Position:
    """Long 2 BTC at 60000, marked at 61000, liquidated at 45000."""
    from tests.portfolio.market import BTC

    market.fill("buy", "2", "60000", now=now)
    market.mark(BTC, "61000", now=now)
    market.state(BTC, now=now, leverage="3", liquidation_price="45000")
    return Position.objects.get(account=market.account)


@pytest.fixture
def reader(api_key: Any) -> dict[str, str]:
    return api_key(Scope.READ)


@pytest.fixture
def corrector(api_key: Any) -> dict[str, str]:
    return api_key(Scope.READ, Scope.CORRECT)


@pytest.fixture
def writer(api_key: Any) -> dict[str, str]:
    return api_key(Scope.READ, Scope.WRITE)
