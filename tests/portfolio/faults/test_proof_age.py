"""A proof is shown with its age within 10 s of the venue's last word, and as of now once that is back."""

import json
import urllib.request

import pytest

from tests.portfolio.faults.rig import until
from tests.portfolio.faults.trading import promised

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]

SILENT = {"kind": "silence"}


def positions(rig, key, account):
    """What the API says of an account's open positions."""
    url = f"{rig.webs()[0].url}/api/v1/positions/active?account={account}"
    with urllib.request.urlopen(urllib.request.Request(url, headers={"X-API-Key": key}), timeout=20) as said:
        return json.load(said)["items"]


class TestALegThatWasProven:
    @pytest.mark.parametrize(
        "faults",
        [
            [SILENT, {"kind": "status", "status": 429}],
            [SILENT, {"kind": "status", "status": 502}],
            [SILENT, {"kind": "timeout"}],
            [SILENT, {"kind": "cut", "hard": True}],
        ],
        ids=["429", "502", "hangs", "cut"],
    )
    def test_is_grey_with_its_age_while_the_venue_does_not_answer(
        self, rig, venue, one_copy, worker, trading, watching, faults
    ):
        account, key = trading.accounts[0], rig.api_key()
        trading.until_live()
        venue.trade(trading.users[0], "0.5")
        venue.pause()

        def rows():
            shown = [row for row in watching.screens["named"].rows.values() if row["account_id"] == account]
            return [row for row in shown if row["name"] == "ETH-PERP"]

        def all_read(label):
            return bool(rows()) and all(row["proof_label"].startswith(label) for row in rows())

        def why():
            return f"{[(row['proof_label'], row['feed']) for row in rows()]} {rig.feed(account)} {rig.told()}"

        until(lambda: all_read("Synced") and not all_read("Synced at"), 150, why=why)

        def fails():
            for fault in faults:
                venue.cause(**fault)
            return until(lambda: all_read("Synced at "), why=why)

        promised(fails, limit=10)
        held = [one for one in positions(rig, key, account) if one["symbol"] == "ETH/USDC:USDC"]
        assert held
        for one in held:
            assert one["feed"] in ("stale", "down", "backfilling")
            assert one["proof_at"] is not None
        venue.clear()
        until(lambda: all_read("Synced") and not all_read("Synced at"), 150, why=why)
        assert {one["feed"] for one in positions(rig, key, account)} == {"live"}
