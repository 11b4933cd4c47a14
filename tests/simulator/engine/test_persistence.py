"""A venue that was killed tells the same past."""

import pickle

import pytest

from simulator.engine.persistence import FORMAT, LONGEST_REPLAY, BadSnapshot, Keeper, load, previous_of
from simulator.engine.simulation import Simulation

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


DAMAGED = pytest.mark.parametrize("content", [b"", b"junk", b"\x80\x05K\x01."])


class TestLoadingASnapshot:
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

    @DAMAGED
    def test_a_damaged_file_is_set_aside_and_the_one_before_tells_the_same_past(
        self, tmp_path, content, capsys
    ):
        path = tmp_path / "state"
        running = started(20)
        keeper = Keeper(running, path)
        keeper.save()
        running.advance(NOON + 35_000)
        keeper.save()
        running.advance(NOON + 50_000)
        before = killed(running)
        path.write_bytes(content)
        again = load(path, Simulation, now=NOON + 50_000)
        assert told(again) == before
        (aside,) = tmp_path.glob("state.damaged-*")
        assert aside.read_bytes() == content
        assert f"it is now {aside}" in capsys.readouterr().err
        Keeper(again, path).save()
        past = killed(again)
        assert told(load(path, Simulation, now=NOON + 50_000)) == past

    def test_a_kill_between_the_two_renames_loses_nothing(self, tmp_path):
        path = tmp_path / "state"
        running = started(20)
        Keeper(running, path).save()
        running.advance(NOON + 40_000)
        before = killed(running)
        path.rename(previous_of(path))
        assert told(load(path, Simulation, now=NOON + 40_000)) == before

    @DAMAGED
    def test_two_damaged_files_end_it_and_stay_as_they_are(self, tmp_path, content):
        path = tmp_path / "state"
        path.write_bytes(content)
        previous_of(path).write_bytes(b"junk")
        for _ in range(2):
            with pytest.raises(BadSnapshot, match="bin/demo --reset"):
                load(path, Simulation, now=NOON)
        assert {one.name for one in tmp_path.iterdir()} == {"state", "state.previous"}

    def test_a_file_of_another_version_is_no_damage(self, tmp_path):
        path = tmp_path / "state"
        path.write_bytes(pickle.dumps((1, None)))
        with pytest.raises(BadSnapshot, match="another version"):
            load(path, Simulation, now=NOON)
        assert path.exists()

    def test_a_snapshot_written_before_the_package_moved_is_read(self, tmp_path):
        path = tmp_path / "state"
        running = started(20)
        Keeper(running, path).save()
        # Protocol 3 writes the names of classes as plain lines.
        plain = pickle.dumps((FORMAT, running), protocol=3)
        earlier = plain.replace(b"csimulator.", b"cpositions.venues.simulator.")
        assert earlier != plain
        before = killed(running)
        path.write_bytes(earlier)
        assert told(load(path, Simulation, now=running.clock)) == before

    def test_is_readable_by_its_owner_only(self, tmp_path):
        path = tmp_path / "state"
        Keeper(started(1), path).save()
        assert path.stat().st_mode & 0o777 == 0o600
