from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import pytest

from portfolio.stream.leg_check import LegCheck
from positions.venues.base import ReportScope
from reconciliation.rules.report_legs import OpenLeg, unexplained_legs
from tests.portfolio.stream.reports import report

BTC = ("BTC", "net")


def book(**quantities):
    return {(symbol, "net"): OpenLeg(Decimal(quantity)) for symbol, quantity in quantities.items()}


class Account:
    """A stream that states 2 BTC from second 0 on, looked at every quarter of a second."""

    def __init__(self):
        self.check = LegCheck()
        self.at = 0.0
        self.state("2")

    def state(self, stated):
        self.check.add(report(BTC=stated), at=self.at)

    def until(self, second, booked):
        """Look until a second, the book being `booked` (or what that says at a time); what was told when."""
        told = []
        while self.at < second:
            self.at += 0.25
            for due in self.check.due(at=self.at):
                ours = book(BTC=booked(self.at) if callable(booked) else booked)
                judged = self.check.judge(due, unexplained_legs(due, ours), at=self.at)
                told += [(self.at, "certain") for _ in judged.certain]
                told += [(self.at, "restless") for _ in judged.restless]
        return told


class TestADifference:
    @pytest.fixture
    def account(self):
        return Account()

    def test_counts_when_a_leg_that_stands_still_shows_it_twice(self, account):
        assert account.until(60, "1") == [(3.0, "certain")]

    def test_does_not_count_while_a_fill_is_on_its_way(self, account):
        assert account.until(60, lambda at: "1" if at < 2 else "2") == []

    def test_is_told_again_when_it_has_become_another_one(self, account):
        assert account.until(10, "1") == [(3.0, "certain")]
        [(_, kind)] = account.until(20, "1.5")
        assert kind == "certain"

    def test_is_told_again_when_it_was_over_in_between(self, account):
        account.until(10, "1")
        assert account.until(20, "2") == []
        assert len(account.until(30, "1")) == 1

    def test_that_comes_from_the_books_side_is_seen_within_seconds(self, account):
        assert account.until(30, "2") == []
        [(at, _)] = account.until(60, "1")
        assert at <= 30 + 7

    def test_of_a_leg_that_trades_without_pause_is_for_a_reconciliation_to_say(self, account):
        told = []
        for second in range(1, 24):
            account.state(str(2 + second))
            told += account.until(second, "1")
        assert {kind for _, kind in told} == {"restless"}
        assert 1 <= len(told) <= 3
        assert told[0][0] <= 12

    def test_that_stays_the_same_on_a_leg_that_trades_without_pause_is_told_within_seconds(self, account):
        told = []
        for second in range(1, 24):
            account.state(str(2 + second))
            told += account.until(second, str(1 + second))
        assert [kind for _, kind in told] == ["restless"] * 3
        assert told[0][0] <= 4
        assert all(later - earlier >= 8 for (earlier, _), (later, _) in pairwise(told))

    def test_of_a_leg_that_trades_without_pause_is_none_where_fills_are_only_on_their_way(self, account):
        """The book is a fill behind in every look, each time another one."""
        told = []
        for second in range(1, 8):
            account.state(str(2 + second**2))
            told += account.until(second, str(2 + (second - 1) ** 2))
        assert told == []

    def test_is_not_looked_for_in_a_report_that_newer_ones_have_overtaken(self):
        """The whole account is asked for once a minute; the stream tells of its parts each second."""
        check, found = LegCheck(), []
        whole = replace(
            report(BTC="1"),
            scopes=(ReportScope(name="", complete=True), ReportScope(name="flx", complete=True)),
        )
        check.add(whole, at=0)
        for quarter in range(1, 80):
            at, size = quarter / 4, str(1 + quarter // 4)
            check.add(report(BTC=size), at=at)
            check.add(report(scope="flx"), at=at)
            for due in check.due(at=at):
                judged = check.judge(due, unexplained_legs(due, book(BTC=size)), at=at)
                found += [*judged.certain, *judged.restless]
        assert found == []

    def test_does_not_hide_behind_another_leg_that_trades(self):
        check = LegCheck()
        found = []
        for quarter in range(40):
            at = quarter / 4
            check.add(report(BTC="2", ETH=str(1 + quarter)), at=at)
            for due in check.due(at=at):
                differs = unexplained_legs(due, book(BTC="1", ETH=str(1 + quarter)))
                found += check.judge(due, differs, at=at).certain
        assert found == [BTC]
