"""The book as of a moment, and a position's history in words."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest

from positions import ingest, queries
from positions.book import Cause, Leg
from positions.book.resolve import resolve
from positions.ledger.fold import checkpoints, rewind
from positions.ledger.history import PostgresHistory
from positions.models import Account, Balance, Position
from tests.positions.conftest import PERP, SPOT, VENUE
from tests.positions.facts import bust, fill, funding, moment, transfer
from tests.positions.ledger.test_any_order import deliver, story

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


class TestTheCostOfAMomentAgo:
    """A book of many facts is not folded again: only what came since is taken off it."""

    @pytest.fixture
    def read(self, monkeypatch):
        """How many facts were read back."""
        counted = []
        facts = PostgresHistory._facts

        def noted(ledger, *args, **named):
            found = facts(ledger, *args, **named)
            counted.append(len(found))
            return found

        monkeypatch.setattr(PostgresHistory, "_facts", noted)
        return counted

    def test_does_not_grow_with_the_book(self, book, account, read):
        book(fill("buy 1 @ 60000 fee 1 USDC", at=1, ref="first"))
        book(*(fill("buy 1 @ 60000 fee 1 USDC", at=at, ref=f"buy-{at}") for at in range(2, 400)))
        read.clear()
        then = queries.book_as_of(account=account, at=moment(397))
        assert [held.state.size for held in then.positions] == [397]
        assert sum(read) <= 2 + checkpoints.SPAN

    def test_does_not_grow_with_the_number_of_closed_positions(self, book, account, monkeypatch):
        read = []
        episodes = PostgresHistory._episodes

        def noted(ledger, *args):
            read.append(len(found := episodes(ledger, *args)))
            return found

        facts = [
            fill(f"{side} 1 @ 60000 fee 1 USDC", at=at + offset, ref=f"{side}-{at}")
            for at in range(1, 200, 2)
            for offset, side in ((0, "buy"), (1, "sell"))
        ]
        book(facts[0])
        book(*facts[1:])
        monkeypatch.setattr(PostgresHistory, "_episodes", noted)
        then = queries.book_as_of(account=account, at=moment(197))
        assert [held.state.size for held in then.positions] == [1]
        assert sum(read) <= 10
        book(fill("buy 1 @ 60000 fee 1 USDC", at=196.5, ref="late"))
        assert sum(read) <= 30

    def test_is_nothing_for_what_did_not_change_since(self, book, account, read):
        book(*(fill("buy 1 @ 60000 fee 1 USDC", at=at, ref=f"buy-{at}") for at in range(1, 40)))
        read.clear()
        assert queries.book_as_of(account=account, at=moment(39)).positions[0].state.size == 39
        assert read == [0]


class TestABookThatIsReadWhileFactsAreBooked:
    def test_is_the_book_of_one_moment(self, traded, book, account, monkeypatch):
        """A fill and its fee come between the two halves of a read: both count, or neither."""
        late = [fill("buy 1 @ 60000 fee 5 USDC", at=12, ref="late")]
        positions = rewind.Rewind.positions

        def interrupted(self, moved):
            while late:
                book(late.pop())
            return positions(self, moved)

        monkeypatch.setattr(rewind.Rewind, "positions", interrupted)
        then = queries.book_as_of(account=account, at=moment(15))
        assert [held.state.size for held in then.positions] == [3]
        assert then.balances["", "USDC"] == (Decimal(1000 - 1 - 3 - 5), 0)

    def test_is_read_under_the_lock_when_every_read_meets_a_booking(self, traded, book, account, monkeypatch):
        reads = iter(range(100))
        positions = rewind.Rewind.positions

        def interrupted(self, moved):
            if (number := next(reads)) < rewind.READS:
                book(fill("buy 1 @ 60000 fee 0 USDC", at=12, ref=f"late-{number}"))
            return positions(self, moved)

        monkeypatch.setattr(rewind.Rewind, "positions", interrupted)
        then = queries.book_as_of(account=account, at=moment(15))
        assert [held.state.size for held in then.positions] == [2 + rewind.READS]
        assert next(reads) == rewind.READS + 1


def _told_until(account, facts, at, now):
    """Another account that was told only what stands by a moment, in the words that stand."""
    other = Account.objects.create(label=f"{account.label} by {at}", venue=VENUE, created_at=now)
    stand = [fact for fact in resolve(facts).effective if fact.time <= at]
    if stand:
        ingest.record(account=other, entries=stand, source="test", trace_id="t", now=now)
    return other


def _held(account):
    """The folds of what is open, by symbol and leg."""
    rows = Position.objects.filter(account=account, status__in=("OPEN", "REDUCED"))
    found = (
        queries.position_as_of(account=account, instrument=row.instrument_id, leg=row.leg, at=moment(10_000))
        for row in rows
    )
    return {(held.symbol, held.leg): held.state for held in found}


def _amounts(balances):
    """What is held; a wallet that holds nothing yet need not be told."""
    return {key: value for key, value in balances.items() if value != (0, 0)}


@pytest.mark.parametrize("seed", range(6))
class TestAnyBookAsOfAnyMoment:
    """Seeded facts of every kind, corrected, retimed, in hedged legs, coins, and in any order."""

    def test_is_the_book_of_an_account_that_got_no_later_fact(self, instruments, now, monkeypatch, seed):
        monkeypatch.setattr(checkpoints, "SPAN", 3)
        monkeypatch.setattr(checkpoints, "BACK", (9, 5, 2))
        draw = random.Random(3000 + seed)
        facts = story(draw, 60)
        for n in range(12):  # long episodes: checkpoints to start from
            at = draw.randrange(1, 60)
            facts.append(fill("buy 9 @ 50000 fee 1 USDC", at=at, ref=f"more{n}"))
            facts.append(fill("buy 9 @ 50000 fee 1 USDC", at=at, ref=f"spot{n}", instrument=SPOT))
            words = "buy 1 @ 3000 fee 1 USDC"
            facts.append(
                fill(words, at=at, ref=f"long{n}", instrument="ETH/USDC:USDC", leg=Leg.LONG)
            )  # fmt: skip
        opened = seed % 2 == 1
        if opened:
            facts.append(transfer("5000 USDC", at=20, ref="opening", cause=Cause.OPENING))
        account = Account.objects.create(label=f"{seed}", venue=VENUE, created_at=now)
        deliver(account, facts, draw, now)
        for second in (*draw.sample(range(60), 4), 59.5, 200):
            at = moment(second)
            other = _told_until(account, facts, at, now)
            then = queries.book_as_of(account=account, at=at)
            assert {(held.symbol, held.leg): held.state for held in then.positions} == _held(other)
            if not opened or second >= 20:  # who was told of no opening balance counts from the beginning
                rows = Balance.objects.filter(account=other)
                told = {(row.wallet, row.asset): (row.amount, row.unknown_count) for row in rows}
                assert _amounts(then.balances) == _amounts(told)
            else:
                assert _amounts(then.balances) == {}


class TestTheHistory:
    def test_shows_what_each_fact_did(self, traded):
        closed = Position.objects.get(status="CLOSED")
        assert [(line.text, line.size) for line in queries.history(position=closed)] == [
            ("bought 2 at 60000: opened", 2),
            ("funding -3 USDC", 2),
            ("sold 1 at 61000: reduced", 1),
            ("sold 3 at 62000: turned", 0),
        ]

    def test_of_the_next_episode_begins_with_the_fill_that_flipped(self, traded):
        opened = Position.objects.get(status="OPEN")
        assert [line.text for line in queries.history(position=opened)] == ["sold 3 at 62000: turned"]

    def test_shows_who_did_what_by_hand(self, traded, now):
        opened = Position.objects.get(status="OPEN")
        ingest.annotate(position=opened.pk, note="hedge", who="tom", source="page", trace_id="t", now=now)
        last = queries.history(position=opened)[-1]
        assert (last.text, last.who) == ("annotated (note  → hedge)", "tom")

    def test_shows_corrections(self, traded, book):
        book(bust("b", at=40))
        opened = Position.objects.exclude(status="VOID").order_by("-opened_at")[0]
        told = [line.text for line in queries.history(position=opened)]
        assert any(text.startswith("corrected") for text in told)
