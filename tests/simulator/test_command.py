"""The simulators by name: `manage.py simulate_venue` and `python -m simulator`."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from config.management.commands import simulate_venue
from simulator.command import VENUES, add_arguments
from simulator.hyperliquid import server
from simulator.serving import Refused

from .clients import free_port


def options(*arguments):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args([*arguments, "--port", "1"])


class TestTheCommand:
    def test_hands_its_options_to_the_simulator(self, monkeypatch):
        asked = []
        monkeypatch.setattr(simulate_venue, "run", asked.append)
        call_command(
            "simulate_venue", "--venue", "hyperliquid", "--port", "9", "--speed", "5", "--scenario", "crash"
        )
        (given,) = asked
        assert (given.venue, given.port, given.speed, given.scenario) == ("hyperliquid", 9, 5.0, "crash")
        assert given.allow_control is False

    def test_refuses_a_venue_that_is_not_there(self):
        with pytest.raises(CommandError, match="invalid choice"):
            call_command("simulate_venue", "--venue", "mtgox", "--port", "9")


class TestTheVault:
    def scenario(self, tmp_path, vault):
        path = tmp_path / "vault.json"
        path.write_text(json.dumps({"vault": vault}))
        return options("--venue", "hyperliquid", "--scenario", str(path))

    def test_owns_what_the_scenario_says(self, tmp_path, monkeypatch):
        monkeypatch.setattr(server, "application", lambda venue, **_: venue)
        venue = VENUES["hyperliquid"](self.scenario(tmp_path, 50_000))
        assert venue.exchange.backstop.cash == {"": 50_000}

    @pytest.mark.parametrize("vault", [-1, "much", "NaN", "Infinity", None])
    def test_refuses_what_is_no_amount(self, tmp_path, vault):
        with pytest.raises(Refused, match="vault"):
            VENUES["hyperliquid"](self.scenario(tmp_path, vault))


class TestEveryVenue:
    @pytest.mark.parametrize("venue", VENUES)
    async def test_is_built_from_the_defaults(self, venue):
        assert VENUES[venue](options("--venue", venue)) is not None

    @pytest.mark.parametrize(
        ("arguments", "complaint"),
        [
            (["--venue", "hyperliquid", "--speed", "0"], "speed"),
            (["--venue", "hyperliquid", "--traders", "-1"], "traders"),
            (["--venue", "coinbase", "--speed", "-2"], "speed"),
            (["--venue", "hyperliquid", "--scenario", "/no/such/file"], "cannot be read"),
            (["--venue", "hyperliquid", "--scenario", "SCENARIO"], "a regime is one of"),
            (["--venue", "coinbase", "--state", "STATE"], "bin/demo --reset"),
        ],
    )
    def test_told_nonsense_ends_with_one_line(self, tmp_path, arguments, complaint):
        (tmp_path / "scenario.json").write_text('{"phases": [{"regime": "mooning"}]}')
        (tmp_path / "state").write_bytes(b"junk")
        files = {"SCENARIO": str(tmp_path / "scenario.json"), "STATE": str(tmp_path / "state")}
        given = [files.get(argument, argument) for argument in arguments]
        command = [sys.executable, "-m", "simulator", *given, "--port", str(free_port())]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
        assert done.returncode == 2
        assert complaint in done.stderr
        assert len(done.stderr.splitlines()) == 1


class TestTheServerProcess:
    def test_imports_neither_django_nor_ccxt(self):
        program = (
            "import sys, simulator.command; "
            "print(sorted({'django', 'ccxt', 'celery', 'hyperliquid'} & set(sys.modules)))"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
        assert done.stdout.strip() == "[]"


ROOT = Path(__file__).parents[2]
