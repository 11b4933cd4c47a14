"""Coinbase Advanced Trade over HTTP: what a read-only client calls. Authentication is not verified."""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from aiohttp import web

from simulator.coinbase import answers
from simulator.coinbase.answers import BadRequest
from simulator.coinbase.exchange import KEPT, Customer, Refused, written
from simulator.coinbase.simulation import SpotSimulation, customer_key
from simulator.engine.market import Market
from simulator.engine.persistence import Keeper, load
from simulator.engine.records import Archive
from simulator.hyperliquid.faults import KINDS, BadFault, Faults, cause_or_say
from simulator.scenarios import read_scenario
from simulator.serving import background, guard_control
from simulator.wire import Malformed, answer, parse_body, wall_clock

Body = dict[str, Any]
Handler = Callable[["Desk", web.Request], Any]
TICK = 0.1
PAGE = 100
MOST = 250


class Desk:
    """One simulated Coinbase: exchange, faults, log, state."""

    def __init__(
        self, simulation: SpotSimulation, *, scheduled: list[Body] | None = None, state: Path | None = None
    ) -> None:
        self.simulation = simulation
        self.exchange = simulation.exchange
        self.faults = Faults(time.monotonic)
        self.log = Archive().records(KEPT)
        self.keeper = Keeper(simulation, state) if state else None
        self.touched = state is not None
        self.ticking = False
        self.scheduled = sorted(scheduled or [], key=lambda fault: float(fault.get("at", 0)))

    def customer(self, request: web.Request) -> Customer:
        """Whose key signed: the key's own portfolio. Raises BadRequest (401) when nobody signed."""
        key = key_of(request)
        if not key:
            raise BadRequest("Unauthorized", "unauthorized", 401)
        return self.exchange.customer(key)

    def market(self, request: web.Request) -> Market:
        """The product in the path or query. Raises BadRequest (404)."""
        coin = request.match_info.get("product") or request.query.get("product_id", "")
        market = self.exchange.markets.get(coin)
        if market is None:
            raise BadRequest("ProductID is invalid", "NOT_FOUND", 404)
        return market

    def limit(self, request: web.Request) -> int:
        """Rows of a page, less when a fault cuts it."""
        asked = answers.count(request.query.get("limit"), PAGE, MOST)
        return min(asked, int(self.faults.value("page_cut", "rows", asked)))

    async def run(self) -> None:
        """Advance with the wall clock."""
        while True:
            await asyncio.sleep(TICK)
            self.tick(wall_clock())
            if self.keeper is not None:
                self.keeper.save() if self.touched else self.keeper.save_if_due()
                self.touched = False

    def catch_up(self, now: int) -> None:
        """Steps that are due at `now` (ms), then the clock itself: what a request does carries its own time.

        No answer of now may miss a fill that carries an earlier time.
        """
        self.simulation.skew = int(self.faults.value("clock_skew", "ms", 0))
        self.simulation.advance(now)
        self.exchange.now = max(self.simulation.clock, now) + self.simulation.skew

    def tick(self, now: int) -> None:
        """Steps that are due at `now` (ms), and the scenario's faults."""
        self.catch_up(now)
        elapsed = (self.simulation.clock - self.simulation.start) / 1000
        while self.scheduled and float(self.scheduled[0].get("at", 0)) <= elapsed:
            cause_or_say(self.cause, self.scheduled.pop(0))

    def cause(self, spec: Body) -> Any:
        """Switch a fault on, or do a deed; `trader` N names a background customer. Raises BadFault."""
        if isinstance(number := spec.get("trader"), int):
            spec = spec | {"user": customer_key(number)}
        if spec.get("kind") in KINDS:
            self.faults.add(spec)
            return None
        self.touched = True
        try:
            return DEEDS[str(spec.get("kind"))](self, spec)
        except (KeyError, TypeError, InvalidOperation, Refused) as error:
            raise BadFault(f"{spec.get('kind')}: missing or wrong {error}") from error


def key_of(request: web.Request) -> str | None:
    """The API key that a request names; None when it names none."""
    return request.headers.get("CB-ACCESS-KEY") or bearer(request.headers.get("Authorization", ""))


def bearer(header: str) -> str | None:
    """The key that a JWT names, unverified; the token itself when it is none."""
    kind, _, token = header.partition(" ")
    if kind != "Bearer" or not token:
        return None
    with contextlib.suppress(ValueError, IndexError, AttributeError):
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return str(claims["sub"]) if "sub" in claims else token
    return token


# -- deeds -------------------------------------------------------------------------------------------


def _trade(desk: Desk, spec: Body) -> Any:
    customer, buy = desk.exchange.customer(spec["user"]), {"buy": True, "sell": False}[spec["side"]]
    size, parts = Decimal(str(spec["size"])), int(spec.get("parts", 1))
    rows = desk.exchange.trade(
        customer, spec["coin"], buy=buy, size=size, maker=bool(spec.get("maker")), parts=parts
    )
    return [answers.fill(row) for row in rows]


