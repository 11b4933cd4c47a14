"""What wallets hold at connection, where the venue says no time with them (Coinbase, Binance, Bybit, …)."""

from datetime import timedelta
from decimal import Decimal

import pytest

from positions.sync import opening_balances
from positions.venues.base import BalanceRow, Report, ReportScope


class AVenue:
    """Says in each report, sent a second after the last, what its wallet holds then; the last for ever."""

    def __init__(self, now, *held):
        self.now, self.held, self.asked = now, list(held), 0

    async def report(self, *, scopes=None):
        held = self.held[min(self.asked, len(self.held) - 1)]
        rows = (BalanceRow(wallet="spot", asset="ETH", total=Decimal(held)),) if held is not None else ()
        at = self.now + timedelta(seconds=self.asked)
        self.asked += 1
        return Report(
            as_of=at, as_of_source="sent", received_at=at, balances=rows,
            scopes=(ReportScope(name="", complete=True),), balances_complete=held is not None,
        )  # fmt: skip

    async def instruments(self, *, refresh=False):
        return ()


def opened(venue):
    return [(one.amount, one.time - venue.now) for one in opening_balances.balances(venue=venue)]


class TestAnOpeningBalance:
    def test_is_at_the_time_of_the_second_of_three_reports(self, now):
        assert opened(AVenue(now, 2)) == [(2, timedelta(seconds=1))]

    def test_waits_until_the_wallet_is_quiet(self, now):
        assert opened(AVenue(now, 2, 3, 3, 2, 3)) == [(3, timedelta(seconds=5))]

    def test_waits_no_longer_than_it_is_worth(self, now):
        venue = AVenue(now, *range(1, 20))
        [(amount, _)] = opened(venue)
        assert (amount, venue.asked) == (opening_balances.MOST_LOOKS - 1, opening_balances.MOST_LOOKS)

    @pytest.mark.parametrize("held", [(None,), (2, None), (2, 2, None)])
    def test_is_none_where_the_wallet_could_not_be_read_each_time(self, now, held):
        assert opening_balances.balances(venue=AVenue(now, *held)) is None
