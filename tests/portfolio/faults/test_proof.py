"""A stream that disagrees with the book has it proven: a real stream, a real worker, a venue that lies."""

import pytest

from tests.portfolio.faults.rig import until
from tests.portfolio.faults.trading import promised, say

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]


def triggers(rig, account):
    return [
        trigger
        for (trigger,) in rig.query(
            "SELECT trigger FROM reconciliation_run WHERE account_id = %s AND finished_at IS NOT NULL",
            account,
        )
    ]


def status(rig, account, coin):
    rows = rig.query(
        "SELECT v.status FROM reconciliation_verdict v JOIN positions_instrument i ON i.id = v.instrument_id"
        " WHERE v.account_id = %s AND i.venue_symbol = %s",
        account, coin,
    )  # fmt: skip
    return rows[0][0] if rows else None


class TestAnAccount:
    @pytest.fixture(autouse=True)
    def nothing_withheld_afterwards(self, venue):
        yield
        venue.cause(kind="release")

    def test_is_proven_when_its_stream_starts_and_in_seconds_when_a_fill_is_withheld(
        self, rig, venue, one_copy, worker, trading
    ):
        account, user = trading.accounts[0], trading.users[0]
        trading.until_live()
        until(lambda: "start" in triggers(rig, account), why=rig.told)
        venue.pause()
        coins = iter(["ETH", "BTC", "SOL"])

        def withheld():
            coin = next(coins)
            before = rig.fills(account)
            venue.trade(user, "0.5", coin=coin)
            until(lambda: rig.fills(account) > before, why=rig.told)
            venue.cause(kind="withhold", what="fill", user=user, count=1)
            venue.trade(user, "0.25", coin=coin)
            took = until(lambda: status(rig, account, coin) in ("DRIFT", "FAILED"), why=rig.told)
            say(f"a fill withheld: {status(rig, account, coin)} after {took:.1f} s")
            return took

        promised(withheld, limit=30)  # 5 to 7 s on a quiet machine; bin/bench reconcile measures it
        until(lambda: "targeted" in triggers(rig, account), why=rig.told)
        assert len(triggers(rig, account)) <= 8, "asked for, not stormed"
