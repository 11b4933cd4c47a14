"""Booking: facts become positions, balances and history, each once."""

from __future__ import annotations

from decimal import Decimal

import pytest

from positions.ingest import EntryOutcome
from positions.models import Balance, Entry, Position, PositionEvent, Status
from tests.positions.facts import amend, bust, fill, funding

pytestmark = pytest.mark.django_db


def position(**key: object) -> Position:
    return Position.objects.exclude(status=Status.VOID).filter(**key).order_by("-opened_at", "-pk")[0]


def balance(asset: str) -> Decimal:
    return Balance.objects.get(asset=asset).amount


class TestAFill:
    def test_opens_a_position(self, book):
        done = book(fill("buy 2 @ 60000 fee 12 USDC", at=1))
        assert [result.outcome for result in done.results] == [EntryOutcome.BOOKED]
        row = position()
        assert (row.status, row.quantity, row.entry_price) == ("OPEN", 2, 60000)
        assert balance("USDC") == -12

    def test_increases_reduces_and_closes_it(self, book):
        book(fill("buy 1 @ 60000 fee 0 USDC", at=1))
        book(fill("buy 1 @ 62000 fee 0 USDC", at=2))
        assert position().entry_price == 61000
        book(fill("sell 1 @ 63000 fee 0 USDC", at=3))
        assert (position().status, position().realized_pnl) == ("REDUCED", 2000)
        book(fill("sell 1 @ 60000 fee 0 USDC", at=4))
        row = position()
        assert (row.status, row.quantity, row.realized_pnl, row.version) == ("CLOSED", 0, 1000, 4)
        assert balance("USDC") == 1000
        assert list(PositionEvent.objects.values_list("kind", "status_after")) == [
            ("opened", "OPEN"),
            ("changed", "OPEN"),
            ("changed", "REDUCED"),
            ("closed", "CLOSED"),
        ]

    def test_that_flips_closes_one_and_opens_the_next(self, book):
        book(fill("buy 1 @ 60000 fee 0 USDC", at=1), fill("sell 3 @ 61000 fee 0 USDC", at=2))
        closed, opened = Position.objects.order_by("pk")
        assert (closed.status, closed.realized_pnl) == ("CLOSED", 1000)
        assert (opened.status, opened.quantity, opened.entry_price) == ("OPEN", -2, 61000)

    def test_that_comes_again_is_ignored(self, book):
        entry = fill("buy 1 @ 60000 fee 0 USDC", at=1)
        book(entry)
        again = book(entry, entry)
        assert [result.outcome for result in again.results] == [EntryOutcome.DUPLICATE] * 2
        assert again.sequence is None
        assert position().version == 1

    def test_that_comes_late_refolds_the_key(self, book):
        book(fill("buy 1 @ 60000 fee 0 USDC", at=1), fill("sell 2 @ 61000 fee 0 USDC", at=5))
        book(fill("buy 1 @ 59000 fee 0 USDC", at=3, ref="late"))
        row = position(status="CLOSED")
        assert (row.realized_pnl, row.quantity) == (3000, 0)
        assert Position.objects.get(status="VOID").quantity == 0
        assert balance("USDC") == 3000


class TestASpotFill:
    def test_moves_a_coin_and_cash(self, book):
        book(fill("buy 2 @ 60000 fee 12 USDC", at=1, instrument="BTC/USDC"))
        row = position()
        assert (row.instrument.symbol, row.quantity, row.entry_price) == ("BTC", 2, 60000)
        assert (balance("BTC"), balance("USDC")) == (2, -120012)


class TestFunding:
    def test_belongs_to_the_open_episode(self, book):
        book(fill("buy 2 @ 60000 fee 0 USDC", at=1), funding("-1.5 USDC", at=2))
        assert position().funding == {"USDC": "-1.5"}
        assert balance("USDC") == Decimal("-1.5")


class TestCorrections:
    def test_a_bust_is_as_if_the_fill_had_never_been(self, book):
        book(fill("buy 2 @ 60000 fee 1 USDC", at=1), fill("sell 1 @ 61000 fee 1 USDC", at=2, ref="wrong"))
        book(bust("wrong", at=3))
        row = position()
        assert (row.quantity, row.realized_pnl, row.status) == (2, 0, "OPEN")
        assert balance("USDC") == -1

    def test_an_amend_that_comes_first_waits(self, book):
        done = book(amend("f1", at=3, price=Decimal(59000)))
        assert done.results[0].outcome is EntryOutcome.WAITING
        book(fill("buy 2 @ 60000 fee 1 USDC", at=1, ref="f1"))
        assert position().entry_price == 59000

    def test_what_was_unknown_becomes_known_by_an_amend(self, book):
        book(fill("buy 2 @ 60000", at=1, ref="f1"))
        done = book(fill("buy 2 @ 60000 fee 3 USDC", at=1, ref="f1"))
        assert done.results[0].outcome is EntryOutcome.AMENDED
        assert position().fees == {"USDC": "3"}
        assert Entry.objects.count() == 2
        assert Balance.objects.get().unknown_count == 0
