"""Coinbase's transactions: one bad wallet or row costs itself."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from positions.venues.base import EntryBatch, Method
from tests.positions.venues.generic.test_adapter import venue_of
from tests.positions.venues.replay import NOW, Answer, put_in

DEPOSIT = {
    "id": "1", "type": "fiat_deposit", "status": "completed", "created_at": "2026-11-20T10:00:00Z",
    "amount": {"amount": "5", "currency": "USD"},
}  # fmt: skip


async def read(wallets: list[Any], rows: list[Any]) -> EntryBatch:
    venue = venue_of("coinbase")

    def answer(method: str, url: str, body: Any) -> Answer:
        if "transactions" in url:
            return Answer({"data": rows, "pagination": {}})
        return Answer({"accounts": wallets, "has_next": False, "cursor": ""})

    put_in(venue.client, answer)
    batch: EntryBatch = await venue.entries(since=NOW - timedelta(days=3), methods=[Method.TRANSFERS])
    await venue.close()
    return batch


@pytest.mark.parametrize("created", ["yesterday", "", None, 7, "2026-11-20T10:00:00"])
async def test_a_transaction_without_a_time_takes_no_other_along(created: Any) -> None:
    batch = await read([{"uuid": "a"}], [{**DEPOSIT, "id": "2", "created_at": created}, DEPOSIT])
    assert [entry.venue_ref for entry in batch.entries] == ["coinbase:fiat_deposit:USD:1"]
    assert len(batch.unreadable) == 1
    assert not batch.complete


async def test_a_wallet_without_a_name_is_reported_and_the_others_are_read() -> None:
    batch = await read([{"uuid": None}, "wallet", {"uuid": "a"}], [DEPOSIT])
    assert len(batch.entries) == 1
    assert batch.covered is None
    assert any("wallet could not be read" in problem for problem in batch.problems)
