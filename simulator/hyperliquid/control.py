"""/sim: what tests and demos may ask and cause; 404 unless the server was started with --allow-control."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from simulator.hyperliquid.faults import BadFault
from simulator.hyperliquid.venue import Venue
from simulator.wire import Malformed, address, answer, number, parse_body

Body = dict[str, Any]
Handler = Callable[[web.Request], Awaitable[web.Response]]


def bound(venue: Venue, handler: Callable[[Venue, web.Request], Awaitable[web.Response]]) -> Handler:
    """A handler that knows its venue."""

    async def handle(request: web.Request) -> web.Response:
        return await handler(venue, request)

    return handle


def add_control(app: web.Application, venue: Venue) -> None:
    """Add the routes."""
    app.router.add_get("/sim/truth", bound(venue, truth))
    app.router.add_get("/sim/users", bound(venue, users))
    app.router.add_get("/sim/log", bound(venue, log))
    app.router.add_get("/sim/balance", bound(venue, balance))
    app.router.add_get("/sim/faults", bound(venue, listed))
    app.router.add_post("/sim/faults", bound(venue, cause))
    app.router.add_delete("/sim/faults", bound(venue, clear))
    app.router.add_post("/sim/pause", bound(venue, pause))


async def truth(venue: Venue, request: web.Request) -> web.Response:
    """The simulator's own ledger of a user: totals, positions, wallets, marks."""
    try:
        account = venue.exchange.known(address(dict(request.query)))
    except Malformed as error:
        return answer({"error": str(error)}, 400)
    if account is None:
        return answer({"error": "no such user"}, 404)
    venue.set_clock()
    marks = {coin: number(market.mark) for coin, market in venue.exchange.markets.items()}
    return answer(account.truth() | {"time": venue.exchange.now, "marks": marks})


async def users(venue: Venue, _: web.Request) -> web.Response:
    """The background traders."""
    rows = [{"user": one.account.address, "temper": one.temper.name} for one in venue.simulation.traders]
    return answer(rows)


async def log(venue: Venue, _: web.Request) -> web.Response:
    """All requests received (the newest 10,000), oldest first."""
    return answer(list(venue.log))


async def balance(venue: Venue, _: web.Request) -> web.Response:
    """Conservation: {} when nothing was created or lost."""
    return answer({token: number(amount) for token, amount in venue.exchange.imbalance().items()})


async def listed(venue: Venue, _: web.Request) -> web.Response:
    """The faults that are on."""
    return answer(venue.faults.listed())


async def clear(venue: Venue, _: web.Request) -> web.Response:
    """Switch all faults off."""
    venue.faults.clear()
    return answer([])


async def cause(venue: Venue, request: web.Request) -> web.Response:
    """Switch on or do what the body says: one object, or {"faults": [...]}; the results."""
    try:
        body = parse_body(await request.read())
        specs = body.get("faults", [body])
        venue.set_clock()
        return answer([venue.cause(spec) for spec in specs])
    except (Malformed, BadFault) as error:
        return answer({"error": str(error)}, 400)


async def pause(venue: Venue, request: web.Request) -> web.Response:
    """Stop ({"paused": true}) or resume prices and background traders."""
    try:
        venue.simulation.paused = bool(parse_body(await request.read())["paused"])
    except (Malformed, KeyError) as error:
        return answer({"error": str(error)}, 400)
    return answer({"paused": venue.simulation.paused})
