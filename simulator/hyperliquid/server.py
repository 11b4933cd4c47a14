"""The HTTP and WebSocket server of a simulated Hyperliquid, with the control routes that tests use."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import AsyncIterator
from decimal import Decimal, InvalidOperation

from aiohttp import web

from simulator.engine.exchange import VAULT
from simulator.engine.persistence import load
from simulator.engine.simulation import Simulation
from simulator.hyperliquid.control import add_control
from simulator.hyperliquid.venue import Venue
from simulator.scenarios import SCENARIOS, read_scenario
from simulator.serving import Refused, background, guard_control
from simulator.wire import wall_clock


def application(venue: Venue, *, allow_control: bool, ticking: bool = True) -> web.Application:
    """The venue behind HTTP. `ticking` False leaves the clock to the caller."""
    venue.ticking = ticking
    app = web.Application()
    app.router.add_post("/info", venue.serve_info)
    app.router.add_post("/exchange", venue.serve_exchange)
    app.router.add_get("/ws", venue.hub.serve)
    if allow_control:
        guard_control(app)
        add_control(app, venue)

    async def life(_: web.Application) -> AsyncIterator[None]:
        async with background(app, venue.run()) if ticking else contextlib.nullcontext():
            yield
        if venue.keeper is not None:
            venue.keeper.save()

    async def hang_up(_: web.Application) -> None:
        await venue.hub.close()

    app.cleanup_ctx.append(life)
    app.on_shutdown.append(hang_up)
    return app


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the simulated venue."""
    parser.add_argument("--speed", type=float, default=1.0, help="market time per wall time")
    parser.add_argument("--scenario", default="calm", help=f"{', '.join(SCENARIOS)}, or a JSON file")
    parser.add_argument("--traders", type=int, default=None, help="background traders (default 6)")
    parser.add_argument("--funding-every", type=float, default=60.0, metavar="SECONDS", help="at speed 1")
    parser.add_argument("--allow-control", action="store_true", help="answer /sim (tests and demos only)")


def build(options: argparse.Namespace) -> web.Application:
    """The application that `options` ask for. Raises Refused."""
    scenario = read_scenario(options.scenario)
    traders = options.traders if options.traders is not None else scenario.get("traders", 6)
    now = wall_clock()
    kept = load(options.state, Simulation, now=now) if options.state else None
    try:
        simulation = kept or Simulation(
            seed=options.seed,
            now=now,
            traders=int(traders),
            speed=options.speed,
            funding_every=round(options.funding_every * 1000),
            phases=scenario["phases"],
            vault=Decimal(str(scenario.get("vault", VAULT))),
        )
    except InvalidOperation as error:
        raise Refused(f"scenario {options.scenario}: vault must be an amount of USDC") from error
    except ValueError as error:
        raise Refused(str(error)) from error
    if kept is not None:
        named = options.scenario != "calm"
        kept.exchange.drain()
        kept.retune(speed=options.speed, phases=scenario["phases"] if named else None)
    venue = Venue(simulation, scheduled=scenario["faults"], state=options.state)
    return application(venue, allow_control=options.allow_control)
