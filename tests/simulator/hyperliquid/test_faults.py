"""Every fault does what it says, and nothing once it is off."""

import asyncio
import json
from decimal import Decimal

import aiohttp
import ccxt
import pytest

from simulator.hyperliquid.faults import BadFault, Faults
from simulator.hyperliquid.venue import Venue
from tests.simulator.clients import post

BTC = "BTC/USDC:USDC"


async def fills(stage, since=0):
    async with stage.client() as exchange:
        return [row["info"] for row in await exchange.fetch_my_trades(since=since)]


async def asked(stage, body):
    return await asyncio.to_thread(post, stage.base, json.dumps(body))


def state_of(stage):
    return {"type": "clearinghouseState", "user": stage.user}


class TestRequestFaults:
    @pytest.mark.parametrize(
        ("status", "error"),
        [(429, ccxt.RateLimitExceeded), (500, ccxt.ExchangeNotAvailable), (502, ccxt.ExchangeNotAvailable)],
    )
    async def test_a_status_is_the_error_that_ccxt_knows_and_ends_after_its_times(self, stage, status, error):
        stage.cause("status", status=status, times=1, user=None)
        async with stage.client() as exchange:
            with pytest.raises(error):
                await exchange.fetch_balance({"enableUnifiedMargin": False})
            await exchange.fetch_balance({"enableUnifiedMargin": False})

    async def test_502_is_html_and_429_is_null(self, stage):
        stage.cause("status", status=502, times=1)
        stage.cause("status", status=429, times=1)
        bad, limited = await asked(stage, state_of(stage)), await asked(stage, state_of(stage))
        assert bad[:2] == (502, "text/html")
        assert limited == (429, "application/json", "null")

    async def test_a_fault_strikes_only_what_it_names(self, stage):
        stage.cause("status", status=500, type="userFunding", user=None)
        assert (await asked(stage, state_of(stage)))[0] == 200
        assert (await asked(stage, {"type": "userFunding", "user": stage.user, "startTime": 0}))[0] == 500

    async def test_a_time_out_answers_nobody(self, stage):
        stage.cause("timeout", seconds=5)
        async with stage.client() as exchange:
            exchange.timeout = 300
            with pytest.raises(ccxt.RequestTimeout):
                await exchange.fetch_balance({"enableUnifiedMargin": False})

    async def test_a_delayed_reply_comes(self, stage):
        stage.cause("delay_reply", seconds=0.2, times=1)
        assert (await asked(stage, state_of(stage)))[0] == 200

    async def test_truncated_json_is_cut_in_the_middle(self, stage):
        stage.cause("truncate", times=1)
        status, _, text = await asked(stage, state_of(stage))
        assert status == 200
        with pytest.raises(ValueError):
            json.loads(text)

    async def test_an_empty_list_comes_with_200(self, stage):
        stage.fund()
        stage.trade("BTC", "buy", "0.01")
        stage.cause("empty", type="userFillsByTime")
        assert await fills(stage) == []

    async def test_a_stale_snapshot_repeats_the_first(self, stage):
        stage.fund()
        stage.cause("stale", type="clearinghouseState")
        before = await asked(stage, state_of(stage))
        stage.trade("BTC", "buy", "0.01")
        assert await asked(stage, state_of(stage)) == before
        stage.venue.faults.clear()
        assert await asked(stage, state_of(stage)) != before

    async def test_the_reply_of_an_accepted_order_is_lost(self, stage):
        stage.fund()
        stage.cause("lose_reply", path="/exchange", times=1, user=None)
        async with stage.client(signing=True) as exchange:

            async def nothing():
                return True

            exchange.initialize_client = nothing
            await exchange.load_markets()
            with pytest.raises(ccxt.NetworkError):
                await exchange.create_order(BTC, "limit", "buy", 0.01, 90_000)
            assert len(await exchange.fetch_open_orders()) == 1

    async def test_weights_add_up_to_429(self, stage):
        stage.cause("weight_limit", limit=50, user=None)
        statuses = [(await asked(stage, {"type": "meta"}))[0] for _ in range(3)]
        assert statuses == [200, 200, 429]


