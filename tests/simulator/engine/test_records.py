"""A venue's past in little memory: what leaves memory is told again, word for word."""

import random
import sqlite3
from decimal import Decimal
from itertools import pairwise

import pytest

from simulator.engine.candles import KEPT_CANDLES, MINUTE, Candle, Candles
from simulator.engine.records import BLOCK, Archive, Unusable

NOON = 1_760_000_000_000
FIRST = NOON - NOON % MINUTE


def row(number, **more):
    return {"time": NOON + 10 * number, "coin": "BTC", "px": f"{97_000 + number}.5", "crossed": True} | more


def numbers(rows):
    return [(one["time"] - NOON) // 10 for one in rows]


@pytest.fixture
def archive():
    made = Archive()
    yield made
    made.close()


class TestRecords:
    def test_are_told_as_they_were_filed(self, archive):
        kept = archive.records(10_000)
        filed = [row(n, liquidation={"markPx": "1.0"} if n % 7 else None) for n in range(500)]
        for one in filed:
            kept.append(one)
        assert list(kept) == filed
        assert list(reversed(kept)) == filed[::-1]
        assert (kept[-1], kept[-400], kept[3], len(kept)) == (filed[-1], filed[-400], filed[3], 500)
        assert kept.newest(70) == filed[-70:]

    def test_leave_memory_but_for_the_last(self, archive):
        kept = archive.records(10_000)
        for n in range(5_000):
            kept.append(row(n))
        assert len(kept.recent) < 2 * BLOCK

    @pytest.mark.parametrize("most", [200, 300])
    def test_are_the_newest_only(self, archive, most):
        kept = archive.records(most)
        for n in range(1_000):
            kept.append(row(n))
        assert numbers(kept) == list(range(1_000 - most, 1_000))
        assert numbers(reversed(kept)) == list(range(999, 999 - most, -1))
        assert len(kept) == most

    def test_are_found_by_time(self, archive):
        kept = archive.records(300)
        for n in range(1_000):
            kept.append(row(n))
        assert numbers(kept.between(NOON + 7_501, NOON + 8_000)) == list(range(751, 801))
        assert numbers(kept.between(0, NOON + 7_010)) == [700, 701]
        assert numbers(kept.between(NOON + 9_990, 2**62)) == [999]

    @pytest.mark.parametrize("seed", range(5))
    def test_that_come_late_go_where_they_belong(self, archive, seed):
        kept = archive.records(10_000)
        order = list(range(400))
        random.Random(seed).shuffle(order)
        for n in order:
            kept.insert(row(n))
        assert numbers(kept) == list(range(400))
        for n in range(400, 600):
            kept.insert(row(n))
        kept.insert(row(100, px="late"))
        assert kept[101]["px"] == "late", "after those of the same time"
        assert len(kept) == 601

    def test_that_are_dropped_leave_the_file(self, archive):
        kept = archive.records(300)
        for n in range(20_000):
            kept.append(row(n))
        [(blocks,)] = archive._sql().execute("SELECT count(*) FROM block")
        assert blocks <= 300 / BLOCK + 2


class TestAnArchiveBesideAState:
    def test_keeps_what_the_last_two_snapshots_need(self, tmp_path, archive):
        archive.attach(tmp_path / "history", fresh=True)
        kept = archive.records(300)
        for n in range(500):
            kept.append(row(n))
        archive.commit()
        needed = {block.id for block in kept.blocks}
        for turn in range(1, 3):
            assert needed <= self.ids(archive)
            for n in range(500):
                kept.append(row(500 * turn + n))
            archive.commit()
        archive.commit()
        assert not needed & self.ids(archive)

    @staticmethod
    def ids(archive):
        return {one for (one,) in archive._sql().execute("SELECT id FROM block")}

    def test_is_refused_to_a_second_venue(self, tmp_path, archive):
        archive.attach(tmp_path / "history", fresh=True)
        with pytest.raises(Unusable, match="does another venue run on this state"):
            Archive().attach(tmp_path / "history", fresh=False)

    def test_is_readable_by_its_owner_only(self, tmp_path, archive):
        archive.attach(tmp_path / "history", fresh=True)
        assert (tmp_path / "history").stat().st_mode & 0o777 == 0o600

    def test_that_is_damaged_is_set_aside_and_the_rest_is_told(self, tmp_path, archive, capsys):
        path = tmp_path / "history"
        archive.attach(path, fresh=True)
        kept = archive.records(10_000)
        for n in range(500):
            kept.append(row(n))
        archive.commit()
        archive.close()
        path.write_bytes(b"junk" * 5_000)
        archive.attach(path, fresh=False)
        assert numbers(kept) == list(range(500 - len(kept), 500))
        assert 0 < len(kept) < 2 * BLOCK
        kept.append(row(500))
        told = capsys.readouterr().err
        assert "cannot be read" in told
        assert f"{500 - len(kept) + 1} old rows are gone" in told
        (aside,) = tmp_path.glob("history.damaged-*")
        assert aside.read_bytes().startswith(b"junk")
        with sqlite3.connect(path) as again:
            assert again.execute("PRAGMA quick_check").fetchall() == [("ok",)]


class TestCandles:
    def test_come_back_as_they_were(self):
        kept = Candles(price_decimals=4, size_decimals=2)
        rng = random.Random(1)
        made = []
        for n in range(100):
            candle = kept.current(NOON + n * MINUTE, Decimal(100 + n))
            candle.extend(candle.open + rng.randint(-5, 5))
            candle.volume += rng.randint(0, 900)
            candle.trades += 1
            made.append(candle)
        assert list(kept.since(0)) == made
        assert list(kept.since(made[97].time)) == made[97:]
        assert kept.first() == made[0]

    def test_are_at_most_5000_with_the_past_before_the_first(self):
        kept = Candles(price_decimals=1, size_decimals=1)
        for n in range(10):
            kept.current(NOON + n * MINUTE, Decimal(7))
        kept.put_before([Candle(FIRST - n * MINUTE, *[Decimal(1)] * 4) for n in range(6_000, 0, -1)])
        every = list(kept.since(0))
        assert len(every) == KEPT_CANDLES
        assert all(b.time - a.time == MINUTE for a, b in pairwise(every))
        assert every[-1].time == FIRST + 9 * MINUTE
