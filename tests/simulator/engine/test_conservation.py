"""Nothing is created, nothing is lost: at every step all users' equity is deposits - withdrawals - fees."""

import hashlib
import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.engine import deleveraging, funding, liquidation, transfers
from simulator.engine.exchange import Exchange
from simulator.engine.makers import MarketMaker
from simulator.engine.matching import Rejected, Request, place
from simulator.engine.simulation import Phase, Simulation
from simulator.engine.steps import settle_marks

NOON = 1_760_000_000_000
CRASH = (Phase("calm", 60), Phase("crash", 120), Phase("trend"))


def history(seed, steps=400, **options):
    """(digest of everything that happened, the simulation)."""
    simulation = Simulation(seed=seed, now=NOON, **options)
    digest = hashlib.sha256()
    for step in range(1, steps + 1):
        simulation.advance(NOON + 250 * step)
        for one in simulation.exchange.drain():
            digest.update(json.dumps([one.kind, one.key, one.row]).encode())
        assert simulation.exchange.imbalance() == {}
    return digest.hexdigest(), simulation


def debts(exchange):
    """Who owes: the equity of each margin (cross account by dex, isolated position) below zero."""
    found = {}
    for account in exchange.accounts.values():
        equities = {dex: account.cross_equity(dex) for dex in account.dexs()}
        equities |= {
            coin: account.equity_behind(one)
            for coin, one in account.positions.items()
            if one.cash is not None
        }
        found |= {(account.address, name): equity for name, equity in equities.items() if equity < 0}
    return found


class TestASimulation:
    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_conserves_every_token_at_every_step_of_a_crash(self, seed):
        _, simulation = history(seed, traders=10, speed=5, phases=CRASH)
        traded = sum(one.account.totals.fills for one in simulation.traders)
        assert traded > 100

    def test_tells_the_same_history_to_the_same_seed(self):
        assert history(7, traders=5, speed=4)[0] == history(7, traders=5, speed=4)[0]

    def test_tells_another_history_to_another_seed(self):
        assert history(7, steps=40, traders=5)[0] != history(8, steps=40, traders=5)[0]

    def test_catches_up_in_steps_as_if_it_had_never_waited(self):
        steady, late = (Simulation(seed=5, now=NOON, traders=6, speed=4) for _ in range(2))
        for step in range(1, 201):
            steady.advance(NOON + 250 * step)
        late.advance(NOON + 250 * 200)
        assert steady.exchange.outbox == late.exchange.outbox

    def test_does_everything_that_traders_do(self):
        _, simulation = history(2, steps=600, traders=10, speed=16, phases=CRASH)
        names = {row["dir"] for one in simulation.traders for row in one.account.fills}
        kinds = {row["delta"]["type"] for one in simulation.traders for row in one.account.ledger}
        assert names >= {
            "Open Long",
            "Close Long",
            "Open Short",
            "Close Short",
            "Long > Short",
            "Short > Long",
        }
        assert names >= {"Buy", "Sell"}
        assert kinds >= {"deposit", "withdraw", "accountClassTransfer", "liquidation"}
        assert kinds >= {"spotTransfer", "send"}
        coins = {row["coin"] for one in simulation.traders for row in one.account.fills}
        assert {coin.partition(":")[0] for coin in coins if ":" in coin} == {"flx"}
        assert any(row["crossed"] is False for one in simulation.traders for row in one.account.fills)
        assert all(one.account.fundings for one in simulation.traders)


@pytest.fixture(scope="module")
def crashed():
    """A crash with a vault of 3,000 USDC."""
    simulation = Simulation(
        seed=3, now=NOON, traders=10, speed=60, phases=(Phase("crash"),), vault=Decimal(3_000)
    )
    for step in range(1, 301):
        simulation.advance(NOON + 250 * step)
        assert simulation.exchange.imbalance() == {}
    return simulation


class TestACrashWithASmallVault:
    def rows(self, simulation):
        accounts = simulation.exchange.accounts.values()
        return [
            (account, row)
            for account in accounts
            for row in account.fills
            if row["dir"] == "Auto-Deleveraging"
        ]

    def test_deleverages_by_itself_with_both_sides_told(self, crashed):
        rows = self.rows(crashed)
        assert any(not account.house for account, _ in rows)
        by_trade = {}
        for account, row in rows:
            by_trade.setdefault(row["tid"], []).append((account.address, row["side"], row["px"], row["sz"]))
        for sides in by_trade.values():
            # The maker keeps its last 200 fills only.
            assert len({(px, sz) for _, _, px, sz in sides}) == 1
            assert len(sides) == len({side for _, side, _, _ in sides}) <= 2

    def test_tells_the_same_history_to_the_same_seed(self):
        options = {"traders": 5, "speed": 60, "phases": (Phase("crash"),), "vault": Decimal(0)}
        (first, simulation), (second, _) = (history(3, steps=120, **options) for _ in range(2))
        assert self.rows(simulation)
        assert first == second

    def test_leaves_nobody_in_debt(self, crashed):
        liquidation.sweep(crashed.exchange)
        assert debts(crashed.exchange) == {}


