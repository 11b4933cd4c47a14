"""N2: a long and a short of equal size at a venue with hedge mode.

Hyperliquid has none, so the venue is a server on this machine that speaks Bybit's v5; everything on this
side of the socket is the product's.
"""

import pytest

from positions.models import Position
from positions.sync import connections
from positions.venues.base import Credentials, Environment
from tests.reconciliation.bybit_server import LONG, SHORT, Bybit, Held
from tests.reconciliation.stage import booked, leg, wallet

pytestmark = pytest.mark.django_db
ETH = "ETH/USDT:USDT"


@pytest.fixture
def bybit(stage):
    found = Bybit(stage.now)
    found.base = found.start()
    yield found
    found.stop()


@pytest.fixture
def hedge(stage, bybit):
    """An account at it, connected through the product's door with a key."""
    account = connections.add_account(
        label="hedge", venue="bybit", environment=Environment.SIMULATED, base_url=bybit.base, now=stage.now(),
        who="ada",
        credentials=Credentials(api_key="key", secret="of-a-test"),
    )  # fmt: skip
    stage.reconcile(account, trigger="start")
    return account


def sizes(account):
    rows = Position.objects.filter(account=account).exclude(quantity=0)
    return {row.leg: row.quantity for row in rows}


def statuses(account):
    return {name: leg(account, ETH, name).status for name in ("long", "short")}


class TestAHedge:
    def test_of_equal_sizes_stays_two_legs(self, stage, bybit, hedge):
        """N2."""
        bybit.trade(LONG, "Buy", "2", "1000")
        stage.wait(1)
        bybit.trade(SHORT, "Sell", "2", "1010")
        stage.wait(20)
        run = stage.reconcile(hedge, trigger="demand")
        assert sizes(hedge) == {"long": 2, "short": -2}, (run.problem, run.legs)
        assert statuses(hedge) == {"long": "SYNCED", "short": "SYNCED"}, (run.problem, run.legs)
        assert run.complete, run.problem
        certified = {line["leg"]: line for line in run.legs}
        assert [certified[name]["subject"] for name in ("long", "short")] == [
            "ETH-PERP long",
            "ETH-PERP short",
        ]
        stated = {
            name: (line["venue"]["quantity"], line["venue"]["entry_price"])
            for name, line in certified.items()
        }
        assert stated == {"long": ("2", "1000"), "short": ("-2", "1010")}
        assert wallet(hedge, "unified", "USDT").status == "SYNCED"  # no profit was made of the difference
        assert not booked(hedge, kind="fill").filter(leg="net").exists()

        before = booked(hedge).count()
        connections.forget(hedge.pk)
        stage.wait(60)
        assert stage.reconcile(hedge, trigger="start").complete
        assert booked(hedge).count() == before
        assert sizes(hedge) == {"long": 2, "short": -2}

        bybit.trade(SHORT, "Buy", "2", "990")  # buys the short back: nothing is added to the long
        stage.wait(60)
        run = stage.reconcile(hedge, trigger="demand")
        assert sizes(hedge) == {"long": 2}, run.legs
        assert wallet(hedge, "unified", "USDT").status == "SYNCED", run.balances

    def test_that_loses_a_leg_at_the_venue_drifts_in_that_leg_alone(self, stage, bybit, hedge):
        """N2."""
        bybit.trade(LONG, "Buy", "2", "1000")
        bybit.trade(SHORT, "Sell", "2", "1010")
        stage.wait(20)
        stage.reconcile(hedge, trigger="demand")
        bybit.sides[SHORT] = Held()
        stage.wait(60)
        stage.reconcile(hedge)
        assert statuses(hedge) == {"long": "SYNCED", "short": "DRIFT"}
        assert sizes(hedge) == {"long": 2, "short": -2}
