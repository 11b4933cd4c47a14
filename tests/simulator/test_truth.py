"""An hour of simulated trading with faults on, read by our adapters and folded by our book: the truth."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from aiohttp.test_utils import TestServer

from positions.book.cash import cash_legs
from positions.book.contracts import ContractKind
from positions.book.entries import Cause, Entry, Kind
from positions.book.fold import fold
from positions.book.position import PositionState
from positions.venues.base import AccountConfig, Credentials, Environment, Ports, VenueError
from positions.venues.hyperliquid.adapter import Hyperliquid
from positions.venues.instruments.catalog import catalogs
from positions.venues.quirks.coinbase import Coinbase
from positions.venues.transport.client import Retries
from positions.venues.transport.local_ports import MemoryCache
from simulator.coinbase.server import Desk
from simulator.coinbase.server import application as coinbase_application
from simulator.coinbase.simulation import SpotSimulation, customer_key
from simulator.engine.simulation import Phase, Simulation
from simulator.hyperliquid.server import application
from simulator.hyperliquid.venue import Venue
from simulator.wire import wall_clock

# An hour of market time in three minutes of the venue's clock, most of it in the past already.
SPEED, SECONDS, ROUNDS = 20, 180, 9
CRASH = (Phase("calm", 1200), Phase("crash", 600), Phase("trend", 600))
FAULTS = (
    {"kind": "status", "status": 429, "times": 1},
    {"kind": "status", "status": 500, "times": 2},
    {"kind": "status", "status": 502, "times": 1},
    {"kind": "truncate", "times": 1},
    {"kind": "empty", "type": "userFillsByTime", "times": 1},
    {"kind": "page_cut", "rows": 60},
    {"kind": "history_cut", "rows": 20},
    {"kind": "delay_reply", "seconds": 0.05, "times": 3},
    {"kind": "stale", "type": "userFillsByTime"},
)
HASTE = Retries(attempts=1, deadline=timedelta(seconds=5), first_wait=timedelta(milliseconds=1))


class Unlimited:
    """A rate budget that never ends: what is tested here is not our patience."""

    async def spend(self, key, weight, *, capacity, per_second):
        return None

    async def pause(self, key, for_):
        return None


def ports():
    return Ports(cache=MemoryCache(), budget=Unlimited(), clock=lambda: datetime.now(UTC))


class Reader:
    """Reads one account again and again, keeps each fact once, and survives what goes wrong."""

    def __init__(self, adapter, since):
        self.adapter = adapter
        self.adapter.client.retries = HASTE
        self.since = since
        self.facts: dict[str, Entry] = {}
        self.failures = 0

    async def read(self):
        try:
            batch = await self.adapter.entries(since=self.since)
        except VenueError:
            self.failures += 1
            return
        for entry in batch.entries:
            known = self.facts.setdefault(entry.venue_ref, entry)
            assert known.to_plain() == entry.to_plain(), "the same reference with other content"


def account(venue, base, **facts):
    return AccountConfig(
        account="1",
        venue=venue,
        environment=Environment.SIMULATED,
        base_url=base,
        timeout=timedelta(seconds=2),
        **facts,
    )


async def booked(reader):
    """(size by instrument, wallets) that our book makes of the facts."""
    instruments = {one.venue_symbol: one for one in await reader.adapter.instruments()}
    by_instrument: dict[str | None, list[Entry]] = {}
    for entry in reader.facts.values():
        by_instrument.setdefault(entry.instrument, []).append(entry)
    sizes, wallets, open_value = {}, {}, {}
    for symbol, entries in by_instrument.items():
        contract = instruments[symbol].contract if symbol else None
        realized = {}
        if contract is not None and contract.kind is not ContractKind.SPOT:
            result = fold(entries, start=PositionState(contract=contract, instrument=symbol))
            assert result.conflicts == ()
            sizes[symbol] = result.position.size
            open_value[symbol] = result.position.open_cost * (1 if result.position.size > 0 else -1)
            realized = {change.venue_ref: change.realized for change in result.changes}
        for entry in entries:
            for leg in cash_legs(entry, contract, realized=realized.get(entry.venue_ref)):
                key = (leg.wallet, leg.asset)
                wallets[key] = wallets.get(key, Decimal(0)) + leg.amount
    return {symbol: size for symbol, size in sizes.items() if size}, wallets, open_value


@pytest.fixture
async def hyperliquid():
    catalogs.forget()
    now = wall_clock()
    simulation = Simulation(seed=21, now=now - SECONDS * 1000, traders=5, speed=SPEED, phases=CRASH)
    venue = Venue(simulation)
    async with TestServer(application(venue, allow_control=True, ticking=False)) as server:
        yield venue, str(server.make_url("")).rstrip("/")


class TestABookOfTheSimulatedHyperliquid:
    async def test_an_hour_with_faults_folds_to_the_venues_own_ledger(self, hyperliquid):
        venue, base = hyperliquid
        simulation = venue.simulation
        since = datetime.fromtimestamp(simulation.start / 1000, UTC)
        readers = [
            Reader(Hyperliquid(account("hyperliquid", base, address=one.account.address), ports()), since)
            for one in simulation.traders
        ]
        for turn in range(ROUNDS):
            venue.cause(dict(FAULTS[turn % len(FAULTS)]))
            user = simulation.traders[turn % 5].account.address
            venue.cause({"kind": "withhold", "user": user, "what": "fill", "count": 2})
            venue.tick(simulation.start + (turn + 1) * SECONDS * 1000 // ROUNDS)
            for reader in readers:
                await reader.read()
            venue.faults.clear()
        venue.cause({"kind": "release"})
        for reader, trader in zip(readers, simulation.traders, strict=True):
            await reader.read()
            await self.agrees(reader, trader.account)
            await reader.adapter.close()
        assert sum(reader.failures for reader in readers) > 0
        assert any("liquidation" in row for one in simulation.traders for row in one.account.fills)
        assert any(row["coin"].startswith("flx:") for one in simulation.traders for row in one.account.fills)
        assert venue.exchange.imbalance() == {}

    async def test_a_crash_that_the_vault_cannot_bear_is_booked_as_auto_deleveraging(self):
        catalogs.forget()
        now = wall_clock()
        phases = (Phase("crash"),)
        simulation = Simulation(
            seed=3, now=now - 45_000, traders=5, speed=40, phases=phases, vault=Decimal(0)
        )
        venue = Venue(simulation)
        deleveraged = []
        async with TestServer(application(venue, allow_control=True, ticking=False)) as server:
            base = str(server.make_url("")).rstrip("/")
            venue.tick(now)
            for trader in simulation.traders:
                config = account("hyperliquid", base, address=trader.account.address)
                reader = Reader(
                    Hyperliquid(config, ports()), datetime.fromtimestamp(simulation.start / 1000, UTC)
                )
                await reader.read()
                await self.agrees(reader, trader.account)
                await reader.adapter.close()
                shown = [row for row in trader.account.fills if row["dir"] == "Auto-Deleveraging"]
                booked_as = [entry for entry in reader.facts.values() if entry.cause is Cause.ADL]
                assert len(booked_as) == len(shown)
                deleveraged += shown
        # Both who could not pay and who had to give up a profit.
        assert any(Decimal(row["closedPnl"]) < 0 for row in deleveraged)
        assert any(Decimal(row["closedPnl"]) > 0 for row in deleveraged)
        assert venue.exchange.imbalance() == {}

    async def agrees(self, reader, truth):
        sizes, wallets, _ = await booked(reader)
        fills = [entry for entry in reader.facts.values() if entry.kind is Kind.FILL]
        fees = sum((one.fee for one in fills if one.fee_currency == "USDC"), Decimal(0))
        funding = [one.amount for one in reader.facts.values() if one.kind is Kind.FUNDING]
        assert sizes == {coin: one.leg.size for coin, one in truth.positions.items()}
        assert len(fills) == truth.totals.fills
        # A withdrawal's fee is the venue's too, but no trade's.
        withdrawals = sum(1 for row in truth.ledger if row["delta"]["type"] == "withdraw")
        assert fees == truth.totals.fees["USDC"] - withdrawals
        assert sum(funding) == truth.totals.funding
        for dex, name, asset in (("", "perp", "USDC"), ("flx", "perp:flx", "USDH")):
            # Our perp wallet is cash without open positions; the venue's raw USD has paid for them.
            held = [one for one in truth.positions.values() if one.market.listing.dex == dex]
            cash = truth.cash.get(dex, Decimal(0)) + sum((one.cash or 0 for one in held), Decimal(0))
            paid = sum((one.leg.size * one.leg.entry for one in held), Decimal(0))
            ours = wallets.get((name, asset), Decimal(0))
            assert ours == pytest.approx(cash + paid, abs=Decimal("1e-12")), name
        spot = {asset: amount for (wallet, asset), amount in wallets.items() if wallet == "spot" and amount}
        assert spot == {token: amount for token, amount in truth.spot.items() if amount}


class TestABookOfTheSimulatedCoinbase:
    async def test_an_hour_with_faults_folds_to_the_venues_own_ledger(self):
        catalogs.forget()
        simulation = SpotSimulation(seed=21, now=wall_clock() - SECONDS * 1000, traders=3, speed=SPEED)
        desk = Desk(simulation)
        async with TestServer(coinbase_application(desk, allow_control=True, ticking=False)) as server:
            base = str(server.make_url("")).rstrip("/")
            since = datetime.fromtimestamp(simulation.start / 1000 - 1, UTC)
            readers = [
                Reader(
                    Coinbase(
                        account(
                            "coinbase",
                            base,
                            credentials=Credentials(api_key=customer_key(index), secret="any"),
                        ),
                        ports(),
                    ),
                    since,
                )
                for index in range(3)
            ]
            for turn in range(ROUNDS):
                fault = dict(FAULTS[turn % len(FAULTS)])
                desk.cause(fault | ({"type": "fills"} if "type" in fault else {}))
                desk.tick(simulation.start + (turn + 1) * SECONDS * 1000 // ROUNDS)
                for reader in readers:
                    await reader.read()
                desk.faults.clear()
            for index, reader in enumerate(readers):
                await reader.read()
                customer = desk.exchange.customer(customer_key(index))
                _, wallets, _ = await booked(reader)
                ours = {asset: amount for (_, asset), amount in wallets.items() if amount}
                assert ours == {one.currency: one.total for one in customer.wallets.values() if one.total}
                assert len(reader.facts) == customer.count + len(customer.transfers)
                assert customer.count > 5
                await reader.adapter.close()
