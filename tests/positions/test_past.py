"""The book as of a moment, and a position's history in words."""

from __future__ import annotations

from decimal import Decimal

import pytest

from positions import ingest, queries
from positions.models import Position
from tests.positions.conftest import PERP
from tests.positions.facts import bust, fill, funding, moment, transfer

pytestmark = pytest.mark.django_db


@pytest.fixture
def traded(book):
    book(
        transfer("1000 USDC", at=0),
        fill("buy 2 @ 60000 fee 1 USDC", at=10, ref="a"),
        funding("-3 USDC", at=15),
        fill("sell 1 @ 61000 fee 1 USDC", at=20, ref="b"),
        fill("sell 3 @ 62000 fee 2 USDC", at=30, ref="c"),
    )


class TestThePositionAsOf:
    @pytest.mark.parametrize(
        ("at", "size", "realized"),
        [(5, 0, 0), (10, 2, 0), (19, 2, 0), (20, 1, 1000), (30, -2, 0), (99, -2, 0)],
    )
    def test_a_moment_is_the_fold_up_to_it(self, traded, account, instruments, at, size, realized):
        held = queries.position_as_of(account=account, instrument=instruments[PERP], leg="net", at=moment(at))
        assert (held.state.size, held.state.realized_pnl) == (size, realized)

    def test_counts_what_became_known_later(self, traded, book, account, instruments):
        book(bust("b", at=40))
        held = queries.position_as_of(account=account, instrument=instruments[PERP], leg="net", at=moment(25))
        assert held.state.size == 2


class TestTheBookAsOf:
    def test_a_moment_has_positions_and_balances(self, traded, account):
        then = queries.book_as_of(account=account, at=moment(20))
        assert [(held.symbol, held.state.size) for held in then.positions] == [(PERP, 1)]
        assert then.balances["", "USDC"] == (Decimal(1000 - 1 - 3 + 1000 - 1), 0)

    def test_now_is_the_book(self, traded, account):
        then = queries.book_as_of(account=account, at=moment(99))
        row = Position.objects.get(status="OPEN")
        assert [held.state.size for held in then.positions] == [row.quantity]
        (balance,) = account.balances.all()
        assert then.balances["", "USDC"] == (balance.amount, 0)


class TestTheHistory:
    def test_tells_what_each_fact_did(self, traded):
        closed = Position.objects.get(status="CLOSED")
        assert [(line.text, line.size) for line in queries.history(position=closed)] == [
            ("bought 2 at 60000: opened", 2),
            ("funding -3 USDC", 2),
            ("sold 1 at 61000: reduced", 1),
            ("sold 3 at 62000: turned", 0),
        ]

    def test_of_the_next_episode_begins_with_the_fact_that_turned(self, traded):
        opened = Position.objects.get(status="OPEN")
        assert [line.text for line in queries.history(position=opened)] == ["sold 3 at 62000: turned"]

    def test_tells_who_did_what_by_hand(self, traded, now):
        opened = Position.objects.get(status="OPEN")
        ingest.annotate(position=opened.pk, note="hedge", who="tom", source="page", trace_id="t", now=now)
        last = queries.history(position=opened)[-1]
        assert (last.text, last.who) == ("annotated (note  → hedge)", "tom")

    def test_tells_of_corrections(self, traded, book):
        book(bust("b", at=40))
        opened = Position.objects.exclude(status="VOID").order_by("-opened_at")[0]
        told = [line.text for line in queries.history(position=opened)]
        assert any(text.startswith("corrected") for text in told)
