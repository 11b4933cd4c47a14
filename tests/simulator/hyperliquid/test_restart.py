"""A venue process that is killed comes back with the past it told."""

import json
import signal
import socket
import subprocess
import sys
import time

from simulator.engine.traders import trader_address
from tests.simulator.clients import free_port, post, wait_for

USER = trader_address(1, 0)


def started(state):
    port = free_port()
    options = ["--venue", "hyperliquid", "--speed", "60", "--state", str(state), "--port", str(port)]
    command = [sys.executable, "-m", "simulator", *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wait_for(port, process, time.monotonic())
    return process, f"http://127.0.0.1:{port}"


def told(base):
    """All fills of the user, oldest first."""
    body = {"type": "userFillsByTime", "user": USER, "startTime": 0}
    return json.loads(post(base, json.dumps(body))[2])


def ended(process, how):
    process.send_signal(how)
    process.wait(timeout=60)
    process.stderr.close()


class TestAKilledVenue:
    def test_has_forgotten_nothing(self, tmp_path):
        process, base = started(tmp_path / "state")
        before = []
        until = time.monotonic() + 60
        while len(before) < 20 and time.monotonic() < until:
            before = told(base)
            time.sleep(0.1)
        ended(process, signal.SIGKILL)
        process, base = started(tmp_path / "state")
        after = told(base)
        ended(process, signal.SIGTERM)
        assert len(before) >= 20
        assert after[: len(before)] == before

    def test_frees_its_port_at_once_on_sigterm(self, tmp_path):
        process, base = started(tmp_path / "state")
        ended(process, signal.SIGTERM)
        assert process.returncode == 0
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", int(base.rsplit(":", 1)[1])))
