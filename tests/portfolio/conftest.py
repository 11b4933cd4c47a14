from datetime import datetime

import pytest

from tests.portfolio.market import Market


@pytest.fixture
def market(db: None, now: datetime) -> Market:
    return Market(now=now)
