"""Stored contents read back exactly, and digests that cover all that they must."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import orjson
import pytest

from positions.book import Entry, Leg, ParValue, PositionState, fold
from positions.book.contracts import Contract, ContractKind
from positions.ledger import serialise
from positions.ledger.hash_chain import GENESIS, canonical, chained, placed, trusted
from tests.positions.facts import amend, bust, fill, funding, moment, transfer
from tests.positions.ledger.test_any_order import story

NOW = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
ODD = [
    fill("buy 1.000000000000000001 @ ? fee -0.5 USDC", at=0.000001, ref='ünïcode "quoted" \n', leg=None),
    fill(
        "sell 1 @ 2", at=1, par=ParValue(Decimal("1.50"), "test", moment(1)), position_before=Decimal("-0.5")
    ),
    fill("buy 1 @ 2 fee 1 BNB", at=1, fee_par=ParValue(Decimal(300), "bnb", moment(2)), watermark=moment(3)),
    funding("-0.000000000000000001 USDC", at=2, leg=None, wallet="perp"),
    transfer("5 USDC", at=3),
    bust("x", at=4, reason="twice"),
    amend("x", at=5, quantity=Decimal("2.50"), amended_time=moment(9)),
]


class TestAStoredContent:
    @pytest.mark.parametrize("entry", [*ODD, *story(random.Random(1), 40)], ids=lambda entry: entry.kind)
    def test_reads_back_as_the_checked_reader_reads_it(self, entry):
        content = canonical(entry)
        assert trusted(content, 7) == Entry.from_plain(orjson.loads(content), received=7)
        assert canonical(trusted(content, 7)) == content

    def test_is_the_same_however_a_number_was_written(self):
        one, other = (fill(f"buy {text} @ 60000 fee 0 USDC", at=1, ref="r") for text in ("1.50", "1.5"))
        assert canonical(one) == canonical(other)

    def test_with_its_place_is_the_same_fact(self):
        entry = fill("buy 1 @ 2 fee 0 USDC", at=1)
        there = placed(entry, 9)
        assert (there.received, canonical(there)) == (9, canonical(entry))
        assert entry.received is None


class TestADigest:
    GIVEN = {"sequence": 1, "received_at": NOW, "source": "s", "trace_id": "t", "content": "{}"}

    @pytest.mark.parametrize(
        "change",
        [
            {"sequence": 2},
            {"received_at": NOW + timedelta(microseconds=1)},
            {"source": "x"},
            {"trace_id": "x"},
            {"content": "{ }"},
        ],
    )
    def test_changes_with_each_thing_it_covers(self, change):
        assert chained(GENESIS, **self.GIVEN) != chained(GENESIS, **(self.GIVEN | change))

    def test_changes_with_what_came_before(self):
        assert chained(GENESIS, **self.GIVEN) != chained(b"\x01" * 32, **self.GIVEN)

    def test_does_not_depend_on_the_zone_of_a_time(self):
        there = NOW.astimezone(timezone(timedelta(hours=9)))
        assert chained(GENESIS, **self.GIVEN) == chained(GENESIS, **(self.GIVEN | {"received_at": there}))


class TestAState:
    CONTRACT = Contract(ContractKind.LINEAR, "BTC", "USDC", "USDC")

    @pytest.mark.parametrize("seed", range(4))
    def test_reads_back_as_it_was_written(self, seed):
        facts = [one for one in story(random.Random(seed), 40) if one.instrument == "BTC/USDC:USDC"]
        start = PositionState(contract=self.CONTRACT, instrument="BTC/USDC:USDC", leg=Leg.NET)
        for episode in fold(facts, start=start).episodes:
            assert serialise.loads(serialise.dumps(episode), contract=self.CONTRACT) == episode
