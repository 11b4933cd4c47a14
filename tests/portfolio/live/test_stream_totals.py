"""Equity and feeds on the stream: written by the refresh, added up by each hub for what a socket may see."""

from django.utils import timezone

from portfolio.totals import totals_store
from portfolio.totals.totals_store import PortfolioTotals
from positions import live
from tests.portfolio.live.hub_book import held
from tests.portfolio.live.hub_stage import joined, until
from tests.portfolio.test_rollup import account


def tell(*accounts):
    frame = {"at": timezone.now().isoformat(), "totals": {}, "accounts": list(accounts)}
    totals_store.store(
        PortfolioTotals(at=timezone.now(), accounts=list(accounts), sums={}, sequences={}, marks={})
    )
    live.append(kind="portfolio", frame=frame)


class TestEquityOnTheStream:
    async def test_is_there_from_the_first_frame_and_moves_with_prices(self, hub, book):
        tell(account(cash="10000"))
        book[1] = held(1, account=1, mark_price="98010")  # half a coin, 5 up
        vera = await joined(hub)
        (first,) = vera.all("snapshot")
        assert first["totals"]["live"]["equity"] == "10005"
        book[1] = held(1, account=1, mark_price="98020")
        await until(lambda: vera.all("portfolio"))
        assert vera.all("portfolio")[-1]["totals"]["live"]["equity"] == "10010"

    async def test_is_sent_again_when_only_cash_moved(self, hub, book):
        tell(account(cash="10000"))
        vera = await joined(hub)
        tell(account(cash="9000", feed="down"))
        await until(lambda: vera.all("portfolio"))
        totals = vera.all("portfolio")[-1]["totals"]["live"]
        assert (totals["equity"], totals["feeds"], totals["feeds_level"]) == ("9000", "1 down", "watch")

    async def test_is_of_the_accounts_that_a_socket_may_see(self, hub, book):
        tell(account(cash="10000"), account(id=2, cash="500"))
        book.update({1: held(1, account=1), 2: held(2, account=2, mark_price="98010")})
        bot, vera = await joined(hub, accounts=[2]), await joined(hub)
        assert bot.all("snapshot")[0]["totals"]["live"]["equity"] == "505"
        assert vera.all("snapshot")[0]["totals"]["live"]["equity"] == "11505"

    async def test_is_unknown_when_the_last_refresh_is_long_ago(self, hub, book, redis_server):
        tell(account(cash="10000"))
        vera = await joined(hub)
        redis_server.delete(totals_store.KEY)  # it expires after ten seconds
        await until(lambda: vera.all("portfolio"))
        assert vera.all("portfolio")[-1]["totals"]["live"]["equity"] is None
