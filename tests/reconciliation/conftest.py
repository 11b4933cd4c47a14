"""The stage of the examples: a simulated venue, and an account that is connected and proven."""

from __future__ import annotations

import pytest

from tests.reconciliation.stage import OTHER, USER, D, booked, cases, held, leg, staged, wallet

__all__ = ["OTHER", "USER", "D", "booked", "cases", "held", "leg", "wallet"]


@pytest.fixture
def stage(db):
    with staged() as found:
        yield found


@pytest.fixture
def account(stage):
    """USER's account, connected and proven once."""
    made = stage.account()
    stage.reconcile(made, trigger="start")
    return made


@pytest.fixture
def long3(stage, account):
    """3 ETH long, proven."""
    stage.trade("ETH", "buy", 3)
    stage.minutes(account)
    assert leg(account).status == "SYNCED"
    return account
