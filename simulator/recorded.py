"""A Hyperliquid that replays one real trader: `python -m simulator.recorded --port 8801`.

Answers POST /info and /ws for unmodified clients. No orders: what it knows is what was recorded.
"""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import web

from .recorded_feed import RecordedStream
from .recorded_venue import RecordedVenue
from .recording import Replay, load_recording, load_schedule
from .serving import Refused, add_address, background, serve
from .wire import (
    ZERO_HASH,
    Malformed,
    address,
    answer,
    refusal,
    wall_clock,
)


def application(venue: RecordedVenue) -> web.Application:
    """The venue behind HTTP."""

    async def info(request: web.Request) -> web.Response:
        try:
            return answer(venue.answer(await request.read()))
        except Malformed:
            return refusal()

    async def truth(request: web.Request) -> web.Response:
        try:
            return answer(venue.truth(address(dict(request.query))))
        except Malformed:
            return refusal()

    async def exchange(request: web.Request) -> web.Response:
        return answer({"status": "err", "response": f"User or API Wallet {ZERO_HASH[:42]} does not exist."})

    stream = RecordedStream(venue)

    async def life(_: web.Application) -> AsyncIterator[None]:
        async with background(app, stream.run()):
            yield

    async def hang_up(_: web.Application) -> None:
        await stream.hub.close()

    app = web.Application()
    app.cleanup_ctx.append(life)
    app.on_shutdown.append(hang_up)
    app.router.add_get("/ws", stream.hub.serve)
    app.router.add_post("/info", info)
    app.router.add_post("/exchange", exchange)
    app.router.add_get("/sim/truth", truth)
    return app


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the recorded venue."""
    parser.add_argument(
        "--pace", type=float, default=1.5, metavar="SECONDS", help="seconds between two fills"
    )
    parser.add_argument(
        "--state", type=Path, default=None, metavar="FILE", help="keeps the schedule over restarts"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the mark's small movement between fills")


def build(options: argparse.Namespace) -> web.Application:
    """The application that `options` ask for. Raises BadState and Refused."""
    pace = round(options.pace * 1000)
    if pace < 1:
        raise Refused("--pace must be at least 0.001 seconds")
    recording = load_recording()
    schedule = load_schedule(
        options.state, run=recording.name, pace=pace, now=wall_clock(), rows=len(recording.fills)
    )
    return application(RecordedVenue(Replay(recording, schedule, options.seed)))


def main(arguments: list[str] | None = None) -> None:
    """Run the server until a signal."""
    parser = argparse.ArgumentParser(prog="recorded", description=__doc__)
    add_address(parser)
    add_arguments(parser)
    options = parser.parse_args(arguments)
    serve(lambda: build(options), host=options.host, port=options.port)


if __name__ == "__main__":
    main()
