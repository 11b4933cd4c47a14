"""A process that starts while a service is away: waits with a message, then leaves with one that helps."""

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[3]
NOBODY = "postgres://u:topsecret@127.0.0.1:1/x"
STARTS = {
    "web": [sys.executable, "-m", "daphne", "-p", "0", "config.asgi:application"],
    "worker": [sys.executable, "-m", "celery", "--quiet", "--app", "config", "worker", "--pool", "solo"],
    "beat": [sys.executable, "-m", "celery", "--quiet", "--app", "config", "beat", "--pidfile="],
}


def start(command, tmp_path, **variables):
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATA_DIR": str(tmp_path),
        "STARTUP_WAIT_SECONDS": "1",
    }
    return subprocess.run(
        command,
        cwd=ROOT,
        env=environment | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


class TestAStartingProcess:
    @pytest.mark.parametrize("name", STARTS)
    def test_waits_for_postgres_then_leaves(self, tmp_path, name):
        answer = start(STARTS[name], tmp_path, DATABASE_URL=NOBODY)
        assert answer.returncode != 0
        assert "waiting for PostgreSQL" in answer.stderr
        assert "set DATABASE_URL" in answer.stderr
        assert "topsecret" not in answer.stderr

    def test_waits_for_redis_then_leaves(self, tmp_path):
        answer = start(STARTS["web"], tmp_path, REDIS_URL="redis://:topsecret@127.0.0.1:1/0")
        assert answer.returncode != 0
        assert "set REDIS_URL" in answer.stderr
        assert "topsecret" not in answer.stderr

    def test_goes_on_once_the_service_comes(self, tmp_path, db):
        """Redis behind a door that opens only after the process has said that it waits."""
        target = urlsplit(os.environ["REDIS_URL"])
        code = (
            "import django; django.setup(); from core.process.startup import await_services; await_services()"
        )
        with socket.socket() as door:
            door.bind(("127.0.0.1", 0))
            port = door.getsockname()[1]
            url = target._replace(netloc=target.netloc.rpartition(":")[0] + f":{port}").geturl()
            environment = os.environ | {
                "DJANGO_SETTINGS_MODULE": "config.settings",
                "DATA_DIR": str(tmp_path),
            }
            waiting = subprocess.Popen(
                [sys.executable, "-c", code],
                cwd=ROOT, env=environment | {"REDIS_URL": url}, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
            assert "waiting for Redis" in waiting.stderr.readline()
            threading.Thread(target=_open, args=(door, target.port), daemon=True).start()
            assert waiting.wait(30) == 0


def _open(door, port):
    """Forward one connection, both ways, until it closes."""
    door.listen()
    inside, _ = door.accept()
    outside = socket.create_connection(("127.0.0.1", port))
    for source, sink in ((inside, outside), (outside, inside)):
        threading.Thread(target=_copy, args=(source, sink), daemon=True).start()


def _copy(source, sink):
    while chunk := source.recv(4096):
        sink.sendall(chunk)
