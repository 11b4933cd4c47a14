"""The four days of tests/portfolio/pnl/story.py beside the position of the API's book."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from django.utils import timezone

from positions.models import Position
from tests.portfolio.market import Market
from tests.portfolio.pnl import story


@pytest.fixture
def days(market: Market, position: Position, now: datetime) -> Market:
    """The account, with its days kept up to now."""
    story.live(market, now=now)
    story.keep(market, now=timezone.now())
    return market


def of_others(ask: Any, api_key: Any, other: Market, **query: Any) -> Any:
    """Ask with a key that sees another account only."""
    return ask(api_key(accounts=[other.account.pk]), query=query or None)
