"""What cannot be booked is named, kept, and never lost; the caller chooses what becomes of the rest."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from positions import ingest, observe
from positions.book import Cause, InvalidEntry, Leg
from positions.book.world import World
from positions.ledger import quarantine
from positions.ledger.fold import advance
from positions.models import Balance, Entry, FeedCursor, Position, QuarantinedEntry
from tests.positions.conftest import SPOT
from tests.positions.facts import amend, bust, fill, moment, transfer

pytestmark = pytest.mark.django_db
GOOD = {"fee": "0", "fee_currency": "USDC"}


def plainly(**changes: str) -> dict[str, str]:
    entry = fill("buy 1 @ 60000 fee 0 USDC", at=1, ref="plain").to_plain()
    return {name: value for name, value in (entry | changes).items() if value != "-"}


class TestAnOffender:
    @pytest.mark.parametrize(
        ("entry", "reason", "said"),
        [
            (
                fill("buy 1 @ 1 fee 0 USDC", at=1, ref="x", instrument="DOGE"),
                "unknown_instrument",
                "x: .*DOGE",
            ),
            (fill("buy 1 @ 1 fee 1 DOGE", at=1, ref="x"), "unknown_currency", "x: .*currency DOGE"),
            (transfer("1 DOGE", at=1, ref="x"), "unknown_currency", "x: .*currency DOGE"),
            (fill("buy 1 @ 1 fee 0 USDC", at=86_400 * 365, ref="x"), "future", "x: .*future"),
            (
                fill(f"buy {10**19} @ {10**19} fee 0 USDC", at=1, ref="x"),
                "invalid",
                "x: quantity × price is too large",
            ),
            (plainly(quantity="NaN"), "invalid", "quantity of entry plain"),
            (plainly(quantity="-1"), "invalid", "quantity of entry plain"),
            (plainly(price="0"), "invalid", "price of entry plain"),
            (plainly(price="1.0000000000000000001"), "invalid", "more than 18 decimals"),
            (plainly(quantity="1" * 40), "invalid", "more than 20 digits"),
            (plainly(time="2026-01-15T11:00:00"), "invalid", "no time zone"),
            (plainly(fee_currency="-", fee="1"), "invalid", "a fee without a currency"),
            (plainly(kind="gift"), "invalid", "kind of entry plain"),
            (plainly(venue_ref="-"), "invalid", "venue_ref"),
            (plainly(wallet="w" * 41), "invalid", "wallet has more than 40 letters"),
            (plainly(venue_ref="a\0b"), "invalid", "venue_ref is no text"),
            (fill("buy 1 @ 1 fee 0 USDC", at=1, ref="\ud800"), "invalid", "venue_ref is no text"),
            (plainly(reason="a\0b"), "invalid", "reason is no text"),
        ],
    )
    def test_is_quarantined_with_its_payload_and_the_rest_is_booked(self, book, entry, reason, said):
        done = book(fill("buy 1 @ 60000 fee 0 USDC", at=1, ref="good"), entry)
        assert [one.outcome for one in done.results] == ["booked", "quarantined"]
        kept = QuarantinedEntry.objects.get()
        assert kept.reason == reason
        assert pytest.raises(AssertionError, match=said).matches(AssertionError(kept.detail))
        assert kept.content
        assert Position.objects.get().quantity == 1

    def test_rejects_the_batch_when_the_caller_chose_that(self, book):
        with pytest.raises(ingest.BatchRejection, match="DOGE") as refused:
            book(
                fill("buy 1 @ 60000 fee 0 USDC", at=1),
                fill("buy 1 @ 1 fee 0 USDC", at=1, instrument="DOGE", ref="bad"),
                on_error="reject",
            )
        assert [(one.index, one.venue_ref) for one in refused.value.offenders] == [(1, "bad")]
        assert not Entry.objects.exists()
        assert QuarantinedEntry.objects.get().venue_ref == "bad"

    def test_that_comes_again_is_only_counted(self, book):
        for _ in range(3):
            book(fill("buy 1 @ 1 fee 0 USDC", at=1, instrument="DOGE", ref="bad"))
        assert QuarantinedEntry.objects.get().seen == 3

    def test_is_not_kept_where_too_many_of_its_source_are(self, book, monkeypatch):
        monkeypatch.setattr(quarantine, "MOST_OPEN", 2)
        bad = [fill("buy 1 @ 1 fee 0 USDC", at=1, instrument="DOGE", ref=f"bad{n}") for n in range(4)]
        book(*bad)
        book(*bad)
        assert [(one.venue_ref, one.seen) for one in QuarantinedEntry.objects.order_by("pk")] == [
            ("bad0", 2),
            ("bad1", 2),
        ]

    def test_is_booked_once_the_venue_lists_what_it_named(self, book, account, now):
        entry = fill("buy 1 @ 1 fee 0 USDC", at=1, instrument="DOGE", ref="early")
        book(entry)
        described = observe.InstrumentDescription(
            venue_symbol="DOGE", symbol="DOGE", kind="linear", base="DOGE", quote="USDC", settle="USDC"
        )
        observe.instruments(world=World(account.venue, "live"), described=[described], now=now)
        assert book(entry).results[0].outcome == "booked"
        kept = QuarantinedEntry.objects.get()
        assert (kept.settled_at, kept.settlement) == (now, "booked since")

    def test_is_none_when_only_the_other_side_is_too_small_to_count(self, book):
        text = "buy 0.000000000000000001 @ 0.01 fee 0 USDC"
        done = book(fill(text, at=1, ref="dust", instrument="ETH/BTC"))
        assert done.results[0].outcome == "booked"
        assert list(Position.objects.values_list("instrument__symbol", flat=True)) == ["ETH"]

    def test_that_the_fold_refuses_is_named(self, book, monkeypatch):
        apply = advance.apply

        def picky(position, entry):
            if entry.venue_ref == "odd":
                raise InvalidEntry(field="quantity", entry="odd", problem="cannot be counted")
            return apply(position, entry)

        monkeypatch.setattr(advance, "apply", picky)
        book(fill("buy 1 @ 60000 fee 0 USDC", at=1))
        entries = [fill("buy 1 @ 60000 fee 0 USDC", at=2), fill("buy 1 @ 60000 fee 0 USDC", at=3, ref="odd")]
        done = book(*entries)
        assert [one.outcome for one in done.results] == ["booked", "quarantined"]
        assert QuarantinedEntry.objects.get().detail == "quantity of entry odd: cannot be counted"
        with pytest.raises(ingest.BatchRejection, match="cannot be counted"):
            book(fill("buy 1 @ 60000 fee 0 USDC", at=4, ref="odd"), on_error="reject")
        assert Position.objects.get().quantity == 2

    def test_whose_par_value_is_too_large_is_named(self, book, instruments, now):
        mark = observe.MarkPrice(
            instrument=instruments["BNB/USDC"], price=Decimal(10) ** 15, source="test", at=moment(0)
        )
        observe.marks(prices=[mark], now=now)
        done = book(
            fill("buy 1 @ 60000 fee 0 USDC", at=1), fill(f"buy 1 @ 1 fee {10**10} BNB", at=2, ref="odd")
        )
        assert [one.outcome for one in done.results] == ["booked", "quarantined"]
        assert "20 digits" in done.results[1].detail

    def test_is_settled_by_hand_once(self, book, now):
        book(fill("buy 1 @ 1 fee 0 USDC", at=1, instrument="DOGE", ref="bad"))
        kept = QuarantinedEntry.objects.get()
        given = {"quarantined": kept.pk, "settlement": "not ours", "who": "ada", "now": now}
        assert ingest.settle_quarantined(**given)
        assert not ingest.settle_quarantined(**given)
        kept.refresh_from_db()
        assert kept.settlement == "ada: not ours"

    def test_that_comes_again_after_it_was_settled_is_open_again(self, book, now):
        bad = fill("buy 1 @ 1 fee 0 USDC", at=1, instrument="DOGE", ref="bad")
        book(bad)
        kept = QuarantinedEntry.objects.get()
        ingest.settle_quarantined(quarantined=kept.pk, settlement="not ours", who="ada", now=now)
        book(bad)
        assert QuarantinedEntry.objects.get().settled_at is None


class TestAConflict:
    def test_is_kept_beside_what_is_booked(self, book):
        book(fill("buy 1 @ 60000 fee 0 USDC", at=1, ref="f"))
        done = book(fill("buy 1 @ 60001 fee 0 USDC", at=1, ref="f"))
        assert done.results[0].outcome == "conflict"
        assert "price is 60000, not 60001" in done.results[0].detail
        kept = QuarantinedEntry.objects.get()
        assert (kept.reason, kept.conflicts_with.venue_ref) == ("conflict", "f")
        assert Position.objects.get().entry_price == 60000

    def test_rejects_the_batch_when_the_caller_chose_that(self, book):
        book(fill("buy 1 @ 60000 fee 0 USDC", at=1, ref="f"))
        with pytest.raises(ingest.BatchRejection, match="price is 60000, not 60001"):
            book(fill("buy 1 @ 60001 fee 0 USDC", at=1, ref="f"), on_error="reject")
        assert QuarantinedEntry.objects.count() == 1

    def test_is_not_found_against_what_an_amend_made_of_it(self, book):
        book(fill("buy 1 @ 60000 fee 0 USDC", at=1, ref="f"), amend("f", at=2, price=Decimal(60001)))
        assert book(fill("buy 1 @ 60001 fee 0 USDC", at=1, ref="f")).results[0].outcome == "duplicate"
        assert book(fill("buy 1 @ 60000 fee 0 USDC", at=1, ref="f")).results[0].outcome == "duplicate"
        assert Position.objects.get().entry_price == 60001

    def test_within_one_batch_is_found_too(self, book):
        done = book(
            fill("buy 1 @ 60000 fee 0 USDC", at=1, ref="f"), fill("buy 2 @ 60000 fee 0 USDC", at=1, ref="f")
        )
        assert [one.outcome for one in done.results] == ["booked", "conflict"]


HUGE = 9 * 10**19
TOO_LARGE = "with it a sum of its position or a balance has more than 20 digits before the point"


class TestASumThatNoLongerFits:
    """Each entry fits numeric(38,18); what they add up to does not."""

    def test_names_the_entry_with_which_it_did_not_fit_and_books_the_rest(self, book):
        done = book(
            fill("buy 1 @ 1 fee 0 USDC", at=1, ref="small"),
            fill(f"buy {HUGE} @ 1 fee 0 USDC", at=2, ref="huge"),
            fill(f"buy {HUGE} @ 1 fee 0 USDC", at=3, ref="too much"),
            fill("sell 1 @ 1 fee 0 USDC", at=4, ref="after"),
        )
        assert [one.outcome for one in done.results] == ["booked", "booked", "quarantined", "booked"]
        assert done.results[2].detail == f"too much: {TOO_LARGE}"
        assert Position.objects.get().quantity == HUGE
        kept = QuarantinedEntry.objects.get()
        assert (kept.venue_ref, kept.reason, kept.detail) == ("too much", "invalid", f"too much: {TOO_LARGE}")

    def test_books_nothing_when_the_caller_chose_that(self, book):
        entries = [fill(f"buy {HUGE} @ 1 fee 0 USDC", at=at, ref=f"huge-{at}") for at in (1, 2)]
        with pytest.raises(ingest.BatchRejection, match=f"huge-2: {TOO_LARGE}") as refused:
            book(*entries, on_error="reject")
        assert [one.index for one in refused.value.offenders] == [1]
        assert not Entry.objects.exists()

    def test_is_also_found_in_a_balance(self, book):
        book(transfer(f"{HUGE} USDC", at=1))
        done = book(transfer("5 USDC", at=2), transfer(f"{HUGE} USDC", at=3, ref="more"))
        assert [one.outcome for one in done.results] == ["booked", "quarantined"]
        assert Balance.objects.get().amount == HUGE + 5

    def test_is_also_found_when_a_late_fact_or_a_bust_makes_it(self, book):
        book(
            fill(f"buy {HUGE} @ 1 fee 0 USDC", at=10),
            fill(f"sell {HUGE - 1} @ 1 fee 0 USDC", at=20, ref="sold"),
            fill(f"buy {HUGE} @ 1 fee 0 USDC", at=30),
        )
        done = book(bust("sold", at=40), fill(f"buy {HUGE} @ 1 fee 0 USDC", at=15, ref="late"))
        assert [one.outcome for one in done.results] == ["quarantined", "quarantined"]
        assert Position.objects.get().quantity == HUGE + 1

    def test_of_a_file_names_its_row_and_books_nothing(self, account, now):
        entries = [fill(f"buy {HUGE} @ 1 fee 0 USDC", at=at, ref=f"huge-{at}") for at in (1, 2, 3)]
        with pytest.raises(ingest.BatchRejection, match=f"huge-2: {TOO_LARGE}") as refused:
            ingest.record_all(account=account, entries=entries, source="file", trace_id="t", now=now)
        assert [one.index for one in refused.value.offenders] == [1]
        assert not Entry.objects.exists()

    def test_ends_also_when_every_entry_is_one_too_many(self, book):
        book(fill(f"buy {HUGE} @ 1 fee 0 USDC", at=1))
        done = book(*(fill(f"buy {HUGE} @ 1 fee 0 USDC", at=2 + n) for n in range(40)))
        assert {one.outcome for one in done.results} == {"quarantined"}
        assert len(done.results) == QuarantinedEntry.objects.count() == 40


class TestAnInferredFill:
    def inferred(self, ref: str = "guess") -> object:
        text = "buy 2 @ 60000 fee 0 USDC"
        return fill(text, at=5, ref=ref, cause=Cause.INFERRED, watermark=moment(10))

    def test_is_replaced_when_the_real_one_arrives(self, book):
        book(self.inferred())
        book(fill("buy 2 @ 60010 fee 1 USDC", at=8, ref="real"))
        row = Position.objects.exclude(status="VOID").get()
        assert (row.quantity, row.entry_price) == (2, 60010)
        busting = Entry.objects.get(kind="bust")
        assert (busting.target_ref, busting.venue_ref) == ("guess", "guess~replaced-by:real")
        assert Balance.objects.get().amount == -1

    def test_stays_when_the_real_one_is_later_than_its_watermark(self, book):
        book(self.inferred(), fill("buy 2 @ 60010 fee 1 USDC", at=11))
        assert Position.objects.get().quantity == 4

    def test_stays_when_the_fill_is_of_another_leg(self, book):
        book(self.inferred())
        book(fill("buy 2 @ 60010 fee 1 USDC", at=8, leg=Leg.LONG))
        assert not Entry.objects.filter(kind="bust").exists()

    def test_is_replaced_once_however_many_real_fills_arrive(self, book):
        book(self.inferred())
        book(*(fill("buy 1 @ 60010 fee 0 USDC", at=at, ref=f"real-{at}") for at in (7, 8)))
        assert Entry.objects.filter(kind="bust").count() == 1
        assert Position.objects.exclude(status="VOID").get().quantity == 2

    def test_is_replaced_within_one_batch(self, book):
        book(self.inferred(), fill("buy 2 @ 60010 fee 0 USDC", at=8))
        assert Position.objects.exclude(status="VOID").get().quantity == 2

    @pytest.mark.parametrize("before", [True, False])
    def test_stays_replaced_while_the_real_one_counts(self, book, before):
        """Undoing the bust alone would count the trade twice: it is refused, whenever it comes."""
        undo = bust("guess~replaced-by:real", at=20, ref="undo")
        story = [self.inferred(), fill("buy 2 @ 60010 fee 1 USDC", at=8, ref="real")]
        for fact in [undo, *story] if before else [*story, undo]:
            done = book(fact)
            if fact is undo:
                assert done.results[0].outcome == "quarantined"
        refused = QuarantinedEntry.objects.get()
        assert refused.detail == (
            "undo: guess~replaced-by:real was booked because real arrived; if that is wrong, bust real"
        )
        assert Position.objects.exclude(status="VOID").get().entry_price == 60010

    def test_does_not_come_back_when_the_real_one_is_busted(self, book):
        """What is missing then is for the next reconciliation to find, with a new watermark."""
        book(self.inferred(), fill("buy 2 @ 60010 fee 1 USDC", at=8, ref="real"))
        book(bust("real", at=20))
        assert not Position.objects.exclude(status="VOID").exists()
        assert Balance.objects.get().amount == 0

    def test_may_be_undone_by_hand_and_that_undone_again(self, book):
        book(self.inferred())
        book(bust("guess", at=20))
        assert not Position.objects.exclude(status="VOID").exists()
        book(bust("bust-guess", at=21))
        assert Position.objects.get().quantity == 2
        book(fill("buy 2 @ 60010 fee 1 USDC", at=8, ref="real"))
        assert Position.objects.exclude(status="VOID").get().entry_price == 60010


class TestACorrection:
    def test_of_a_correction_undoes_it(self, book):
        book(fill("buy 1 @ 60000 fee 1 USDC", at=1, ref="f"))
        book(bust("f", at=2))
        assert (Balance.objects.get().amount, Position.objects.get().status) == (0, "VOID")
        book(bust("bust-f", at=3))
        assert Position.objects.get().status == "OPEN"
        assert Balance.objects.get().amount == -1

    def test_may_move_a_fact_in_time(self, book):
        book(
            fill("buy 1 @ 60000 fee 0 USDC", at=1, ref="f"), fill("sell 1 @ 61000 fee 0 USDC", at=2, ref="g")
        )
        book(amend("f", at=3, amended_time=moment(5)))
        (row,) = Position.objects.exclude(status="VOID")
        assert (row.opening_ref, row.realized_pnl) == ("g", 1000)
        void = Position.objects.get(status="VOID")
        assert (void.opening_ref, void.superseded_by, void.quantity) == ("f", row, 0)
        assert void.events.last().kind == "voided"
        assert void.events.last().before["realized_pnl"] == "1000"

    def test_that_brings_a_coin_in_reaches_that_coin(self, book):
        book(fill("buy 1 @ 60000", at=1, ref="f", instrument=SPOT))
        book(amend("f", at=2, fee=Decimal("0.5"), fee_currency="BNB"))
        book(fill("buy 1 @ 300 fee 0 USDC", at=0, instrument="BNB/USDC"))
        held = Position.objects.exclude(status="VOID").get(instrument__symbol="BNB")
        assert held.quantity == Decimal("0.5")


class TestACursor:
    def test_moves_with_its_facts_and_without_any(self, book):
        book(fill("buy 1 @ 1 fee 0 USDC", at=1), cursor=ingest.Cursor("fills", moment(1), {"id": "7"}))
        book(cursor=ingest.Cursor("fills", moment(9), {"id": "7"}))
        row = FeedCursor.objects.get()
        assert (row.through, row.position) == (moment(9), {"id": "7"})

    def test_stays_when_the_batch_is_rejected(self, book):
        with pytest.raises(ingest.BatchRejection):
            book(
                fill("buy 1 @ 1 fee 0 USDC", at=1, instrument="DOGE"),
                cursor=ingest.Cursor("fills", moment(1), {}),
                on_error="reject",
            )
        assert not FeedCursor.objects.exists()


class TestAnExpectedVersion:
    def test_that_is_stale_books_nothing_and_shows_both_states(self, book):
        book(fill("buy 1 @ 60000 fee 0 USDC", at=1))
        row = Position.objects.get()
        with pytest.raises(ingest.StaleVersion) as stale:
            book(fill("buy 1 @ 60000 fee 0 USDC", at=2), expected_version={row.pk: 7})
        assert (stale.value.expected, stale.value.actual) == (7, 1)
        assert stale.value.state["status"] == "OPEN"
        assert Entry.objects.count() == 1

    def test_of_a_position_that_is_not_there_is_stale(self, book):
        with pytest.raises(ingest.StaleVersion, match="does not exist"):
            book(fill("buy 1 @ 60000 fee 0 USDC", at=2), expected_version={987654: 1})


class TestABatch:
    def test_has_at_most_10_000_entries(self, book):
        with pytest.raises(ValueError, match="at most 10000"):
            book(*[fill("buy 1 @ 1 fee 0 USDC", at=1)] * 10_001)

    def test_of_two_thousand_is_one_change(self, book, account):
        entries = [
            fill(f"{'buy' if n % 2 else 'sell'} {n % 7 + 1} @ 60000 fee 1 USDC", at=n) for n in range(2000)
        ]
        done = book(*entries)
        assert (done.sequence, done.count(ingest.EntryOutcome.BOOKED)) == (1, 2000)

    def test_far_in_the_future_is_judged_by_the_given_time(self, book, now):
        late = fill("buy 1 @ 1 fee 0 USDC", at=86_400)
        assert book(late).results[0].outcome == "quarantined"
        assert book(late, now=now + timedelta(days=2)).results[0].outcome == "booked"
