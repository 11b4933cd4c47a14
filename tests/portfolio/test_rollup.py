"""Totals, in a trader's words."""

from typing import Any

from portfolio import rollup


def held(**facts: Any) -> dict[str, Any]:
    """A long of 0.5 BTC on a live venue, worth 50,000, 1,000 up; say what differs."""
    return {
        "id": 1,
        "name": "BTC-PERP",
        "symbol": "BTC/USDC:USDC",
        "account": "main",
        "account_id": 1,
        "kind": "USDC",
        "mark_price": "100000",
        "mark_at": "2026-01-15T12:00:00+00:00",
        "environment": "live",
        "side": "long",
        "notional": "50000",
        "unrealized_pnl": "1000",
        "realized_pnl": "0",
        "in_par": True,
        "liquidation_distance_pct": "15.9",
        "risk": "safe",
        "proof": "PENDING",
        "feed": "live",
    } | facts


def live(*rows: dict[str, Any]) -> dict[str, Any]:
    return rollup.totals(rows=rows, environments=["live"])["live"]


class TestSums:
    def test_add_up_exactly(self):
        total = live(held(unrealized_pnl="0.1"), held(unrealized_pnl="0.2"))
        assert total["unrealized"] == "0.3"
        assert total["unrealized_note"] == "2 positions"

    def test_net_a_short_against_a_long_and_keep_both_in_the_exposure(self):
        total = live(held(notional="50000"), held(notional="20000", side="short"))
        assert (total["gross"], total["net"]) == ("70000", "30000")

    def test_leave_out_what_is_unknown_and_say_so(self):
        total = live(held(unrealized_pnl="1000"), held(unrealized_pnl=None))
        assert total["unrealized"] == "1000"
        assert total["unrealized_note"] == "2 positions, 1 unknown"

    def test_of_nothing_known_are_unknown_not_zero(self):
        assert live(held(unrealized_pnl=None))["unrealized"] is None

    def test_of_no_positions_are_zero(self):
        total = live()
        assert total["unrealized"] == "0"
        assert total["unrealized_note"] == "no open positions"

    def test_count_a_profit_in_bitcoin_at_what_a_bitcoin_is_worth(self):
        coin = {"in_par": False, "unrealized_pnl": "0.01", "notional": "0.5", "conversion": "60000"}
        total = live(held(), held(**coin, side="short"))
        assert (total["unrealized"], total["gross"], total["net"]) == ("1600", "80000", "20000")

    def test_leave_out_a_profit_counted_in_bitcoin(self):
        total = live(held(), held(in_par=False, unrealized_pnl="0.01", notional="0.5"))
        assert (total["unrealized"], total["gross"]) == ("1000", "50000")
        assert total["gross_note"] == ", 1 unknown"


def account(**facts: Any) -> dict[str, Any]:
    """A live account with 10,000 USD in cash; say what differs."""
    return {
        "id": 1,
        "environment": "live",
        "cash": "10000",
        "cash_unknown": 0,
        "feed": "live",
        "day_base": None,
    } | facts


def standing(*accounts: dict[str, Any], rows: Any = ()) -> dict[str, Any]:
    return rollup.totals(rows=rows, environments=["live"], accounts=accounts)["live"]


class TestEquity:
    def test_is_cash_and_what_derivatives_have_not_realized(self):
        total = standing(account(), account(id=2, cash="500.5"), rows=[held(unrealized_pnl="-1000")])
        assert (total["equity"], total["equity_note"]) == ("9500.5", "2 accounts")

    def test_counts_a_coin_once_as_it_is_in_the_cash(self):
        assert standing(account(), rows=[held(kind="spot", unrealized_pnl="77")])["equity"] == "10000"

    def test_is_unknown_while_nobody_says_how_accounts_stand(self):
        total = live(held())
        assert (total["equity"], total["equity_note"]) == (None, "not known now")
        assert (total["feeds"], total["feeds_note"], total["feeds_level"]) == ("—", "not known now", "watch")

    def test_leaves_out_what_nobody_can_value_and_says_so(self):
        total = standing(account(cash_unknown=2), rows=[held(unrealized_pnl=None), held(in_par=False)])
        assert (total["equity"], total["equity_note"]) == ("10000", "1 account, 4 unknown")

    def test_leaves_out_an_account_whose_cash_is_unknown_with_its_positions(self):
        total = standing(account(), account(id=2, cash=None), rows=[held(account_id=2)])
        assert (total["equity"], total["equity_note"]) == ("10000", "1 account, 1 unknown")

    def test_is_unknown_before_anybody_has_said_how_accounts_stand(self):
        assert live(held())["equity"] is None
        assert standing(account(cash=None))["equity"] is None

    def test_of_another_environment_does_not_count(self):
        assert standing(account(), account(id=2, environment="simulated"))["equity"] == "10000"


