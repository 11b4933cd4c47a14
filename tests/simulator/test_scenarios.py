"""What a simulated venue goes through."""

import json

import pytest

from simulator.engine.simulation import Phase, regime_at
from simulator.scenarios import SCENARIOS, read_scenario
from simulator.serving import Refused


class TestReadingAScenario:
    def test_knows_some_by_name(self):
        assert read_scenario("crash")["phases"] == SCENARIOS["crash"]
        assert read_scenario("calm") == {"phases": (), "faults": []}

    def test_reads_a_file(self, tmp_path):
        path = tmp_path / "storm.json"
        fault = {"at": 3, "kind": "cut"}
        path.write_text(
            json.dumps({"traders": 4, "phases": [{"regime": "crash", "seconds": 9}], "faults": [fault]})
        )
        scenario = read_scenario(str(path))
        assert scenario == {"traders": 4, "phases": (Phase("crash", 9),), "faults": [fault]}

    @pytest.mark.parametrize(
        "content", ["", "[]", '{"phases": [{}]}', '{"phases": [{"regime": "mooning"}]}', '{"phases": 3}']
    )
    def test_refuses_nonsense_with_a_reason(self, tmp_path, content):
        path = tmp_path / "storm.json"
        path.write_text(content)
        with pytest.raises(Refused, match="scenario"):
            read_scenario(str(path))


class TestTheRegimeAtATime:
    PHASES = (Phase("calm", 60), Phase("crash", 30), Phase("trend", 10))

    @pytest.mark.parametrize(
        ("seconds", "regime"),
        [(0, "calm"), (59, "calm"), (60, "crash"), (89, "crash"), (90, "trend"), (100, "calm")],
    )
    def test_is_that_of_the_phase(self, seconds, regime):
        assert regime_at(self.PHASES, seconds) == regime

    def test_a_phase_without_seconds_lasts(self):
        assert regime_at((Phase("crash"),), 10**9) == "crash"
