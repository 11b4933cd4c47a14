"""A venue's clock that jumps back: advanced, refolded or rebuilt, the ledger keeps the chain's order."""

from __future__ import annotations

import random

import pytest

from positions import ingest
from positions.book import Entry
from positions.book.clock import time_amends
from positions.models import Account, Position
from tests.positions.book.test_clock import chain
from tests.positions.conftest import PERP, assert_rebuild_changes_nothing

pytestmark = pytest.mark.django_db


def at_perp(entries: list[Entry]) -> list[Entry]:
    return [Entry.from_plain({**entry.to_plain(), "instrument": PERP}) for entry in entries]


@pytest.mark.parametrize("seed", range(6))
def test_the_book_is_that_of_the_true_sequence(account: Account, seed: int, now) -> None:
    draw = random.Random(seed)
    moves = [draw.choice([-2, -1, 1, 2]) for _ in range(30)]
    times = [float(n) if n < 20 else n - 1.5 for n in range(30)]
    fills = at_perp(chain(moves, times))
    facts = [*fills, *time_amends(fills)]
    if seed % 2:
        draw.shuffle(facts)
    for start in range(0, len(facts), 3):
        part = facts[start : start + 3]
        ingest.record(account=account, entries=part, source="test", trace_id="t", now=now)
    found = Position.objects.filter(account=account).exclude(status="VOID").order_by("opened_at", "id")
    opened: list[str] = []
    size = 0
    for fill, move in zip(fills, moves, strict=True):
        if size == 0 or size * (size + move) < 0:
            opened.append(fill.venue_ref)
        size += move
    assert sorted(row.opening_ref for row in found) == sorted(opened)
    assert_rebuild_changes_nothing(account, now)
