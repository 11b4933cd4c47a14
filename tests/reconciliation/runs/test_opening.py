"""An account that connects while it trades: what it held before, told late, in parts, or at other times."""

from datetime import timedelta

import pytest

from positions.models import Balance
from positions.sync import connections, opening_balances, poll
from positions.venues.transport.event_loop import run
from simulator.engine import transfers
from tests.reconciliation.stage import USER, D, booked, cases, held, leg, wallet, with_cut_history

pytestmark = pytest.mark.django_db


def connected(stage):
    """The account and its first run; ETH was traded just before, and its newest fill is listed 20 s late."""
    stage.do("withhold", what="fill", count=1, seconds=20)
    stage.trade("ETH", "buy", 3)
    account = stage.account()
    stage.wait(1)
    stage.reconcile(account, trigger="start")
    return account


def standing(account):
    """Σ of the fills that stand, by cause."""
    undone = set(booked(account, kind="bust").values_list("target_ref", flat=True))
    sums = {}
    for row in booked(account, kind="fill").exclude(venue_ref__in=undone):
        sums[row.cause] = sums.get(row.cause, D(0)) + row.quantity
    return sums


class TestALotBeforeTheHistory:
    def test_is_replaced_by_the_fill_that_it_stood_for(self, stage):
        account = connected(stage)
        assert (standing(account), held(account)) == ({"opening": D(3)}, {"ETH": D(3)})
        stage.wait(30)
        stage.reconcile(account, trigger="reconnect")
        assert (standing(account), held(account)) == ({"trade": D(3)}, {"ETH": D(3)})
        assert leg(account).status == "SYNCED"
        assert [one.state for one in cases(account)] == ["resolved"]

    def test_stays_beside_what_is_traded_after_it(self, stage):
        account = with_cut_history(stage)
        stage.heal()
        stage.fail("history_cut", rows=2)
        stage.wait(60)
        stage.trade("ETH", "sell", 2)
        stage.minutes(account)
        assert (standing(account), held(account)) == ({"opening": D(3), "trade": D(-1)}, {"ETH": D(2)})
        assert leg(account).status == "SYNCED"

    def test_goes_when_the_history_that_it_stood_for_is_read_after_all(self, stage):
        account = with_cut_history(stage)
        assert standing(account) == {"opening": D(3), "trade": D(1)}
        stage.heal()
        stage.wait(5)
        stage.reconcile(account, trigger="demand")
        assert (standing(account), held(account)) == ({"trade": D(4)}, {"ETH": D(4)})

    def test_is_not_supposed_where_the_venues_own_sizes_leave_no_room_for_one(self, stage):
        stage.trade("ETH", "buy", 1)
        stage.wait(1)
        account = connected(stage)
        assert standing(account) == {"trade": D(1)}
        assert [one.diagnosis[0]["cause"] for one in cases(account)] == ["fill_missed"]
        stage.wait(30)
        stage.reconcile(account, trigger="reconnect")
        assert (standing(account), held(account)) == ({"trade": D(4)}, {"ETH": D(4)})
        assert (leg(account).status, [one.state for one in cases(account)]) == ("SYNCED", ["resolved"])


def balance(account, name="perp:flx", asset="USDH"):
    return Balance.objects.filter(account=account, wallet=name, asset=asset).values_list("amount", flat=True)


class TestAWalletOnABuildersDex:
    """Hyperliquid answers for each dex apart, and for those out of use only now and then."""

    def test_is_opened_though_its_dex_was_looked_at_just_before_the_money_came(self, stage):
        account = stage.account()
        run(connections.connect(account=account).report())
        stage.do("deposit", amount=500, dex="flx")
        stage.wait(1)
        stage.reconcile(account, trigger="start")
        assert list(balance(account)) == [D(500)]
        stage.do("deposit", amount=20, dex="flx")
        stage.minutes(account)
        assert list(balance(account)) == [D(520)]
        assert wallet(account, "perp:flx", "USDH").status == "SYNCED"

    def test_is_opened_though_it_held_money_and_no_position_when_its_dex_was_looked_at(self, stage):
        stage.do("deposit", amount=500, dex="flx")
        account = stage.account()
        run(connections.connect(account=account).report())
        stage.reconcile(account, trigger="start")
        assert list(balance(account)) == [D(500)]

    def test_counts_once_what_arrives_while_the_other_dexes_have_answered_already(self, stage):
        stage.do("deposit", amount=500, dex="flx")
        account = stage.account()
        stage.wait(1)
        told, meanwhile = stage.venue.info.routes["clearinghouseState"], []

        def answer(body):
            if body.get("dex") == "flx" and not meanwhile:
                meanwhile.append(body)
                stage.ahead += timedelta(seconds=2)
                stage.venue.set_clock()
                stage.venue.exchange.deposit(stage.venue.exchange.account(USER), D(30), dex="flx")
            return told(body)

        stage.venue.info.routes["clearinghouseState"] = answer
        stage.reconcile(account, trigger="start")
        assert meanwhile
        assert list(balance(account)) == [D(530)]
        stage.minutes(account)
        assert list(balance(account)) == [D(530)]
        assert wallet(account, "perp:flx", "USDH").status == "SYNCED"

    def test_is_looked_at_with_every_report_once_money_came_to_it(self, stage, account):
        stage.do("deposit", amount=500, dex="flx")
        stage.wait(1)
        stage.reconcile(account, trigger="demand")
        stage.minutes(account)
        assert wallet(account, "perp:flx", "USDH").status == "SYNCED"


class TestAWalletWithoutATimeOfItsOwn:
    """Hyperliquid says no time with the spot wallet; its answer may come seconds after the others."""

    def meanwhile(self, stage, *, happens):
        """Two seconds pass, and something happens, before the first answer about the spot wallet."""
        told, waited = stage.venue.info.routes["spotClearinghouseState"], []

        def answer(body):
            if not waited:
                waited.append(body)
                stage.ahead += timedelta(seconds=2)
                stage.venue.set_clock()
                happens()
            return told(body)

        stage.venue.info.routes["spotClearinghouseState"] = answer

    def test_counts_once_what_is_bought_while_the_others_have_answered_already(self, stage):
        venue = stage.venue.exchange
        transfers.deposit_spot(venue, venue.account(USER), "HYPE", D(5), cost=D(0))
        account = stage.account()
        stage.wait(1)
        self.meanwhile(
            stage, happens=lambda: transfers.deposit_spot(venue, venue.account(USER), "HYPE", D(2), cost=D(0))
        )
        stage.reconcile(account, trigger="start")
        assert list(balance(account, "spot", "HYPE")) == [D(7)]
        stage.minutes(account)
        assert wallet(account, "spot", "HYPE").status == "SYNCED"
        assert held(account) == {"coin:HYPE": D(7)}

    def test_is_opened_all_the_same_where_it_never_rests(self, stage):
        venue = stage.venue.exchange
        told = stage.venue.info.routes["spotClearinghouseState"]
        asked = []

        def answer(body):
            asked.append(body)
            transfers.deposit_spot(venue, venue.account(USER), "HYPE", D(1), cost=D(0))
            return told(body)

        stage.venue.info.routes["spotClearinghouseState"] = answer
        account = stage.account()
        poll.facts(account=account, methods=[], now=stage.now(), trace_id="test")
        assert len(asked) == opening_balances.MOST_LOOKS
        assert booked(account, cause="opening", wallet="spot").count() == 1
