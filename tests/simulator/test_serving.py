"""A server whose work fails does not go on as if nothing had happened."""

import socket
import subprocess
import sys

from .clients import free_port

PROGRAM = """
import sys
from aiohttp import web
from simulator.serving import background, serve

async def work():
    raise RuntimeError("the clock stopped")

def build():
    app = web.Application()
    async def life(_):
        async with background(app, work()):
            yield
    app.cleanup_ctx.append(life)
    return app

serve(build, host="127.0.0.1", port=int(sys.argv[1]))
"""


class TestServingAVenue:
    def test_ends_with_the_reason_when_its_work_fails(self):
        command = [sys.executable, "-c", PROGRAM, str(free_port())]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
        assert "the clock stopped" in done.stderr
        assert done.returncode != 0

    def test_a_taken_port_is_one_line(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = str(taken.getsockname()[1])
            command = [
                sys.executable,
                "-m",
                "simulator",
                "--venue",
                "recorded",
                "--port",
                port,
            ]
            done = subprocess.run(command, capture_output=True, text=True, timeout=20)
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
        assert "address already in use" in done.stderr
