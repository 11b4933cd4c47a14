"""Annotations and moves between statuses."""

from __future__ import annotations

import pytest

from positions import ingest, live
from positions.ledger import statuses
from positions.models import Position, Status
from tests.positions.facts import fill

pytestmark = pytest.mark.django_db
BY = {"who": "tom", "source": "page", "trace_id": "trace-0002"}


@pytest.fixture
def position(book):
    book(fill("buy 2 @ 60000 fee 1 USDC", at=1))
    return Position.objects.get()


class TestAnnotating:
    def test_changes_what_is_given_and_no_version(self, position, now):
        row = ingest.annotate(
            position=position.pk, tags=[" core ", "core", "btc"], note="hold", now=now, **BY
        )
        assert (row.tags, row.note, row.strategy) == (["core", "btc"], "hold", "")
        assert (row.version, row.annotation_revision) == (1, 1)
        event = row.events.last()
        assert (event.kind, event.who, event.before) == ("annotated", "tom", {"tags": [], "note": ""})

    def test_of_nothing_new_writes_nothing(self, position, now):
        ingest.annotate(position=position.pk, note="hold", now=now, **BY)
        assert ingest.annotate(position=position.pk, note="hold", now=now, **BY).annotation_revision == 1

    def test_refuses_a_stale_revision(self, position, now):
        ingest.annotate(position=position.pk, note="hold", now=now, **BY)
        with pytest.raises(ingest.StaleAnnotation, match="at revision 1, not 0"):
            ingest.annotate(position=position.pk, note="sell", now=now, expected_revision=0, **BY)

    def test_survives_a_fill(self, position, book, now):
        ingest.annotate(position=position.pk, strategy="basis", now=now, **BY)
        book(fill("buy 1 @ 60000 fee 1 USDC", at=2))
        position.refresh_from_db()
        assert (position.strategy, position.version) == ("basis", 2)

    def test_reaches_the_live_log(self, position, now):
        ingest.annotate(position=position.pk, note="hold", now=now, **BY)
        assert live.published() == {position.account_id: 2}

    def test_refuses_what_is_too_long(self, position, now):
        with pytest.raises(ValueError, match="40 characters"):
            ingest.annotate(position=position.pk, tags=["x" * 41], now=now, **BY)


class TestMoving:
    def test_follows_the_table_and_leaves_an_event(self, position, now):
        row = ingest.move(position=position.pk, to=Status.CLOSING, now=now, reason="order sent", **BY)
        assert (row.status, row.version) == ("CLOSING", 2)
        event = row.events.last()
        assert (event.status_before, event.status_after, event.reason) == ("OPEN", "CLOSING", "order sent")

    def test_a_closing_position_stays_so_until_a_fill_closes_it(self, position, book, now):
        ingest.move(position=position.pk, to=Status.CLOSING, now=now, **BY)
        book(fill("sell 1 @ 60000 fee 1 USDC", at=2))
        position.refresh_from_db()
        assert position.status == "CLOSING"
        book(fill("sell 1 @ 60000 fee 1 USDC", at=3))
        position.refresh_from_db()
        assert position.status == "CLOSED"

    @pytest.mark.parametrize("to", [Status.OPENING, Status.VOID])
    def test_names_both_states_of_an_illegal_move(self, position, now, to):
        with pytest.raises(statuses.IllegalStatusMove, match=f"from OPEN to {to}"):
            ingest.move(position=position.pk, to=to, now=now, **BY)

    def test_cannot_close_what_has_a_size(self, position, now):
        with pytest.raises(statuses.IllegalStatusMove):
            ingest.move(position=position.pk, to=Status.CLOSED, now=now, **BY)

    @pytest.mark.parametrize("ended", [Status.CLOSED, Status.LIQUIDATED, Status.VOID])
    def test_ended_states_are_final(self, ended):
        assert statuses.MOVES[ended] == frozenset()
