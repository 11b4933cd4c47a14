"""Browsers that read nothing and handles that run out, on real web processes. See test_copies."""

import contextlib
import json
import resource
import select
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from config.servers import free_port
from tests.portfolio.faults.rig import LONG, ROOT, kill, until

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]

HANDLES = 100
NOBODYS = 987_654_321  # an account that does not exist; who may see everything is told of it


class Server:
    """A web process with few file handles, on the services of the rig."""

    def __init__(self, rig, command):
        self.port, self.log = free_port(), rig.data_dir / f"{command[0]}.log"
        self.url = f"http://127.0.0.1:{self.port}"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *command, "--port", str(self.port), "config.asgi:application"],
                cwd=ROOT, env=rig.environment, stdout=log, stderr=log,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (HANDLES, HANDLES)),
            )  # fmt: skip
        until(self.ready, why=self.told)

    def ready(self):
        """What /health/ready says; nothing while the process cannot answer."""
        try:
            with urllib.request.urlopen(f"{self.url}/health/ready", timeout=20) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return json.load(error)
        except OSError:
            return None

    def told(self):
        return self.log.read_text(errors="replace")[-3000:]

    def watch(self, key):
        """A browser that reads."""
        url = f"ws://127.0.0.1:{self.port}/api/v1/positions/stream"
        return connect(url, additional_headers={"X-API-Key": key}, max_size=None, open_timeout=LONG)


@pytest.fixture(
    scope="module",
    params=[
        ["daphne", "--verbosity", "0"],
        ["uvicorn", "--ws", "websockets-sansio", "--log-level", "warning"],
    ],
    ids=["daphne", "uvicorn"],
)
def server(production, request):
    running = Server(production, request.param)
    yield running
    kill(running.process)


@pytest.fixture(scope="module")
def key(production):
    return production.api_key()


def hear(browser, true):
    """Wait for a frame; others, heartbeats among them, may come meanwhile."""
    deadline = time.monotonic() + LONG
    while time.monotonic() < deadline:
        found = json.loads(browser.recv(timeout=LONG))
        if true(found):
            return found
    raise AssertionError(f"not heard within {LONG} s")


def tell(rig, number, *, size):
    """A frame of so many bytes for everybody."""
    frame = {"account": NOBODYS, "state": "live", "since": str(number), "reason": "x" * size}
    rig.redis.xadd("plumbline:live", {"kind": "feed", "account": NOBODYS, "frame": json.dumps(frame)})


class TestABrowserThatReadsNothing:
    def test_is_cut_off_and_the_others_miss_nothing(self, production, server, key):
        with server.watch(key) as reads, stalled(server.port, key) as stuck:
            # A heartbeat may come before the server has begun to read the log.
            hear(reads, lambda frame: frame["type"] == "snapshot")
            for number in range(100):
                tell(production, number, size=100_000)
                hear(reads, told_of(str(number)))
            until(lambda: is_cut(stuck), why=server.told)
            tell(production, "the end", size=1)
            hear(reads, told_of("the end"))


class TestACommandThatIsTooLong:
    """Told by a server, as Daphne refuses to send some codes and leaves the socket open."""

    def test_closes_its_socket_with_a_code(self, server, key):
        with server.watch(key) as browser:
            browser.send("x" * 5000)
            with pytest.raises(ConnectionClosed) as closed:
                hear(browser, lambda frame: False)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4413


def told_of(since):
    """Frames of real accounts come between."""
    return lambda frame: frame["type"] == "feed" and frame["feed"]["since"] == since


@contextlib.contextmanager
def stalled(port, key):
    """Asks to watch, and never reads."""
    with socket.socket() as stuck:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.connect(("127.0.0.1", port))
        lines = [
            "GET /api/v1/positions/stream HTTP/1.1", f"Host: 127.0.0.1:{port}", "Upgrade: websocket",
            "Connection: Upgrade", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version: 13",
            f"X-API-Key: {key}", "", "",
        ]  # fmt: skip
        stuck.sendall("\r\n".join(lines).encode())
        yield stuck


def is_cut(stuck):
    poll = select.poll()
    poll.register(stuck, 0)
    return any(event & (select.POLLHUP | select.POLLERR) for _, event in poll.poll(0))


class TestRunningOutOfFileHandles:
    def test_is_said_and_survived(self, server, key):
        assert "handles" not in server.ready()["failing"]
        with server.watch(key) as reads, contextlib.ExitStack() as crowd:
            hear(reads, lambda frame: frame["type"] == "snapshot")
            for _ in range(HANDLES + 50):
                one = crowd.enter_context(socket.socket())
                one.setblocking(False)
                one.connect_ex(("127.0.0.1", server.port))
            until(lambda: "out of file handles" in server.told(), why=server.told)
            assert f"limit {HANDLES}" in server.told()
            hear(reads, lambda frame: frame["type"] == "heartbeat")
            crowd.close()
            until(server.ready, why=server.told)
            assert "handles" in server.ready()["failing"], "who looks at it afterwards must hear of it"
            with server.watch(key) as again:
                hear(again, lambda frame: frame["type"] == "snapshot")
