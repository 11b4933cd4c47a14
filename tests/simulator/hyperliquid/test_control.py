"""/sim: what is asked and caused over HTTP, where the server allows it."""

import json
from decimal import Decimal

import aiohttp
from aiohttp.test_utils import TestServer

from simulator.hyperliquid.server import application
from simulator.serving import CONTROL_HEADER
from tests.simulator.clients import post, simulator


class TestTheControlOfTheSimulator:
    async def test_is_404_unless_allowed(self, stage):
        app = application(stage.venue, allow_control=False, ticking=False)
        assert not [route for route in app.router.routes() if "/sim" in str(route.resource)]

    def test_a_server_process_hides_it_by_default_and_starts_in_time(self):
        times = []
        for _ in range(3):
            with simulator("--venue", "hyperliquid", "--seed", "3") as (base, seconds):
                assert post(base, "{}", "/sim/faults")[0] == 404
                assert json.loads(post(base, '{"type": "allMids"}')[2])["BTC"]
            times.append(seconds)
            # Measured alone by bin/bench (goal 2 s); here other tests share the two cores.
            if seconds < 8:
                break
        assert min(times) < 8, times

    async def test_faults_are_set_listed_and_cleared_over_http(self, stage):
        async with aiohttp.ClientSession(stage.base) as session:
            await session.post("/sim/faults", json={"faults": [{"kind": "drop"}, {"kind": "silence"}]})
            listed = await (await session.get("/sim/faults")).json()
            refused = await session.post("/sim/faults", json={"kind": "nope"})
            await session.delete("/sim/faults")
            empty = await (await session.get("/sim/faults")).json()
        assert [fault["kind"] for fault in listed] == ["drop", "silence"]
        assert (refused.status, empty) == (400, [])

    async def test_truth_is_the_ledger_and_conservation_is_empty(self, busy):
        user = busy.user = busy.venue.simulation.traders[1].account.address
        async with aiohttp.ClientSession(busy.base) as session:
            truth = await (await session.get(f"/sim/truth?user={user}")).json()
            missing = await session.get("/sim/truth?user=0x" + "4" * 40)
            balance = await (await session.get("/sim/balance")).json()
            users = await (await session.get("/sim/users")).json()
        async with busy.client() as exchange:
            rows = [row["info"] for row in await exchange.fetch_my_trades(since=0)]
        assert truth["totals"]["fills"] == len(rows)
        assert Decimal(truth["totals"]["closed_pnl"]) == sum(Decimal(row["closedPnl"]) for row in rows)
        assert (missing.status, balance, len(users)) == (404, {}, 6)

    async def test_takes_orders_from_who_has_the_token_alone(self, stage, monkeypatch):
        monkeypatch.setenv("SIM_CONTROL_TOKEN", "s3cret")
        app = application(stage.venue, allow_control=True, ticking=False)
        async with TestServer(app) as server, aiohttp.ClientSession(str(server.make_url(""))) as session:
            for headers in ({}, {CONTROL_HEADER: "guess"}, {CONTROL_HEADER: "é"}):
                assert (
                    await session.post("/sim/pause", json={"paused": True}, headers=headers)
                ).status == 403
                assert (await session.get("/sim/users", headers=headers)).status == 403
            known = {CONTROL_HEADER: "s3cret"}
            assert (await session.get("/sim/users", headers=known)).status == 200
            assert (await session.post("/info", json={"type": "allMids"})).status == 200
