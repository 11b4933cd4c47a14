import psycopg
import pytest

from core.storage.leases import database_conninfo
from portfolio.stream import sharing


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
    def test_live_while_they_give_signs_of_life(self):
        assert sharing.alive(me="a") == {"a"}
        assert sharing.alive(me="b") == {"a", "b"}
        assert sharing.alive(me="a") == {"a", "b"}

    def test_live_no_longer_once_they_leave(self):
        sharing.alive(me="a")
        sharing.alive(me="b")
        sharing.leave(me="b")
        assert sharing.alive(me="a") == {"a"}

    def test_live_no_longer_once_they_are_silent(self, monkeypatch):
        sharing.alive(me="a")
        monkeypatch.setattr(sharing, "GONE_AFTER", -1)
        assert "a" not in sharing.alive(me="b")


@pytest.mark.django_db
class TestATransactionLeftOpen:
    """By a copy that is gone in the middle of a booking; nobody else may book for the account meanwhile."""

    @pytest.fixture
    def opened(self, monkeypatch):
        monkeypatch.setattr(sharing, "STUCK_AFTER", 0.0)
        with psycopg.connect(database_conninfo(), application_name=sharing.session_name("gone")) as session:
            session.execute("SELECT 1")
            yield session

    def test_is_ended(self, opened):
        assert sharing.end_transactions_of_the_gone(living={"me"}) == 1
        with pytest.raises(psycopg.OperationalError):
            opened.execute("SELECT 1")

    def test_is_left_alone_while_its_copy_lives(self, opened):
        assert sharing.end_transactions_of_the_gone(living={"me", "gone"}) == 0
        opened.execute("SELECT 1")

    def test_is_left_alone_while_it_is_young(self, opened, monkeypatch):
        monkeypatch.setattr(sharing, "STUCK_AFTER", 60.0)
        assert sharing.end_transactions_of_the_gone(living={"me"}) == 0

    def test_of_another_process_is_none_of_its_business(self, monkeypatch):
        monkeypatch.setattr(sharing, "STUCK_AFTER", 0.0)
        with psycopg.connect(database_conninfo(), application_name="celery") as session:
            session.execute("SELECT 1")
            assert sharing.end_transactions_of_the_gone(living={"me"}) == 0
