from datetime import datetime

import pytest

from tests.portfolio.live.hub_stage import book, hub
from tests.portfolio.market import Market

__all__ = ["book", "hub"]


@pytest.fixture
def market(db: None, now: datetime) -> Market:
    return Market(now=now)
