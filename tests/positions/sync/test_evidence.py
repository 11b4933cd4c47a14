"""On what an account's and a leg's Synced rest."""

import pytest

from positions.models import Account, Instrument
from positions.sync import evidence
from positions.venues.base import Evidence


def account(venue: str) -> Account:
    return Account(label=venue, venue=venue, environment="manual" if venue == "manual" else "live")


def instrument(kind: str) -> Instrument:
    return Instrument(kind=kind)


class TestAnAccount:
    @pytest.mark.parametrize(
        ("venue", "unproven"),
        [
            ("hyperliquid", ()),
            ("coinbase", ()),
            ("okx", ("funding",)),
            ("binanceusdm", ("fills", "funding")),
            ("kraken", ("positions", "balances", "fills", "funding", "transfers")),
        ],
    )
    def test_names_the_methods_that_nothing_proves(self, venue, unproven):
        assert evidence.unproven(account(venue)) == unproven

    def test_kept_by_hand_needs_no_reading(self):
        assert evidence.unproven(account("manual")) == ()
        assert evidence.of_account(account=account("manual")).grade is Evidence.UNSUPPORTED

    def test_is_as_good_as_its_worst_reading(self):
        assert evidence.of_account(account=account("coinbase")).grade is Evidence.SIMULATED
        assert evidence.of_account(account=account("hyperliquid")).grade is Evidence.RECORDED
        assert evidence.of_account(account=account("okx")).grade is Evidence.UNPROVEN


class TestALeg:
    @pytest.mark.parametrize("kind", ["linear", "inverse"])
    def test_of_a_contract_depends_on_positions_and_fills(self, kind):
        found = evidence.of_leg(account=account("bybit"), instrument=instrument(kind))
        assert found.is_proven, "funding, which is unproven there, moves no contract"

    def test_of_a_coin_depends_on_balances_fills_and_transfers(self):
        found = evidence.of_leg(account=account("binancecoinm"), instrument=instrument("asset"))
        assert found.unproven == ("balances", "fills", "transfers")

    def test_of_cash_depends_on_funding_too(self):
        found = evidence.of_leg(account=account("bybit"), instrument=None)
        assert (found.is_proven, found.unproven) == (False, ("funding",))
