"""A late fact is folded from shortly before it, and the book is the same as if it had come in time."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest

from positions import ingest
from positions.book import Cause, Entry
from positions.ledger import audit
from positions.ledger.fold import checkpoints
from positions.ledger.history import PostgresHistory
from positions.models import Account, Balance, Checkpoint, Position, PositionEvent
from tests.positions.conftest import SPOT, VENUE, assert_rebuild_changes_nothing
from tests.positions.facts import amend, bust, fill, moment, transfer
from tests.positions.ledger.test_any_order import deliver, picture, story

pytestmark = pytest.mark.django_db


@pytest.fixture
def often(monkeypatch):
    """Checkpoints so close together that a short story meets many."""
    monkeypatch.setattr(checkpoints, "SPAN", 3)
    monkeypatch.setattr(checkpoints, "BACK", (9, 5, 2))


@pytest.fixture
def read(monkeypatch):
    """The times after which refolds read facts again, in seconds after noon; None = all of them."""
    asked = []
    facts = PostgresHistory.facts

    def noted(ledger, traded, after):
        asked.append(None if after is None else (after - moment(0)).total_seconds())
        return facts(ledger, traded, after)

    monkeypatch.setattr(PostgresHistory, "facts", noted)
    return asked


def buys(first: int, last: int) -> list[Entry]:
    return [fill(f"buy 1 @ {60_000 + at} fee 1 USDC", at=at, ref=f"buy-{at:04}") for at in range(first, last)]


def held(book, last: int) -> None:
    """A position bought second by second; the first fact comes alone, as a key's first is always folded."""
    book(*buys(1, 2))
    book(*buys(2, last))


def kept() -> list[float]:
    return [
        (at - moment(0)).total_seconds()
        for at in Checkpoint.objects.order_by("at").values_list("at", flat=True)
    ]


def late(at: float, **fields) -> Entry:
    return fill("sell 0.5 @ 61000 fee 1 USDC", at=at, ref=f"late-{at}", **fields)


class TestFactsInOrder:
    def test_leave_a_state_every_32_facts(self, book):
        held(book, 100)
        assert kept() == [32, 64, 96]

    def test_leave_the_same_states_one_by_one(self, book):
        for fact in buys(1, 68):
            book(fact)
        assert kept() == [32, 64]

    def test_that_share_a_time_are_not_parted(self, book):
        shared = [fill("buy 1 @ 60000 fee 1 USDC", at=31, ref=f"same-{n}") for n in range(5)]
        held(book, 31)
        book(*shared, *buys(40, 42))
        assert kept() == [31]
        assert Position.objects.get().quantity == 30 + 5 + 2


class TestTheNumberOfStates:
    def test_is_bounded_however_long_an_episode_is(self, book, often):
        held(book, 2)
        for first in range(2, 602, 100):
            book(*buys(first, first + 100))
            assert len(kept()) <= checkpoints.DENSE + checkpoints.SPARSE
        newest, older = kept()[-checkpoints.DENSE :], kept()[: -checkpoints.DENSE]
        assert newest == [600 - 3 * n for n in reversed(range(checkpoints.DENSE))]
        assert len(older) > checkpoints.SPARSE // 4
        assert older[0] < 150

    def test_is_bounded_after_one_large_batch(self, book, often):
        held(book, 1_000)
        assert checkpoints.DENSE < len(kept()) <= checkpoints.DENSE + checkpoints.SPARSE
        assert kept()[0] < 100

    def test_does_not_depend_on_other_positions(self, book, often):
        held(book, 100)
        before = kept()
        other = [fill("buy 1 @ 3000 fee 1 USDC", at=at, instrument="ETH/USDC:USDC") for at in range(1, 400)]
        book(other[0])
        book(*other[1:])
        of_btc = Checkpoint.objects.filter(instrument__base="BTC").order_by("at")
        assert [(row.at - moment(0)).total_seconds() for row in of_btc] == before

    def test_changes_nothing_of_what_a_late_fact_does(self, book, often):
        held(book, 500)
        for at in (450.5, 200.5, 3.5):
            book(late(at))
        assert Position.objects.get().quantity == 499 - 3 * Decimal("0.5")


class TestALateFact:
    @pytest.mark.parametrize(("at", "begins"), [(95, 64), (64.5, 64), (64, 32), (63.5, 32), (31.5, None)])
    def test_is_folded_from_the_last_state_before_it(self, book, read, at, begins):
        held(book, 97)
        read.clear()
        book(late(at))
        assert read == [begins]
        book(late(at - 0.2))

    def test_leaves_states_behind_it(self, book, read):
        held(book, 601)
        book(late(1.5))
        assert kept() == [600 - 256, 600 - 32]
        read.clear()
        book(late(590.5))
        assert read == [568]

    def test_says_that_the_position_was_corrected(self, book):
        held(book, 70)
        book(late(65.5))
        assert PositionEvent.objects.latest("pk").kind == "corrected"

    def test_that_closes_the_position_makes_two_of_it(self, book):
        held(book, 70)
        book(fill("sell 65 @ 61000 fee 1 USDC", at=65.5, ref="late"))
        assert [str(p.status) for p in Position.objects.order_by("opened_at")] == ["CLOSED", "OPEN"]

    def test_reads_only_the_episodes_that_may_change(self, book, read):
        for n in range(5):
            book(*buys(1 + n * 10, 6 + n * 10), fill("sell 5 @ 61000 fee 1 USDC", at=7 + n * 10))
        book(*buys(100, 140))
        read.clear()
        book(late(135.5))
        assert read == [131]
        assert Position.objects.count() == 6


