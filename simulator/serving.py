"""Runs a simulator's application on a port until a signal ends it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import hmac
import os
import signal
import sys
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

from aiohttp import web


class Stop:
    """Ends the process in an orderly way."""

    def __call__(self) -> None:
        """As SIGTERM would."""
        os.kill(os.getpid(), signal.SIGTERM)


STOP = web.AppKey("stop", Stop)
# glibc's mallopt: its numbers for the two thresholds, and theirs in bytes.
THRESHOLDS = {-3: 1 << 16, -1: 1 << 17}


class Refused(ValueError):
    """The options of a simulator make no sense; the message says which."""


def add_address(parser: argparse.ArgumentParser) -> None:
    """Where to listen."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, required=True, help="port to listen on")


@contextlib.asynccontextmanager
async def background(app: web.Application, work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Runs `work` beside the requests; if it fails the server ends: a venue without a clock is none."""

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            traceback.print_exception(task.exception())
            if STOP in app:
                app[STOP]()

    task = asyncio.get_running_loop().create_task(work)
    task.add_done_callback(ended)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def give_memory_back() -> None:
    """Let large blocks (a page of 2,000 fills, a snapshot) return to the system as soon as they are free.

    By itself glibc raises its thresholds with each and keeps them. Other libraries are left as they are.
    """
    with contextlib.suppress(AttributeError, OSError):
        tune = ctypes.CDLL(None).mallopt
        for number, size in THRESHOLDS.items():
            tune(number, size)


def serve(build: Callable[[], web.Application], *, host: str, port: int) -> None:
    """Build and serve until SIGINT or SIGTERM; a refused option or a taken port is one line, exit code 2."""
    give_memory_back()
    try:
        app = build()
        app[STOP] = Stop()
        web.run_app(
            app, host=host, port=port, print=announce(host, port), access_log=None, shutdown_timeout=1.0
        )
    except (ValueError, OSError) as error:
        sys.stderr.write(f"simulator: {error}\n")
        raise SystemExit(2) from error


def announce(host: str, port: int) -> Callable[[str], None]:
    """One line when the port is open."""

    def line(_: str) -> None:
        sys.stdout.write(f"simulator: listening on http://{host}:{port}\n")
        sys.stdout.flush()

    return line


CONTROL_HEADER = "X-Control-Token"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def guard_control(app: web.Application) -> None:
    """Refuse requests to /sim without SIM_CONTROL_TOKEN, if that is set. Call it before the server starts.

    `bin/demo` makes a token, so that only who started the demo can change its markets.
    """
    token = os.environ.get("SIM_CONTROL_TOKEN", "")

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get(CONTROL_HEADER, "")
        known = not token or hmac.compare_digest(given.encode(errors="replace"), token.encode())
        if request.path.startswith("/sim") and not known:
            sys.stderr.write(f"simulator: refused {request.method} {request.path} from {request.remote}\n")
            return web.json_response({"error": f"send the token in {CONTROL_HEADER}"}, status=403)
        return await handler(request)

    app.middlewares.append(guarded)
