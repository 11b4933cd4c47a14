"""The vectors of the book, step by step through Postgres: the ledger's states are those of the pure fold.

`LEDGER_VECTORS=all` takes every case one fill at a time; by default a seeded part of the cases, in batches
of changing size.
"""

from __future__ import annotations

import os
import random
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import pytest

from positions import ingest, observe
from positions.book import (
    BaseFee,
    ContractKind,
    Entry,
    InvalidEntry,
    Leg,
    PositionState,
    by_asset,
    fold_facts,
    resolve,
)
from positions.book.world import World
from positions.ledger import serialise
from positions.models import Account, Status
from positions.models import Position as Row
from tests.positions.book.vectors import cases, contract_of, entry_of

ALL = os.environ.get("LEDGER_VECTORS") == "all"
PART = {"nautilus_live": 25, "nautilus_corrections": 30, "nautilus_tests": 29, "other_libraries": 23}
HYPERLIQUID = {"hyperliquid_fills": 6}
FILLS = 120  # of a long run, by default


def facts_of(name: str, case: dict) -> list[Entry]:
    rows = case.get("events") or case["fills"]
    facts = []
    for index, row in enumerate(rows):
        kind = row.get("type", "fill")
        one = entry_of({**row, "id": row.get("id", f"row-{index:06}")}, index=index + 1, kind=kind)
        facts.append(replace(one, received=None))
    return facts if ALL else facts[:FILLS]


def described(case: dict, symbol: str) -> observe.InstrumentDescription:
    terms = contract_of(case, BaseFee.SEPARATE)
    return observe.InstrumentDescription(
        venue_symbol=symbol,
        symbol=symbol,
        kind=terms.kind.value,
        base=terms.base,
        quote=terms.quote,
        settle=terms.settle,
        multiplier=terms.multiplier,
    )


def sizes(draw: random.Random) -> int:
    return 1 if ALL else draw.choice([1, 3, 10, 40])


def through_postgres(case: dict, facts: list[Entry], symbol: str, now: datetime) -> Account:
    """Book the facts as they arrive; the fee currencies of a case are listed by its venue."""
    one = described(case, symbol)
    named = {fact.fee_currency for fact in facts if fact.fee_currency}
    coins = [
        observe.InstrumentDescription(
            venue_symbol=f"{coin}/{one.quote}#fees", symbol=f"{coin}/{one.quote}", kind="spot", base=coin,
            quote=one.quote, settle=one.quote,
        )
        for coin in sorted(named - {one.quote})
    ]  # fmt: skip
    observe.instruments(world=World(symbol, "live"), described=[one, *coins], now=now)
    account = Account.objects.create(label=symbol, venue=symbol, created_at=now)
    draw, queue = random.Random(case["id"]), [replace(fact, instrument=symbol) for fact in facts]
    while queue:
        size = sizes(draw)
        done = ingest.record(
            account=account, entries=queue[:size], source="vectors", trace_id=case["id"][:64], now=now
        )
        assert not {"quarantined"} & {one.outcome.value for one in done.results}, done.results
        queue = queue[size:]
    return account


def folded(case: dict, facts: list[Entry], symbol: str, par: frozenset[str]) -> dict[tuple[str, str], str]:
    """The pure fold of the same facts."""
    contract = contract_of(case, BaseFee.SEPARATE)
    numbered = [replace(fact, instrument=symbol, received=n) for n, fact in enumerate(facts, start=1)]
    standing = resolve(numbered).effective
    found = {}
    if contract.kind is ContractKind.SPOT:
        start = PositionState(contract=replace(contract, quote="USD", settle="USD"), instrument=contract.base)
        parts = [part for entry in standing for part in by_asset(entry, contract, par=par)]
        own = [part for part in parts if part.instrument == contract.base]
        folds = [fold_facts(own, start=start)]
    else:
        folds = [
            fold_facts(
                [entry for entry in standing if entry.leg is leg],
                start=PositionState(contract=contract, instrument=symbol, leg=leg),
            )
            for leg in Leg
        ]
    for one in folds:
        for episode in one.episodes:
            found[episode.leg.value, episode.opened_by or ""] = serialise.dumps(episode)
    return found


@pytest.mark.django_db
@pytest.mark.parametrize("name", [*PART, *HYPERLIQUID])
class TestTheLedger:
    def test_agrees_with_the_pure_book_on_the_vectors(self, name, now, settings):
        count = (PART | HYPERLIQUID)[name]
        every = cases(name)
        chosen = every if ALL else random.Random(name).sample(every, min(count, len(every)))
        compared = 0
        for number, case in enumerate(chosen):
            if case["instrument"]["multiplier"] is None:
                continue
            try:
                facts = facts_of(name, case)
            except InvalidEntry:  # a price that the book refuses: tests.positions.book says which
                continue
            symbol = f"{name}-{number}"
            account = through_postgres(case, facts, symbol, now)
            base = contract_of(case, BaseFee.SEPARATE)
            rows = Row.objects.filter(account=account).exclude(status=Status.VOID)
            own = rows.filter(instrument__base=base.base) if base.kind is ContractKind.SPOT else rows.filter(
                instrument__venue_symbol=symbol
            )  # fmt: skip
            stored = {(row.leg, row.opening_ref): row.state for row in own}
            expected = folded(case, facts, symbol, frozenset(settings.PAR_CURRENCIES))
            assert stored == expected, case["id"]
            compared += sum(Decimal(1) for _ in expected)
        assert compared >= len(chosen) * 0.8
