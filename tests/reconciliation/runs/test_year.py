"""An account that traded for a year before it was connected: its book is whole, its money exact."""

from datetime import timedelta

import pytest

from positions.models import Entry
from positions.sync import poll
from positions.venues.transport.event_loop import run
from tests.reconciliation.stage import D, booked, held, leg, wallet

pytestmark = pytest.mark.django_db
MONTH = timedelta(days=365) / 12


def a_month_passes(stage):
    """Nothing happens at the venue meanwhile, so none of its steps is taken."""

    async def skip():
        stage.simulation.resume(int(MONTH.total_seconds() * 1000))
        stage.ahead += MONTH

    run(skip())
    stage.wait(1)


@pytest.fixture
def veteran(stage):
    """Twelve months of trades, funding and transfers; then the connection."""
    for month in range(12):
        stage.trade("ETH", "sell" if month % 3 == 2 else "buy", "0.5")
        stage.do("funding")
        if month % 4 == 0:
            stage.do("deposit", amount="101.07")
            stage.do("withdraw", amount="20")
        a_month_passes(stage)
    account = stage.account()
    stage.reconcile(account, trigger="start")
    return account


class TestAYearBeforeTheConnection:
    def test_is_booked_whole_and_the_equity_identity_is_exact(self, stage, veteran):
        fills = booked(veteran, kind="fill").order_by("at")
        assert (fills.last().at - fills.first().at).days >= 330
        assert held(veteran) == stage.truth()
        assert not booked(veteran, cause="inferred").exists()
        assert (leg(veteran).status, wallet(veteran).status) == ("SYNCED", "SYNCED")
        stage.trade("ETH", "buy", "0.3")
        stage.do("funding")
        stage.wait(60)
        certificate = stage.reconcile(veteran, trigger="demand")
        assert certificate.complete, certificate.problem
        report = poll.report(account=veteran, now=stage.now())
        [perp] = [row.total for row in report.balances if row.wallet == "perp"]
        cash = Entry.objects.filter(account=veteran, wallet="perp", at__gt=opened_at(veteran))
        moved = sum(
            (entry.amount if entry.kind == "funding" else -entry.fee)
            for entry in cash.filter(kind__in=["fill", "funding"])
        )
        assert abs(opening(veteran) + moved - perp) < D("0.00001")


def opened_at(account):
    return booked(account, kind="transfer", cause="opening", wallet="perp").get().at


def opening(account):
    return booked(account, kind="transfer", cause="opening", wallet="perp").get().amount
