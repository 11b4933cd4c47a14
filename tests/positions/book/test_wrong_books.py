import pytest

from tests.positions.book import wrong_books
from tests.positions.book.wrong_books import MISTAKES, Mistake, made


class TestTheRightBook:
    def test_passes_every_check(self):
        assert wrong_books.failing_examples() == []
        assert len(wrong_books.examples()) > 60


class TestWrongBooks:
    @pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
    def test_are_caught(self, mistake: Mistake):
        with made(mistake):
            caught = wrong_books.failing_examples() or wrong_books.failing_vectors()
        assert caught, f"no check notices that {mistake.name}"

    def test_leave_no_trace(self):
        with made(MISTAKES[0]):
            pass
        assert wrong_books.failing_examples() == []
