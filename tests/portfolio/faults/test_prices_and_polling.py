"""Prices on their way to a board, and a venue that streams nothing, on real processes."""

import json
import time
from decimal import Decimal

import pytest

from tests.portfolio.faults.rig import LONG, Venue, until
from tests.portfolio.faults.trading import promised

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]


class Marks:
    """What the stream of marks told, from now on."""

    def __init__(self, rig):
        self.reader, self.last = rig.redis, "$"

    def next(self):
        """The rows of the next frame, and when Redis took it (seconds)."""
        deadline = time.monotonic() + LONG
        while not (answer := self.reader.xread({"plumbline:marks": self.last}, block=1000)):
            assert time.monotonic() < deadline, "no frame of marks"
        [[_, frames]] = answer
        self.last, fields = frames[0]
        return json.loads(fields[b"frame"])["marks"], int(self.last.split(b"-")[0]) / 1000

    def until(self, instrument, is_it):
        deadline = time.monotonic() + LONG
        while time.monotonic() < deadline:
            for row in self.next()[0]:
                if row["instrument"] == instrument and is_it(row):
                    return row
        raise AssertionError("the price was not told")


class TestPrices:
    def test_of_what_is_held_are_told_at_most_ten_times_a_second_and_written(self, rig, venue, one_copy):
        user = venue.users()[0]
        account = rig.account(venue, user, "holder")
        until(lambda: rig.is_live(account), why=rig.told)
        venue.trade(user, "1")
        until(lambda: "ETH" in rig.sizes(account), why=rig.told)
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
        until(lambda: rig.query(written, eth), why=rig.told)


class TestAVenueThatStreamsNothing:
    @pytest.fixture
    def coinbase(self, rig):
        venue = Venue(rig.data_dir / "venue.log", "--traders", "1", "--speed", "4", venue="coinbase")
        yield venue
        venue.stop()

    def test_is_asked_again_and_again_and_its_coins_are_priced(self, rig, coinbase, one_copy):
        user = coinbase.users()[0]
        account = rig.account(coinbase, user, "spot")
        until(lambda: rig.is_live(account), why=lambda: str(rig.feed(account)))
        assert rig.feed(account)["streams"] is False

        def traded():
            before = rig.fills(account)
            coinbase.cause(kind="trade", user=user, coin="ETH-USD", side="buy", size="0.5")
            return until(lambda: rig.fills(account) > before, why=rig.told)

        promised(traded, limit=5)  # 2 s on a quiet machine
        until(lambda: rig.fills(account) == coinbase.ask(f"/sim/truth?user={user}")["fills"], why=rig.told)
        [[coin]] = rig.query(
            "SELECT id FROM positions_instrument WHERE venue_symbol = 'coin:ETH' AND base_url = %s",
            coinbase.url,
        )
        assert Decimal(Marks(rig).until(coin, lambda row: row["price"] is not None)["price"]) > 0