class TestHistoryFaults:
    async def test_a_page_is_cut_short(self, stage):
        stage.fund()
        for _ in range(5):
            stage.trade("BTC", "buy", "0.001")
        stage.cause("page_cut", rows=3)
        assert len(await fills(stage)) == 3

    async def test_history_ends_n_rows_back(self, stage):
        stage.fund()
        for size in ("0.001", "0.002", "0.003"):
            stage.trade("BTC", "buy", size)
        stage.cause("history_cut", rows=2)
        assert [row["sz"] for row in await fills(stage)] == ["0.002", "0.003"]

    async def test_a_withheld_fill_moves_the_position_and_shows_up_late(self, stage):
        stage.fund()
        stage.cause("withhold", what="fill", seconds=30)
        stage.trade("BTC", "buy", "0.01")
        async with stage.client() as exchange:
            (position,) = await exchange.fetch_positions()
        assert position["contracts"] == 0.01
        assert await fills(stage) == []
        stage.pass_time(40)
        (row,) = await fills(stage)
        assert row["sz"] == "0.01"

    async def test_late_rows_take_their_own_place_in_time(self, stage):
        stage.fund()
        stage.cause("withhold", what="fill")
        stage.trade("BTC", "buy", "0.01")
        stage.pass_time(5)
        stage.venue.set_clock()
        stage.trade("BTC", "buy", "0.02")
        stage.cause("release")
        rows = await fills(stage)
        assert [row["sz"] for row in rows] == ["0.01", "0.02"]

    @pytest.mark.parametrize(("what", "deed"), [("funding", "funding"), ("ledger", "deposit")])
    async def test_funding_and_transfers_can_be_withheld(self, stage, what, deed):
        stage.fund()
        stage.trade("BTC", "buy", "0.01")
        account = stage.exchange.account(stage.user)
        kept = {"funding": account.fundings, "ledger": account.ledger}[what]
        before = len(kept)
        stage.cause("withhold", what=what)
        stage.cause(deed, amount=10)
        assert len(kept) == before
        stage.cause("release")
        assert len(kept) == before + 1

    async def test_a_fill_is_repeated_under_a_new_trade_id(self, stage):
        stage.fund()
        stage.trade("BTC", "buy", "0.01")
        stage.cause("repeat_fill")
        first, second = await fills(stage)
        assert first.pop("tid") != second.pop("tid")
        assert first == second

    async def test_the_clock_is_wrong(self, stage):
        stage.fund()
        right = json.loads((await asked(stage, state_of(stage)))[2])["time"]
        stage.cause("clock_skew", ms=-90_000)
        wrong = json.loads((await asked(stage, state_of(stage)))[2])["time"]
        assert -90_000 <= wrong - right <= -85_000


