"""Markets are asked once and shared: through the cache between processes, by reference inside one."""

from __future__ import annotations

from dataclasses import replace

from positions.venues.generic.adapter import Generic
from positions.venues.generic.markets import store
from tests.positions.venues.generic.test_adapter import venue_of


class TestTheMarketStore:
    async def test_a_second_account_shares_the_first_ones_markets(self) -> None:
        first = venue_of("bybit")
        await first.markets()
        second = type(first)(replace(first.config, account="2"), first.ports)
        await second.markets()
        assert second.client.exchange.markets is first.client.exchange.markets

    async def test_another_process_reads_them_from_the_cache_and_asks_nobody(self) -> None:
        first = venue_of("bybit")
        exchange = first.client.exchange

        async def loaded(reload: bool = False) -> object:
            return exchange.markets

        exchange.load_markets = loaded
        store.forget()
        before = {row.venue_symbol: row for row in await first.instruments()}

        store.forget()
        second = type(first)(replace(first.config, account="2"), first.ports)
        after = {row.venue_symbol: row for row in await second.instruments()}
        assert after == before
        assert second.client.exchange.session is None, "no connection was opened"

    async def test_markets_of_different_servers_do_not_mix(self) -> None:
        live = venue_of("gate", Generic)
        other = replace(live.config, environment="simulated", base_url="http://127.0.0.1:1")
        assert other.server != live.config.server
