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
pytestmark = [pytest.mark.processes, pytest.mark.timeout(240)]


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
        deadline = time.monotonic() + 90
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
        self.process.wait(30)


@pytest.fixture
def running(tmp_path):
    made = Demo(tmp_path / "data")
    yield made
    if made.process and made.process.poll() is None:
        made.process.kill()
        made.process.wait()
    demo.end_leftovers(made.data_dir)
    services = Services(made.data_dir)
    services.valkey.stop()
    services.postgres.stop()


class TestTheDemo:
    def test_runs_ends_within_5_s_and_leaves_nothing_behind(self, running):
        running.start().until_ready()
        login = running.login()
        assert stat.S_IMODE((running.data_dir / "demo.json").stat().st_mode) == 0o600
        assert login["url"] == f"http://127.0.0.1:{running.port}"
        assert login["password"] in running.said()
        with running.get("/api/v1/me", **{"X-API-Key": login["api_key"]}) as answer:
            assert "read" in json.load(answer)["scopes"]
        took = self.stopped(running)
        for _ in range(2):
            # A machine that does other things meanwhile is late: the best of three attempts counts.
            took = took if took < 5 else self.stopped(running.start().until_ready())
        assert took < 5

    @staticmethod
    def stopped(running):
        """End the demo, see that nothing is left, and return how many seconds that took."""
        services = Services(running.data_dir)
        started = time.monotonic()
        running.stop()
        took = time.monotonic() - started
        assert running.processes() == []
        assert services.postgres.running() is None
        assert services.valkey.running() is None
        return took

    def test_recovers_from_kill_9_and_keeps_its_data(self, running):
        running.start().until_ready()
        login = running.login()
        running.process.kill()
        running.process.wait()
        assert running.processes(), "kill -9 of the parent leaves its children: the next start must cope"
        running.start().until_ready()
        assert running.login() == login
        running.stop()
        assert running.processes() == []

    def test_starts_afresh_when_told(self, running):
        running.start().until_ready()
        login = running.login()
        running.stop()
        running.start("--reset").until_ready()
        assert running.login()["api_key"] != login["api_key"]
        running.stop()


class TestASecondDemo:
    def test_on_the_same_data_points_to_the_first(self, running):
        running.start().until_ready()
        second = Demo(running.data_dir).start()
        assert second.process.wait(60) == 1
        assert f"already running at http://127.0.0.1:{running.port}" in second.said()
        running.stop()

    def test_is_told_that_the_port_is_taken(self, running):
        with socket.socket() as thief:
            thief.bind(("127.0.0.1", running.port))
            thief.listen()
            assert running.start().process.wait(60) == 1
        [line] = running.said().splitlines()
        assert f"port {running.port} is taken" in line
        assert f"PORT={running.port + 1} bin/demo" in line

    @pytest.mark.parametrize("port", ["eighty", "0", "65536", "-1", "٣"])
    def test_is_told_what_a_port_is(self, tmp_path, port):
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
        """Daphne's --proxy-headers believes X-Forwarded-For from anybody; core.middleware decides instead."""
        assert "--proxy-headers" not in (ROOT / "Procfile").read_text()