class TestStreamFaults:
    async def receive(self, stage, cause, sizes=("0.001", "0.002", "0.003"), count=0):
        """The sizes of the fills that arrive on userFills: `count` of them, and what else comes soon."""
        async with aiohttp.ClientSession() as session, session.ws_connect(stage.base + "/ws") as socket:
            wanted = {"type": "userFills", "user": stage.user}
            await socket.send_json({"method": "subscribe", "subscription": wanted})
            for _ in ("subscriptionResponse", "snapshot"):
                await asyncio.wait_for(socket.receive(), 60)
            cause()
            for size in sizes:
                stage.trade("BTC", "buy", size)
            seen = []
            while True:
                try:
                    message = await asyncio.wait_for(socket.receive(), 60 if len(seen) < count else 0.4)
                except TimeoutError:
                    return seen
                if message.type is not aiohttp.WSMsgType.TEXT:
                    return [*seen, message.type.name]
                data = json.loads(message.data)["data"]
                seen += [row["sz"] for row in data.get("fills", ())]

    @pytest.mark.parametrize(
        ("spec", "arrive"),
        [
            ({"kind": "drop", "times": 1}, ["0.002", "0.003"]),
            ({"kind": "duplicate", "times": 1}, ["0.001", "0.001", "0.002", "0.003"]),
            ({"kind": "delay", "times": 1, "seconds": 0.2}, ["0.002", "0.003", "0.001"]),
            ({"kind": "shuffle", "times": 1}, ["0.002", "0.001", "0.003"]),
            ({"kind": "silence"}, []),
            ({"kind": "drop", "channel": "orderUpdates"}, ["0.001", "0.002", "0.003"]),
        ],
        ids=lambda value: value["kind"] if isinstance(value, dict) else "",
    )
    async def test_befalls_the_frames(self, stage, spec, arrive):
        stage.fund()
        assert await self.receive(stage, lambda: stage.cause(**spec), count=len(arrive)) == arrive

    @pytest.mark.parametrize("how", [{"hard": True}, {"code": 1012}])
    async def test_a_cut_closes_the_socket(self, stage, how):
        stage.fund()
        arrived = await self.receive(stage, lambda: stage.cause("cut", **how), sizes=(), count=1)
        assert arrived[-1] in ("CLOSE", "CLOSED", "CLOSING", "ERROR")

    async def test_more_users_than_the_limit_are_refused(self, stage):
        stage.cause("user_limit", limit=2, user=None)
        async with aiohttp.ClientSession() as session, session.ws_connect(stage.base + "/ws") as socket:
            channels = []
            for digit in "1213":
                wanted = {"type": "orderUpdates", "user": "0x" + digit * 40}
                await socket.send_json({"method": "subscribe", "subscription": wanted})
                channels.append((await asyncio.wait_for(socket.receive_json(), 60))["channel"])
        assert channels == ["subscriptionResponse", "subscriptionResponse", "error", "error"]

    async def test_a_silent_socket_stays_open_and_pings_go_unanswered(self, stage):
        async with aiohttp.ClientSession() as session, session.ws_connect(stage.base + "/ws") as socket:
            stage.cause("silence", user=None)
            await socket.send_json({"method": "ping"})
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(socket.receive_json(), 0.2)
            assert not socket.closed