class TestToday:
    def test_is_equity_less_what_the_day_began_with_and_what_flowed(self):
        total = standing(account(day_base="9500"), account(id=2, cash="300", day_base="400"), rows=[held()])
        assert (total["equity"], total["today"]) == ("11300", "1400")
        assert total["today_note"] == ""
        assert total["today_pct"].startswith("14.14")  # of 9,900

    def test_leaves_out_an_account_whose_start_or_equity_is_not_known(self):
        total = standing(account(day_base="9500"), account(id=2), account(id=3, cash_unknown=1, day_base="1"))
        assert (total["today"], total["today_note"]) == ("500", "2 of 3 not known")

    def test_is_unknown_where_nothing_is_known(self):
        total = standing(account())
        assert (total["today"], total["today_pct"]) == (None, None)
        assert live(held())["today"] is None

    def test_of_a_day_that_began_with_nothing_has_no_percentage(self):
        total = standing(account(day_base="0"))
        assert (total["today"], total["today_pct"]) == ("10000", None)


class TestFeeds:
    def test_are_counted_the_worst_first(self):
        total = standing(
            *(account(id=n, feed=feed) for n, feed in enumerate(("live", "polled", "live", "stale")))
        )
        assert (total["feeds"], total["feeds_note"]) == ("1 stale", "2 live · 1 polled")
        assert total["feeds_level"] == "watch"

    def test_that_all_run_ask_for_nobody(self):
        total = standing(account(), account(id=2, feed="polled"), account(id=3, feed="none"))
        assert (total["feeds"], total["feeds_note"], total["feeds_level"]) == ("1 live", "1 polled", "")


class TestTheOldestPrice:
    def test_is_what_the_sums_are_as_old_as(self):
        rows = [held(), held(mark_at="2026-01-15T11:58:00+00:00"), held(mark_price=None, mark_at=None)]
        total = live(*rows)
        assert total["oldest_mark_at"] == "2026-01-15T11:58:00+00:00"
        assert total["unpriced"] == 1


class TestEnvironments:
    def test_never_mix(self):
        totals = rollup.totals(rows=[held(), held(account_id=2, environment="simulated", unrealized_pnl="7")])
        assert {name: total["unrealized"] for name, total in totals.items()} == {
            "live": "1000",
            "simulated": "7",
        }

    def test_come_live_first_whatever_is_held_first(self):
        rows = [
            held(account_id=3, environment="manual"), held(account_id=2, environment="simulated"), held()
        ]  # fmt: skip
        assert list(rollup.totals(rows=rows)) == ["live", "simulated", "manual"]

    def test_without_a_position_are_there_when_an_account_is(self):
        assert rollup.totals(rows=[], environments=["testnet"])["testnet"]["positions"] == 0


class TestNearestLiquidation:
    def test_is_the_smallest_distance(self):
        total = live(
            held(),
            held(name="HYPE-PERP", liquidation_distance_pct="3.7", risk="danger"),
            held(liquidation_distance_pct=None),
        )
        assert (total["nearest"], total["nearest_note"], total["nearest_risk"]) == (
            "3.7",
            "HYPE-PERP · main",
            "danger",
        )

    def test_is_unknown_when_nothing_is_leveraged(self):
        total = live(held(liquidation_distance_pct=None, risk="none"))
        assert (total["nearest"], total["nearest_risk"]) == (None, "none")

    def test_that_is_not_known_is_not_called_none(self):
        total = live(
            held(liquidation_distance_pct=None, risk="unknown", mark_price=None),
            held(liquidation_distance_pct=None, risk="none"),
        )
        assert (total["nearest"], total["nearest_risk"]) == (None, "watch")
        assert total["nearest_note"] == "1 leveraged, not known"

    def test_says_of_how_many_others_it_is_not_known(self):
        total = live(held(), held(liquidation_distance_pct=None, risk="unknown"))
        assert total["nearest_note"] == "BTC-PERP · main, 1 unknown"


class TestProof:
    def test_names_the_worst_first(self):
        total = live(held(proof="SYNCED"), held(proof="DRIFT"), held(proof="PENDING"))
        assert total["proof"] == "1 drift"
        assert total["proof_note"] == "1 synced · 1 not proven yet"
        assert total["proof_level"] == "act"

    def test_of_all_synced_is_quiet(self):
        total = live(held(proof="SYNCED"))
        assert (total["proof"], total["proof_note"], total["proof_level"]) == ("1 synced", "", "")

    def test_never_calls_unproven_synced(self):
        assert live(held())["proof"] == "1 not proven yet"

    def test_of_before_the_feed_stopped_is_no_synced(self):
        total = live(
            held(proof="SYNCED"), held(proof="SYNCED", feed="down"), held(proof="DRIFT", feed="down")
        )
        assert (total["proof"], total["proof_note"]) == ("1 drift", "1 synced · 1 synced earlier")
        total = live(held(proof="SYNCED", feed="stale"))
        assert (total["proof"], total["proof_note"], total["proof_level"]) == (
            "1 synced earlier",
            "",
            "watch",
        )
