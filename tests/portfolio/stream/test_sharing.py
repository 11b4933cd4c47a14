import pytest

from portfolio.streaming import sharing


class TestAFairShare:
    @pytest.mark.parametrize(
        ("accounts", "copies", "share"), [(10, 1, 10), (10, 3, 4), (2, 3, 1), (0, 2, 0), (5, 0, 5)]
    )
    def test_is_the_accounts_over_the_copies_rounded_up(self, accounts, copies, share):
        assert sharing.fair_share(accounts=accounts, copies=copies) == share

    def test_leaves_the_newest_accounts_to_a_copy_that_joins(self):
        assert sharing.surplus(held=[1, 2, 3, 4], accounts=4, copies=2) == [4, 3]
        assert sharing.surplus(held=[1, 2], accounts=4, copies=2) == []


class TestCopies:
    def test_are_counted_while_they_give_signs_of_life(self):
        assert sharing.count_copies(me="a") == 1
        assert sharing.count_copies(me="b") == 2
        assert sharing.count_copies(me="a") == 2

    def test_are_no_longer_counted_once_they_leave(self):
        sharing.count_copies(me="a")
        sharing.count_copies(me="b")
        sharing.leave(me="b")
        assert sharing.count_copies(me="a") == 1

    def test_are_no_longer_counted_once_they_are_silent(self, monkeypatch):
        sharing.count_copies(me="a")
        monkeypatch.setattr(sharing, "GONE_AFTER", -1)
        assert sharing.count_copies(me="b") <= 1