def _transfer(desk: Desk, spec: Body, sign: int) -> Any:
    customer = desk.exchange.customer(spec["user"])
    row = desk.exchange.transfer(customer, spec.get("token", "USD"), sign * Decimal(str(spec["amount"])))
    return row["id"]


def _withhold(desk: Desk, spec: Body) -> None:
    desk.exchange.withheld[spec["user"]] = int(spec.get("count", 1))


def _repeat(desk: Desk, spec: Body) -> None:
    fills = desk.exchange.customer(spec["user"]).fills
    if len(fills) == 0:
        raise Refused("no fill to repeat")
    desk.exchange.counter += 1
    fills.append(
        fills[-1]
        | {"trade_id": f"repeat-{desk.exchange.counter}", "entry_id": f"{desk.exchange.counter:064x}"}
    )


def _price(desk: Desk, spec: Body) -> None:
    market = desk.exchange.markets[spec["coin"]]
    market.jump(Decimal(str(spec["price"])), now=desk.exchange.now)
    market.frozen = bool(spec.get("hold", False))


DEEDS: dict[str, Callable[[Desk, Body], Any]] = {
    "trade": _trade,
    "deposit": lambda desk, spec: _transfer(desk, spec, 1),
    "withdraw": lambda desk, spec: _transfer(desk, spec, -1),
    "withhold": _withhold,
    "release": lambda desk, spec: desk.exchange.release(),
    "repeat_fill": _repeat,
    "price": _price,
}

# -- routes ------------------------------------------------------------------------------------------


def _accounts(desk: Desk, request: web.Request) -> Body:
    cursor = request.query.get("cursor", "")
    return answers.accounts(desk.customer(request), limit=desk.limit(request), cursor=cursor)


def _fills(desk: Desk, request: web.Request) -> Body:
    kept = desk.faults.value("history_cut", "rows", None)
    return answers.fills(desk.customer(request), dict(request.query), limit=desk.limit(request), kept=kept)


def _portfolios(desk: Desk, request: web.Request) -> Body:
    customer = desk.customer(request)
    row = {"name": "Default", "uuid": customer.portfolio, "type": "DEFAULT", "deleted": False}
    return {"portfolios": [row]}


def _permissions(desk: Desk, request: web.Request) -> Body:
    customer = desk.customer(request)
    granted = {"can_view": True, "can_trade": False, "can_transfer": False}
    return granted | {"portfolio_uuid": customer.portfolio, "portfolio_type": "DEFAULT"}


def _products(desk: Desk, request: web.Request) -> Body:
    wanted = request.query.getall("product_ids", [])
    return answers.products(desk.exchange, kind=request.query.get("product_type"), wanted=wanted)


def _best(desk: Desk, request: web.Request) -> Body:
    desk.customer(request)
    wanted = request.query.getall("product_ids", list(desk.exchange.markets))
    books = [
        answers.pricebook(desk.exchange, m) for coin, m in desk.exchange.markets.items() if coin in wanted
    ]
    return {"pricebooks": books}


def _candles(desk: Desk, request: web.Request) -> Body:
    return answers.candles(desk.market(request), dict(request.query), now=desk.exchange.now)