class TestDeeds:
    async def test_someone_else_trades_on_the_account(self, stage):
        stage.fund()
        assert stage.trade("BTC", "sell", "0.02")["filled"]["totalSz"] == "0.02"
        assert not any(entry["path"] == "/exchange" for entry in stage.venue.log)

    async def test_a_forced_liquidation_of_a_share_and_of_the_rest_by_the_backstop(self, stage):
        stage.fund()
        stage.trade("BTC", "buy", "0.1")
        stage.cause("liquidate", coin="BTC", share="0.3")
        stage.cause("liquidate", coin="BTC", backstop=True)
        rows = [row for row in await fills(stage) if "liquidation" in row]
        assert {row["liquidation"]["method"] for row in rows} == {"market", "backstop"}
        assert all(row["dir"] == "Close Long" for row in rows)
        assert sum(Decimal(row["sz"]) for row in rows) == Decimal("0.1")
        assert stage.exchange.imbalance() == {}

    async def test_adl_closes_against_the_most_profitable(self, stage):
        other = "0x" + "3" * 40
        stage.fund()
        stage.fund(user=other)
        stage.trade("BTC", "buy", "0.1")
        stage.trade("BTC", "sell", "0.1", user=other)
        assert other in stage.cause("adl", coin="BTC") or stage.exchange.account(stage.user).positions == {}
        assert (await fills(stage))[-1]["dir"] == "Auto-Deleveraging"
        assert stage.exchange.imbalance() == {}

    async def test_dust_becomes_usdc_under_trade_id_0(self, stage):
        stage.cause("deposit", token="PURR", amount=3, cost=1)
        stage.cause("dust", token="PURR")
        (row,) = await fills(stage)
        assert (row["dir"], row["tid"], row["closedPnl"], row["hash"]) == (
            "Spot Dust Conversion",
            0,
            "0.0",
            "0x" + "0" * 64,
        )
        assert stage.exchange.account(stage.user).totals.fills == 1
        assert stage.exchange.imbalance() == {}

    async def test_unknown_coins_and_ledger_types_appear(self, stage):
        stage.fund()
        stage.cause("unknown_coin", coin="#4710")
        stage.cause("unknown_ledger", type="quantumRebate")
        (row,) = await fills(stage)
        ledger = json.loads(
            (await asked(stage, {"type": "userNonFundingLedgerUpdates", "user": stage.user}))[2]
        )
        assert row["coin"] == "#4710"
        assert ledger[-1]["delta"]["type"] == "quantumRebate"

    async def test_a_delisted_coin_settles_and_takes_no_orders(self, stage):
        stage.fund()
        stage.trade("HYPE", "buy", "3")
        stage.cause("delist", coin="HYPE")
        assert (await fills(stage))[-1]["dir"] == "Settlement"
        meta = json.loads((await asked(stage, {"type": "meta"}))[2])
        assert next(row for row in meta["universe"] if row["name"] == "HYPE")["isDelisted"] is True
        assert stage.exchange.imbalance() == {}

    async def test_a_price_move_liquidates_at_the_price_that_was_shown(self, stage):
        stage.fund(2_000)
        stage.cause("lever", coin="BTC", leverage=40)
        stage.trade("BTC", "buy", "0.5")
        async with stage.client() as exchange:
            (row,) = await exchange.fetch_positions()
        shown = Decimal(row["info"]["position"]["liquidationPx"])
        stage.cause("price", coin="BTC", price=str(int(shown) + 2), hold=True)
        assert "BTC" in stage.exchange.account(stage.user).positions
        assert not any("liquidation" in one for one in await fills(stage))
        stage.cause("price", coin="BTC", price=str(int(shown) - 2), hold=True)
        assert any("liquidation" in one for one in await fills(stage))
        assert stage.exchange.imbalance() == {}

    @pytest.mark.parametrize(
        "spec",
        [
            {"kind": "nothing"},
            {"kind": "trade"},
            {"kind": "trade", "coin": "BTC", "side": "up", "size": "1"},
            {"kind": "price", "coin": "BTC", "price": "many"},
            {"kind": "withhold", "what": "sleep"},
            {"kind": "liquidate", "coin": "BTC"},
            {"kind": "drop", "times": -1},
            {"kind": "delay", "seconds": "long"},
        ],
    )
    async def test_nonsense_is_refused_with_a_reason(self, stage, spec):
        with pytest.raises(BadFault):
            stage.cause(**spec)


class TestFaultsByTime:
    def test_one_ends_after_its_time(self):
        now = [0.0]
        faults = Faults(lambda: now[0])
        faults.add({"kind": "drop", "for": 10})
        assert faults.take_stream("userFills", ("userFills", "0x1")) is not None
        now[0] = 11
        assert faults.take_stream("userFills", ("userFills", "0x1")) is None
        assert faults.listed() == []

    async def test_a_scenario_switches_them_on_at_their_time(self, stage):
        scheduled = [{"at": 5, "kind": "drop"}, {"at": 1, "kind": "deposit", "user": stage.user, "amount": 7}]
        venue = Venue(stage.venue.simulation, scheduled=scheduled)
        venue.tick(venue.simulation.start + 2_000)
        assert stage.exchange.account(stage.user).cash[""] == 7
        assert venue.faults.listed() == []
        venue.tick(venue.simulation.start + 6_000)
        assert [fault["kind"] for fault in venue.faults.listed()] == ["drop"]

    async def test_what_a_scenario_cannot_do_is_said_and_left(self, busy, capsys):
        trader = busy.venue.simulation.traders[2].account
        impossible = {"at": 0, "kind": "liquidate", "trader": 2, "coin": "@1"}
        possible = {"at": 0, "kind": "deposit", "trader": 2, "amount": 7}
        venue = Venue(busy.venue.simulation, scheduled=[impossible, possible])
        before = trader.totals.deposits["USDC"]
        venue.tick(venue.simulation.clock)
        assert "has no position in @1" in capsys.readouterr().err
        assert trader.totals.deposits["USDC"] == before + 7
