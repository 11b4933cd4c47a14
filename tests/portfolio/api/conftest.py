"""The same book and keys as the ledger's endpoints."""

from tests.portfolio.api.days import days
from tests.positions.api.conftest import corrector, market, now, other, position, reader, writer

__all__ = ["corrector", "days", "market", "now", "other", "position", "reader", "writer"]
