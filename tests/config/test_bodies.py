"""Large and slow requests: refused before anything reads them, on Daphne and uvicorn."""

import os
import socket
import subprocess
import sys
import time
from contextlib import closing

import pytest

from config import bodies
from config.servers import free_port

SERVERS = {
    "daphne": ["daphne", "--bind", "127.0.0.1", "--verbosity", "0"],
    "uvicorn": ["uvicorn", "--host", "127.0.0.1", "--log-level", "warning"],
}
# An application without services, behind the bounds of the real one, with shorter time-outs.
APPLICATION = """
import asyncio
from config import bodies
from config.uvicorn_deadlines import bound_uvicorn
bodies.IDLE_SECONDS, bodies.HEADER_SECONDS, bodies.BODY_SECONDS = 2, 2, 2
async def echo(scope, receive, send):
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size, more = size + len(message["body"]), message["more_body"]
    if scope["path"] == "/slow":
        await asyncio.sleep(3)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(size).encode()})
bodies.bound_daphne()
bound_uvicorn()
application = bodies.BoundedBodies(echo)
"""


@pytest.fixture(scope="module", params=sorted(SERVERS))
def server(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("app")
    (folder / "bounded_app.py").write_text(APPLICATION)
    port = free_port()
    command = [sys.executable, "-m", *SERVERS[request.param], "--port", str(port), "bounded_app:application"]
    paths = os.pathsep.join([str(folder), os.getcwd()])
    running = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": paths}, cwd=folder)
    until = time.monotonic() + 30
    while time.monotonic() < until:
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    yield request.param, port
    running.terminate()
    running.wait(10)


def answer(port, *parts, pause=0.0):
    """Send parts one after another; return what comes back until the connection ends, and the seconds."""
    began = time.monotonic()
    with closing(socket.create_connection(("127.0.0.1", port), timeout=15)) as client:
        try:
            for part in parts:
                client.sendall(part)
                time.sleep(pause)
            got = b""
            while chunk := client.recv(65536):
                got += chunk
        except (ConnectionError, BrokenPipeError):
            got = locals().get("got", b"")
    return got, time.monotonic() - began


def is_ended(client, start):
    """Send a start and then a byte now and then; return whether the server ended that within 12 s."""
    try:
        for part in (start, *[b"A"] * 24):
            client.sendall(part)
            time.sleep(0.5)
    except (ConnectionError, BrokenPipeError):
        return True
    return False


HEAD = b"POST /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"


class TestAServer:
    def test_takes_a_body_of_three_megabytes(self, server):
        size = bodies.MAX_BODY_BYTES
        got, _ = answer(server[1], HEAD + b"Content-Length: %d\r\n\r\n" % size, b"x" * size)
        assert got.startswith(b"HTTP/1.1 200")
        assert got.endswith(b"%d" % size) or b"%d" % size in got

    def test_refuses_a_larger_one_before_any_of_it_came(self, server):
        got, seconds = answer(server[1], HEAD + b"Content-Length: 3000001\r\n\r\n")
        assert got.startswith(b"HTTP/1.1 413")
        assert b"too_large" in got
        assert seconds < 5

    @pytest.mark.parametrize("length", [b"9" * 4000, b"99999999999999"])
    def test_refuses_a_length_without_measure(self, server, length):
        got, _ = answer(server[1], HEAD + b"Content-Length: " + length + b"\r\n\r\n")
        assert got.startswith((b"HTTP/1.1 413", b"HTTP/1.1 400"))

    def test_refuses_one_that_does_not_say_how_long_it_is(self, server):
        chunk = b"%x\r\n" % 500_000 + b"x" * 500_000 + b"\r\n"
        got, _ = answer(server[1], HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 7)
        assert got.startswith(b"HTTP/1.1 413")

    def test_ends_a_body_that_drips(self, server):
        got, seconds = answer(server[1], HEAD + b"Content-Length: 100\r\n\r\n", *[b"x"] * 12, pause=0.5)
        assert not got.startswith(b"HTTP/1.1 200")
        assert seconds < 12

    def test_ends_headers_that_drip(self, server):
        for start in (b"POST /x HT", HEAD):
            got, seconds = answer(server[1], start, *[b"A"] * 12, pause=0.5)
            assert (got, seconds < 12) == (b"", True)

    def test_ends_headers_that_drip_after_a_request(self, server):
        whole = b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nab"
        with closing(socket.create_connection(("127.0.0.1", server[1]), timeout=15)) as client:
            client.sendall(whole)
            assert client.recv(65536).startswith(b"HTTP/1.1 200")
            assert is_ended(client, b"POST /x HT")

    def test_of_a_request_that_takes_long_are_no_reason_to_end_it(self, server):
        whole = b"POST /slow HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 2\r\n\r\nab"
        got, seconds = answer(server[1], whole)
        assert got.startswith(b"HTTP/1.1 200")
        assert seconds >= 3

    def test_ends_a_connection_that_says_nothing(self, server):
        got, seconds = answer(server[1])
        assert (got, seconds < 12) == (b"", True)

    def test_serves_on_a_connection_that_is_kept(self, server):
        with closing(socket.create_connection(("127.0.0.1", server[1]), timeout=5)) as client:
            for _ in range(3):
                client.sendall(b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nab")
                time.sleep(0.3)
                assert client.recv(65536).startswith(b"HTTP/1.1 200")
