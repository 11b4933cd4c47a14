"""bin/demo as a newcomer meets it: real processes, really killed."""

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from config import demo
from config.embedded import Services
from config.servers import free_port

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]


class Demo:
    """A demo of its own: a data directory, a port, and what it printed."""

    def __init__(self, data_dir, port=None):
        self.data_dir, self.port = data_dir, port or free_port()
        self.log = data_dir.with_name(f"{data_dir.name}-{self.port}.out")
        self.process = None

    def start(self, *arguments):
        self.announced = self.log.read_text().count("Plumbline runs at") if self.log.exists() else 0
        outside = ("DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE")
        environment = {name: value for name, value in os.environ.items() if name not in outside}
        environment |= {"DATA_DIR": str(self.data_dir), "PORT": str(self.port), "LOG_LEVEL": "WARNING"}
        self.data_dir.mkdir(exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "config.demo", *arguments],
                cwd=ROOT, env=environment, stdout=log, stderr=log,
            )  # fmt: skip
        return self

    def said(self):
        return self.log.read_text()

    def until_ready(self):
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.said()
            # What a killed demo left behind may still answer: wait for this one's own word.
            if self.said().count("Plumbline runs at") > self.announced:
                with contextlib.suppress(OSError, urllib.error.URLError), self.get("/health/ready") as answer:
                    if answer.status == 200:
                        return self
            time.sleep(0.2)
        raise AssertionError(f"not ready in time:\n{self.said()}")

    def get(self, path, **headers):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers)
        return urllib.request.urlopen(request, timeout=5)

    def login(self):
        return json.loads((self.data_dir / "demo.json").read_text())

    def processes(self):
        return [p for p in psutil.process_iter() if p.pid != os.getpid() and demo._is_of(p, self.data_dir)]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(120)


@contextlib.contextmanager
def demo_in(folder):
    """A demo that is not started yet; whatever is left of it in the end is ended."""
    made = Demo(folder / "data")
    yield made
    if made.process and made.process.poll() is None:
        made.process.kill()
        made.process.wait()
    demo.end_leftovers(made.data_dir)
    services = Services(made.data_dir)
    services.valkey.stop()
    services.postgres.stop()


class Life:
    """A demo from its first start to its last stop. Keeps what is seen on the way for the tests to judge."""

    def __init__(self, running):
        self.running = running
        running.start().until_ready()
        self.port, self.printed, self.first = running.port, running.said(), running.login()
        self.mode = stat.S_IMODE((running.data_dir / "demo.json").stat().st_mode)
        with running.get("/api/v1/me", **{"X-API-Key": self.first["api_key"]}) as answer:
            self.me = json.load(answer)
        self.second = Demo(running.data_dir).start()
        self.second.process.wait(60)
        running.process.kill()
        running.process.wait()
        self.left_by_kill = running.processes()
        running.start().until_ready()
        self.after_kill = running.login()
        self.seconds_to_stop = self.stop()
        self.left_by_stop, self.services_left = running.processes(), self.services()
        running.start("--reset").until_ready()
        self.after_reset = running.login()
        self.stop()
        self.left_by_reset = running.processes()

    def stop(self):
        began = time.monotonic()
        self.running.stop()
        return time.monotonic() - began

    def services(self):
        services = Services(self.running.data_dir)
        return [one for one in (services.postgres.running(), services.valkey.running()) if one is not None]


@pytest.fixture(scope="module")
def life(tmp_path_factory):
    """One life for all: a start takes longer than anything that is looked at."""
    with demo_in(tmp_path_factory.mktemp("demo")) as running:
        yield Life(running)


class TestTheDemo:
    def test_tells_how_to_log_in_and_nobody_else(self, life):
        assert life.mode == 0o600
        assert life.first["url"] == f"http://127.0.0.1:{life.port}"
        assert life.first["password"] in life.printed
        assert "read" in life.me["scopes"]

    def test_recovers_from_kill_9_and_keeps_its_data(self, life):
        assert life.left_by_kill, "kill -9 of the parent leaves its children: the next start must cope"
        assert life.after_kill == life.first

    def test_leaves_nothing_behind_when_it_ends(self, life):
        assert life.left_by_stop == life.left_by_reset == []
        assert life.services_left == []

    def test_kills_what_does_not_end_within_3_seconds(self, life):
        """With HOLD_TIMES=1 on an idle machine: the whole is gone within 5 seconds."""
        assert demo.KILL_AFTER <= 3
        assert life.seconds_to_stop < 5 or os.environ.get("HOLD_TIMES") != "1"

    def test_starts_afresh_with_reset(self, life):
        assert life.after_reset["api_key"] != life.first["api_key"]


class TestASecondDemo:
    def test_on_the_same_data_points_to_the_first(self, life):
        assert life.second.process.returncode == 1
        assert f"already running at http://127.0.0.1:{life.port}" in life.second.said()

    def test_fails_with_the_port_that_is_taken(self, tmp_path):
        with demo_in(tmp_path) as running, socket.socket() as thief:
            thief.bind(("127.0.0.1", running.port))
            thief.listen()
            assert running.start().process.wait(60) == 1
            [line] = running.said().splitlines()
            assert f"port {running.port} is taken" in line
            assert f"PORT={running.port + 1} bin/demo" in line

    @pytest.mark.parametrize("port", ["eighty", "0", "65536", "-1", "٣"])
    def test_fails_for_what_is_no_port(self, tmp_path, port):
        wrong = Demo(tmp_path / "data", port=port).start()
        assert wrong.process.wait(60) == 1
        assert wrong.said() == f"bin/demo: PORT={port!r}: set it to a number from 1 to 65535\n"


class TestSetup:
    def test_names_the_python_it_needs(self, tmp_path):
        copy = tmp_path / "clone"
        (copy / "bin").mkdir(parents=True)
        (copy / "bin" / "setup").write_text((ROOT / "bin" / "setup").read_text())
        old = tmp_path / "path"
        old.mkdir()
        (old / "python3").write_text(
            '#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2 && exit 0\nexit 1\n'
        )
        (old / "python3").chmod(0o755)
        for tool in ("sh", "dirname", "cat", "rm", "id"):
            (old / tool).symlink_to(f"/bin/{tool}" if Path(f"/bin/{tool}").exists() else f"/usr/bin/{tool}")
        answer = subprocess.run(
            ["/bin/sh", "bin/setup"],
            cwd=copy,
            env={"PATH": str(old)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert answer.returncode != 0
        assert "Python 3.11 or newer is needed (found: Python 3.9.2)" in answer.stderr
        assert "PYTHON=" in answer.stderr


class TestTheProcfile:
    def test_lets_no_client_choose_its_own_address(self):
        """Daphne's --proxy-headers believes X-Forwarded-For from anybody; core.http.middleware decides."""
        assert "--proxy-headers" not in (ROOT / "Procfile").read_text()