class TestACorrection:
    @pytest.mark.parametrize(("target", "begins"), [("buy-0010", None), ("buy-0032", None), ("buy-0040", 32)])
    def test_drops_the_states_that_it_makes_wrong(self, book, read, target, begins):
        held(book, 96)
        read.clear()
        book(bust(target, at=200))
        assert read == [begins]
        read.clear()
        book(amend("buy-0070", at=201, price=Decimal(1)))
        book(late(94.5))
        assert Position.objects.get().quantity == Decimal("93.5")

    def test_of_a_time_counts_from_the_earlier_of_both(self, book, read):
        held(book, 96)
        read.clear()
        book(amend("buy-0090", at=200, amended_time=moment(20.5)))
        book(amend("buy-0050", at=201, amended_time=moment(94.5)))
        assert read[0] is None

    def test_of_all_later_facts_leaves_the_state_before_them(self, book):
        held(book, 35)
        book(*(bust(f"buy-{at:04}", at=200) for at in (33, 34)))
        assert Position.objects.get().quantity == 32
        assert Position.objects.get().fill_count == 32


class TestAnOpeningBalance:
    def test_that_comes_late_drops_what_was_counted(self, book, account):
        book(*buys(1, 40), *(fill("sell 1 @ 61000 fee 1 USDC", at=at) for at in range(40, 70)))
        book(transfer("5000 USDC", at=50.5, ref="opening", cause=Cause.OPENING))
        assert kept() == []
        book(late(68.5))
        before = Balance.objects.get().amount
        assert_rebuild_changes_nothing(account, moment(500))
        assert Balance.objects.get().amount == before


class TestARebuild:
    def test_names_a_state_that_was_edited_and_drops_it(self, book, account, now):
        held(book, 96)
        Checkpoint.objects.filter(at=moment(64)).update(cash={"": ["1", 0]})
        text = Checkpoint.objects.get(at=moment(32)).state
        Checkpoint.objects.filter(at=moment(32)).update(state=text.replace('"size":"32"', '"size":"33"'))
        rebuild = {"account": account, "trace_id": "t", "now": now}
        found = ingest.rebuild_account(**rebuild, write_back=False).differences
        assert [(one.what.split(" at ")[0], one.field) for one in found] == [
            ("checkpoint of BTC/USDC:USDC net", "state"),
            ("checkpoint of BTC/USDC:USDC net", "cash"),
        ]
        assert len(kept()) == 2
        ingest.rebuild_account(**rebuild, write_back=True)
        assert kept() == []
        book(late(70.5))

    def test_of_a_right_book_keeps_the_states(self, book, account, now):
        held(book, 96)
        assert_rebuild_changes_nothing(account, now)
        assert len(kept()) == 2


def nearly_in_order(facts: list[Entry], draw: random.Random) -> list[Entry]:
    """As a live feed with several writers delivers: a little late, and corrections any time after."""
    reach = draw.choice([2, 10, 40])
    return sorted(facts, key=lambda fact: (fact.time - moment(0)).total_seconds() + draw.uniform(0, reach))


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("seed", range(6))
class TestAStory:
    def test_gives_the_same_book_in_any_order(self, instruments, now, seed):
        draw = random.Random(1000 + seed)
        facts = story(draw, 80)
        # Sides that add up: long episodes, in which late facts meet checkpoints.
        facts += [
            fill(
                "buy 9 @ 50000 fee 1 USDC",
                at=draw.randrange(1, 80),
                ref=f"more{n}{instrument}",
                instrument=instrument,
            )
            for n in range(8)
            for instrument in (SPOT, "BTC/USDC:USDC")
        ]
        at_once, jittered, shuffled = (
            Account.objects.create(label=f"{seed}-{n}", venue=VENUE, created_at=now) for n in range(3)
        )
        ingest.record(account=at_once, entries=facts, source="test", trace_id="t", now=now)
        for fact in nearly_in_order(facts, draw):
            ingest.record(account=jittered, entries=[fact], source="test", trace_id="t", now=now)
        assert Checkpoint.objects.filter(account=jittered).exists()
        deliver(shuffled, facts, draw, now)
        for account in (at_once, jittered, shuffled):
            assert_rebuild_changes_nothing(account, now)
            assert list(audit.rows(account=account)) == []
            assert picture(account) == picture(at_once)
