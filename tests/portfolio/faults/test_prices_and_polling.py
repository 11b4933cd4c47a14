"""Prices on their way to a board, and a venue that streams nothing, on real processes."""

import json
import time
from decimal import Decimal

import pytest

from tests.portfolio.faults.rig import Venue, until

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]


class Marks:
    """What the stream of marks told, from now on."""

    def __init__(self, rig):
        self.reader, self.last = rig.redis, "$"

    def next(self):
        """The rows of the next frame, and when it came."""
        answer = self.reader.xread({"plumbline:marks": self.last}, block=4000)
        assert answer, "no frame of marks within 4 s"
        [[_, frames]] = answer
        self.last, fields = frames[0]
        return json.loads(fields[b"frame"])["marks"], time.monotonic()

    def until(self, instrument, is_it):
        deadline = time.monotonic() + 8
        while time.monotonic() < deadline:
            for row in self.next()[0]:
                if row["instrument"] == instrument and is_it(row):
                    return row
        raise AssertionError("the price was not told")


class TestPrices:
    def test_of_what_is_held_are_told_at_most_ten_times_a_second_and_written(self, rig, venue, one_copy):
        user = venue.users()[0]
        account = rig.account(venue, user, "holder")
        until(lambda: rig.is_live(account), 30)
        venue.trade(user, "1")
        until(lambda: "ETH" in rig.sizes(account), 10)
        [[eth]] = rig.query(
            "SELECT id FROM positions_instrument WHERE venue_symbol = 'ETH' AND base_url = %s", venue.url
        )
        marks = Marks(rig)
        row = marks.until(eth, lambda row: row["freshness"] == "fresh")
        assert Decimal(row["price"]) > 0
        assert row["source"] == "mid"
        came, told = [], set()
        for _ in range(5):
            rows, at = marks.next()
            came.append(at)
            told |= {row["instrument"] for row in rows}
        traded = {pk for (pk,) in rig.query("SELECT DISTINCT instrument_id FROM positions_position")}
        assert told <= traded, "of some 20 markets only those that somebody holds"
        assert came[-1] - came[0] >= 0.3, "coalesced"
        written = "SELECT price FROM positions_mark WHERE instrument_id = %s"
        until(lambda: rig.query(written, eth), 6)


class TestAVenueThatStreamsNothing:
    @pytest.fixture
    def coinbase(self, rig):
        venue = Venue(rig.data_dir / "venue.log", "--traders", "1", "--speed", "4", venue="coinbase")
        yield venue
        venue.stop()

    def test_is_asked_again_and_again_and_its_coins_are_priced(self, rig, coinbase, one_copy):
        user = coinbase.users()[0]
        account = rig.account(coinbase, user, "spot")
        until(lambda: rig.is_live(account), 30, why=lambda: str(rig.feed(account)))
        assert rig.feed(account)["streams"] is False
        before = rig.fills(account)
        coinbase.cause(kind="trade", user=user, coin="ETH-USD", side="buy", size="0.5")
        took = until(lambda: rig.fills(account) > before, 5)
        assert took < 4, "said to be within 2 s; the machine is shared"
        until(lambda: rig.fills(account) == coinbase.ask(f"/sim/truth?user={user}")["fills"], 10)
        [[coin]] = rig.query(
            "SELECT id FROM positions_instrument WHERE venue_symbol = 'coin:ETH' AND base_url = %s",
            coinbase.url,
        )
        assert Decimal(Marks(rig).until(coin, lambda row: row["price"] is not None)["price"]) > 0
