"""A venue that was killed tells the same past."""

import pytest

from positions.venues.simulator.engine.persistence import LONGEST_REPLAY, BadSnapshot, Keeper, load
from positions.venues.simulator.engine.simulation import Simulation

NOON = 1_760_000_000_000


def started(seconds, **options):
    simulation = Simulation(seed=9, now=NOON, traders=6, speed=10, **options)
    simulation.advance(NOON + seconds * 1000)
    return simulation


def told(simulation):
    """Everything that the users have been told."""
    return [list(rows) for one in simulation.traders for rows in (one.account.fills, one.account.fundings)]


def killed(simulation):
    """What it had told when its process died: the archive's open transaction goes with it."""
    past = told(simulation)
    simulation.archive.close()
    return past


class TestLoad:
    def test_nothing_kept_is_none(self, tmp_path):
        assert load(tmp_path / "none", Simulation, now=NOON) is None

    def test_a_kill_after_the_snapshot_loses_nothing(self, tmp_path):
        path = tmp_path / "deep" / "state"
        running = started(20)
        Keeper(running, path).save()
        running.advance(NOON + 60_000)
        before = killed(running)
        again = load(path, Simulation, now=NOON + 60_000)
        assert told(again) == before
        assert again.exchange.imbalance() == {}
        assert sum(map(len, told(again))) > 50

    def test_after_a_long_absence_the_venue_was_halted_and_has_forgotten_nothing(self, tmp_path):
        path = tmp_path / "state"
        running = started(5)
        Keeper(running, path).save()
        running.advance(NOON + 20_000)
        past = killed(running)
        now = NOON + 3_600_000
        again = load(path, Simulation, now=now)
        for before, after in zip(past, told(again), strict=True):
            assert after[: len(before)] == before
        last = max(row["time"] for rows in told(again) for row in rows)
        assert last <= NOON + 5_000 + LONGEST_REPLAY
        assert 0 <= now - again.clock < 250
        again.advance(now + 30_000)
        assert max(row["time"] for rows in told(again) for row in rows) > now
        assert again.exchange.imbalance() == {}

    @pytest.mark.parametrize("content", [b"", b"junk", b"\x80\x05K\x01."])
    def test_a_damaged_file_says_what_to_do(self, tmp_path, content):
        path = tmp_path / "state"
        path.write_bytes(content)
        with pytest.raises(BadSnapshot, match="bin/demo --reset"):
            load(path, Simulation, now=NOON)

    def test_is_readable_by_its_owner_only(self, tmp_path):
        path = tmp_path / "state"
        Keeper(started(1), path).save()
        assert path.stat().st_mode & 0o777 == 0o600