class TestAnEndlessCrash:
    def test_prices_stop_falling_before_quotes_lose_their_ticks(self):
        simulation = Simulation(seed=1, now=NOON, traders=2, speed=2_000, phases=(Phase("crash"),))
        simulation.advance(NOON + 250 * 120)
        for market in simulation.exchange.markets.values():
            assert market.oracle >= market.lowest
            assert market.mid is not None
        assert simulation.exchange.imbalance() == {}


COINS = ("BTC", "HYPE", "kPEPE", "flx:CRCL", "@1")
ADDRESSES = tuple("0x" + digit * 40 for digit in "123")
MOVES = st.one_of(
    st.tuples(
        st.just("order"),
        st.sampled_from(ADDRESSES),
        st.sampled_from(COINS),
        st.booleans(),
        st.integers(1, 400),
    ),
    st.tuples(st.just("price"), st.sampled_from(COINS), st.integers(-30, 30)),
    st.tuples(
        st.just("lever"),
        st.sampled_from(ADDRESSES),
        st.sampled_from(COINS),
        st.booleans(),
        st.integers(1, 10),
    ),
    st.tuples(st.just("funding")),
    st.tuples(st.just("withdraw"), st.sampled_from(ADDRESSES), st.integers(2, 5000)),
    st.tuples(st.just("adl"), st.sampled_from(ADDRESSES)),
    st.tuples(st.just("mode"), st.sampled_from(ADDRESSES), st.sampled_from(["unifiedAccount", "default"])),
)


class TestAnySequenceOfCalls:
    @settings(max_examples=40)
    @given(st.lists(MOVES, max_size=25), st.sampled_from([0, 2_000, 2_000_000_000]))
    def test_conserves_every_token_and_leaves_nobody_in_debt(self, moves, vault):
        exchange = Exchange(seed=1, now=NOON, vault=Decimal(vault))
        maker = MarketMaker(exchange)
        for address in ADDRESSES:
            account = exchange.account(address)
            exchange.deposit(account, Decimal(10_000))
            exchange.deposit(account, Decimal(10_000), dex="flx")
            transfers.deposit_spot(exchange, account, "USDC", Decimal(10_000), cost=Decimal(10_000))
        for move in moves:
            maker.quote(exchange)
            self.make(exchange, *move)
            assert exchange.imbalance() == {}
            liquidation.sweep(exchange)
            assert exchange.imbalance() == {}
            assert debts(exchange) == {}
        for account in exchange.accounts.values():
            sizes = {coin: one.leg.size for coin, one in account.positions.items()}
            assert all(size != 0 for size in sizes.values())

    def make(self, exchange, kind, *facts):
        if kind == "order":
            address, coin, is_buy, tens = facts
            market = exchange.markets[coin]
            step = Decimal(1).scaleb(-market.listing.size_decimals)
            size = max(step, (Decimal(tens * 100) / market.mark).quantize(step))
            price = market.listing.rounded(market.mark * (Decimal("1.05") if is_buy else Decimal("0.95")))
            tif = "Ioc" if tens % 3 else "Gtc"
            try:
                place(exchange, exchange.account(address), Request(market, is_buy, price, size, tif))
            except Rejected:
                return
        elif kind == "price":
            coin, percent = facts
            market = exchange.markets[coin]
            market.jump(market.oracle * (100 + percent) / 100, now=exchange.now)
            settle_marks(exchange)
        elif kind == "lever":
            address, coin, cross, leverage = facts
            exchange.account(address).settings[coin] = (cross and not coin.startswith("flx"), leverage)
        elif kind == "mode":
            address, mode = facts
            exchange.account(address).switch_mode(mode)
        elif kind == "funding":
            funding.pay(exchange)
        elif kind == "withdraw":
            try:
                transfers.withdraw(exchange, exchange.account(facts[0]), Decimal(facts[1]))
            except transfers.Insufficient:
                return
        else:
            account = exchange.account(facts[0])
            for position in list(account.positions.values())[:1]:
                price = deleveraging.closing_price(account, position)
                deleveraging.deleverage(exchange, account, position, price)