def _time(desk: Desk, _: web.Request) -> Body:
    now = desk.exchange.now
    stamp = answers.iso(now)[:19] + "Z"
    return {"iso": stamp, "epochSeconds": str(now // 1000), "epochMillis": str(now)}


def _time2(desk: Desk, _: web.Request) -> Body:
    now = desk.exchange.now
    return {"data": {"iso": answers.iso(now)[:19] + "Z", "epoch": now // 1000}}


def _rates(desk: Desk, _: web.Request) -> Body:
    return {"data": {"currency": "USD", "rates": answers.currencies(desk.exchange)[2]}}


def _transactions(desk: Desk, request: web.Request) -> Body:
    after = request.query.get("starting_after", "")
    limit = answers.count(request.query.get("limit"), 25, PAGE)
    return answers.transactions(
        desk.customer(request), request.match_info["account"], limit=limit, after=after
    )


V3 = "/api/v3/brokerage"
ROUTES: dict[str, Handler] = {
    f"{V3}/accounts": _accounts,
    f"{V3}/portfolios": _portfolios,
    f"{V3}/key_permissions": _permissions,
    f"{V3}/transaction_summary": lambda desk, request: answers.summary(desk.customer(request)),
    f"{V3}/orders/historical/fills": _fills,
    f"{V3}/products": _products,
    f"{V3}/market/products": _products,
    f"{V3}/market/products/{{product}}": lambda desk, request: answers.product(desk.market(request)),
    f"{V3}/market/products/{{product}}/candles": _candles,
    f"{V3}/products/{{product}}/candles": _candles,
    f"{V3}/market/products/{{product}}/ticker": lambda desk, r: answers.ticker(desk.exchange, desk.market(r)),
    f"{V3}/products/{{product}}/ticker": lambda desk, r: answers.ticker(desk.exchange, desk.market(r)),
    f"{V3}/market/product_book": lambda desk, r: {
        "pricebook": answers.pricebook(desk.exchange, desk.market(r))
    },
    f"{V3}/best_bid_ask": _best,
    f"{V3}/time": _time,
    "/v2/time": _time2,
    "/v2/currencies": lambda desk, request: {"data": answers.currencies(desk.exchange)[0]},
    "/v2/currencies/crypto": lambda desk, request: {"data": answers.currencies(desk.exchange)[1]},
    "/v2/exchange-rates": _rates,
    "/v2/accounts/{account}/transactions": _transactions,
}


def error(problem: BadRequest, *, v2: bool) -> web.Response:
    """An error as each version of the API words it."""
    if v2:
        return answer({"errors": [{"id": problem.code, "message": str(problem)}]}, problem.status)
    if problem.status == 401:
        return web.Response(status=401, text="Unauthorized\n", content_type="text/plain")
    body = {"error": problem.code, "error_details": str(problem), "message": str(problem)}
    return answer(body, problem.status)


def serving(desk: Desk, handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """A route: logged, answered, or befallen by a fault. A fault's `type` is the last word of the path."""

    async def handle(request: web.Request) -> web.StreamResponse:
        desk.log.append({"time": wall_clock(), "method": request.method, "path": request.path_qs})

        async def respond() -> web.Response:
            if desk.ticking:
                desk.catch_up(wall_clock())
            try:
                return answer(handler(desk, request))
            except BadRequest as problem:
                return error(problem, v2=request.path.startswith("/v2"))

        facts = {
            "type": request.path.rsplit("/", 1)[-1],
            "query": request.query_string,
            "user": key_of(request),
        }
        return await desk.faults.around(request, facts, respond)

    return handle


def application(desk: Desk, *, allow_control: bool, ticking: bool = True) -> web.Application:
    """The venue behind HTTP. `ticking` False leaves the clock to the caller."""
    desk.ticking = ticking
    app = web.Application()
    for path, handler in ROUTES.items():
        app.router.add_get(path, serving(desk, handler))
    if allow_control:
        guard_control(app)
        _add_control(app, desk)

    async def life(_: web.Application) -> AsyncIterator[None]:
        async with background(app, desk.run()) if ticking else contextlib.nullcontext():
            yield
        if desk.keeper is not None:
            desk.keeper.save()

    app.cleanup_ctx.append(life)
    return app


def _add_control(app: web.Application, desk: Desk) -> None:
    async def truth(request: web.Request) -> web.Response:
        customer = desk.exchange.customers.get(request.query.get("user", ""))
        if customer is None:
            return answer({"error": "no such user"}, 404)
        wallets = {one.currency: written(one.total) for one in customer.wallets.values()}
        fees = {currency: written(fee) for currency, fee in customer.fees.items()}
        return answer({"user": customer.key, "fills": customer.count, "wallets": wallets, "fees": fees})

    async def users(_: web.Request) -> web.Response:
        return answer([{"user": one.customer.key} for one in desk.simulation.traders])

    async def log(_: web.Request) -> web.Response:
        return answer(list(desk.log))

    async def balance(_: web.Request) -> web.Response:
        return answer({currency: written(gap) for currency, gap in desk.exchange.imbalance().items()})

    async def listed(_: web.Request) -> web.Response:
        return answer(desk.faults.listed())

    async def clear(_: web.Request) -> web.Response:
        desk.faults.clear()
        return answer([])

    async def cause(request: web.Request) -> web.Response:
        try:
            body = parse_body(await request.read())
            return answer([desk.cause(spec) for spec in body.get("faults", [body])])
        except (Malformed, BadFault) as problem:
            return answer({"error": str(problem)}, 400)

    async def pause(request: web.Request) -> web.Response:
        try:
            desk.simulation.paused = bool(parse_body(await request.read())["paused"])
        except (Malformed, KeyError) as problem:
            return answer({"error": str(problem)}, 400)
        return answer({"paused": desk.simulation.paused})

    for path, handler in (
        ("truth", truth),
        ("users", users),
        ("log", log),
        ("balance", balance),
        ("faults", listed),
    ):
        app.router.add_get(f"/sim/{path}", handler)
    app.router.add_post("/sim/faults", cause)
    app.router.add_post("/sim/pause", pause)
    app.router.add_delete("/sim/faults", clear)


def build(options: argparse.Namespace) -> web.Application:
    """The application that `options` ask for. Raises Refused."""
    scenario = read_scenario(options.scenario)
    traders = options.traders if options.traders is not None else scenario.get("traders", 3)
    now = wall_clock()
    kept = load(options.state, SpotSimulation, now=now) if options.state else None
    simulation = kept or SpotSimulation(
        seed=options.seed, now=now, traders=int(traders), speed=options.speed, phases=scenario["phases"]
    )
    if kept is not None:
        named = options.scenario != "calm"
        kept.retune(speed=options.speed, phases=scenario["phases"] if named else None)
    desk = Desk(simulation, scheduled=scenario["faults"], state=options.state)
    return application(desk, allow_control=options.allow_control)
