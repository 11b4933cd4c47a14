"""The portfolio's tables."""

from portfolio.models.history import Snapshot

__all__ = ["Snapshot"]
