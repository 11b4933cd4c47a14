"""A unified account: one balance per token, which spot buys with and positions rest on."""

from decimal import Decimal

import pytest

from simulator.engine import transfers
from simulator.engine.matching import Rejected
from tests.simulator.engine.conftest import ANN, BOB


@pytest.fixture
def account(floor):
    """Ann: 10,000 USDC in the perp wallet, 2,000 in the spot wallet, then unified."""
    account = floor.exchange.account(ANN)
    transfers.deposit_spot(floor.exchange, account, "USDC", Decimal(2_000), cost=Decimal(2_000))
    account.switch_mode("unifiedAccount")
    return account


def balance(account, coin):
    (row,) = [row for row in account.spot_state()["balances"] if row["coin"] == coin]
    return Decimal(row["total"]), Decimal(row["hold"])


class TestAUnifiedAccount:
    def test_has_all_its_money_in_the_spot_state(self, floor, account):
        assert balance(account, "USDC") == (12_000, 0)
        assert account.spot_state()["tokenToAvailableAfterMaintenance"] == [[0, "12000.0"]]
        state = account.state("", now=0)
        assert state["marginSummary"]["accountValue"] == state["withdrawable"] == "0.0"

    def test_shows_settled_money_and_what_positions_keep(self, floor, account):
        floor.lever(ANN, 10)
        floor.swap(ANN, BOB, "0.5", 100_000)
        fee = Decimal("22.5")
        floor.price("BTC", 101_000)
        assert balance(account, "USDC") == (12_000 - fee, 5_050)
        ((_, left),) = account.spot_state()["tokenToAvailableAfterMaintenance"]
        assert Decimal(left) == 12_000 - fee - Decimal(50_500) / 80
        assert account.state("", now=0)["marginSummary"]["accountValue"] == "500.0"

    def test_rests_positions_on_money_that_came_as_spot(self, floor, account):
        floor.lever(ANN, 10)
        floor.swap(ANN, BOB, "1.15", 100_000)
        assert floor.size(ANN) == Decimal("1.15"), "11,500 of margin: more than the perp wallet had"

    def test_buys_spot_with_money_that_came_as_perp(self, floor, account):
        transfers.deposit_spot(
            floor.exchange, floor.exchange.account(BOB), "PURR", Decimal(40_000), cost=Decimal(0)
        )
        floor.price("PURR/USDC", "0.25")
        floor.swap(ANN, BOB, 40_000, "0.25", coin="PURR/USDC")
        assert balance(account, "USDC")[0] == 2_000
        assert balance(account, "PURR")[0] == Decimal(40_000) * Decimal("0.9993")

    def test_cannot_spend_what_a_position_keeps(self, floor, account):
        floor.lever(ANN, 10)
        floor.swap(ANN, BOB, 1, 100_000)
        floor.price("PURR/USDC", "0.25")
        with pytest.raises(Rejected, match="Insufficient spot balance"):
            floor.order(ANN, "buy", 40_000, "0.25", coin="PURR/USDC")

    def test_cannot_margin_what_a_spot_order_keeps(self, floor, account):
        floor.price("PURR/USDC", "0.25")
        floor.order(ANN, "buy", 40_000, "0.25", coin="PURR/USDC")
        assert balance(account, "USDC") == (12_000, 10_000)
        floor.lever(ANN, 10)
        with pytest.raises(Rejected, match="Insufficient margin"):
            floor.swap(ANN, BOB, 1, 100_000)

    def test_has_no_wallets_to_move_money_between(self, floor, account):
        with pytest.raises(transfers.Insufficient, match="unified account is active"):
            transfers.to_class(floor.exchange, account, Decimal(10), to_perp=True)

    def test_that_is_no_longer_one_keeps_its_money_in_the_perp_wallet(self, floor, account):
        account.switch_mode("default")
        assert account.state("", now=0)["withdrawable"] == "12000.0"
        assert account.spot_state() == {"balances": []}
