"""What the processes of test_processes do: `python -m tests.positions.ledger_process setup|write|check …`.

Each runs Django on the services that DATABASE_URL and REDIS_URL name.
"""

from __future__ import annotations

import os
import random
import sys
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import django
import orjson

NOW = datetime(2026, 6, 1, tzinfo=UTC)
START = datetime(2026, 1, 1, tzinfo=UTC)
PATIENCE = 90.0  # without any progress


def facts(count: int, keys: int):
    """The same fills in every process; many share a millisecond."""
    from positions.book import Cause, Entry, Kind, Side

    draw = random.Random(11)
    return [
        Entry(
            kind=Kind.FILL,
            cause=Cause.TRADE,
            venue_ref=f"kill:{n:06}",
            time=START + timedelta(milliseconds=n // 3),
            instrument=f"C{draw.randrange(keys)}/USDC:USDC",
            side=draw.choice([Side.BUY, Side.SELL]),
            quantity=Decimal(draw.randrange(1, 5_000)).scaleb(-3),
            price=Decimal(draw.randrange(500_000, 600_000)).scaleb(-1),
            fee=Decimal(draw.randrange(-50, 900)).scaleb(-4),
            fee_currency="USDC",
        )
        for n in range(count)
    ]


def setup(keys: int) -> None:
    from django.core.management import call_command

    from positions import observe
    from positions.book.world import World
    from positions.models import Account

    call_command("migrate", verbosity=0)
    described = [
        observe.InstrumentDescription(
            venue_symbol=f"C{n}/USDC:USDC",
            symbol=f"C{n}",
            kind="linear",
            base=f"C{n}",
            quote="USDC",
            settle="USDC",
        )
        for n in range(keys)
    ]
    observe.instruments(world=World("kill", "live"), described=described, now=NOW)
    Account.objects.create(label="shared", venue="kill", created_at=NOW)


def write(count: int, keys: int, writer: int, writers: int) -> None:
    """Book a third of the facts or more, in an order of this writer's own, until all of them are taken."""
    from django.db import InterfaceError, OperationalError, connection

    from positions import ingest
    from positions.models import Account

    draw = random.Random(f"{writer}-{os.getpid()}")
    own = [fact for n, fact in enumerate(facts(count, keys)) if n % writers == writer or draw.random() < 0.3]
    draw.shuffle(own)
    deadline = time.monotonic() + PATIENCE
    while own:
        size = draw.choice([1, 5, 20, 60])
        try:
            account = Account.objects.get()
            ingest.record(account=account, entries=own[:size], source="kill", trace_id=f"w{writer}", now=NOW)
        except (OperationalError, InterfaceError):
            if time.monotonic() > deadline:
                raise
            connection.close()
            time.sleep(0.2)
            continue
        own = own[size:]
        deadline = time.monotonic() + PATIENCE


def check(count: int, keys: int) -> None:
    """Print what is wrong with the book and the live log; nothing when all is right."""
    from positions import ingest, live
    from positions.ledger import audit
    from positions.models import Account, AccountHead, Entry

    account = Account.objects.get()
    problems = [str(one) for one in (*audit.chain(account=account), *audit.rows(account=account))]
    rebuilt = ingest.rebuild_account(account=account, trace_id="check", now=NOW, write_back=False)
    problems += [str(one) for one in rebuilt.differences]
    refs = sorted(Entry.objects.values_list("venue_ref", flat=True))
    if refs != sorted(fact.venue_ref for fact in facts(count, keys)):
        problems.append(f"{len(refs)} entries booked, {count} expected")
    problems += _against_a_fold(count, keys)
    repaired = live.repair()
    head = AccountHead.objects.get()
    if live.published() != {account.pk: head.sequence}:
        problems.append(f"published {live.published()}, committed {head.sequence}")
    problems += _against_the_log()
    told = {"problems": problems, "repaired": sum(repaired.values()), "changes": head.sequence}
    sys.stdout.write(orjson.dumps(told).decode() + "\n")


def _against_a_fold(count: int, keys: int) -> list[str]:
    """The pure book of the same facts, folded in one process without Postgres."""
    from positions.book import Contract, ContractKind, PositionState, fold
    from positions.ledger import serialise
    from positions.models import Position as Row
    from positions.models import Status

    stored = {
        (row.instrument.venue_symbol, row.opening_ref): row.state
        for row in Row.objects.exclude(status=Status.VOID).select_related("instrument")
    }
    expected = {}
    for n in range(keys):
        symbol = f"C{n}/USDC:USDC"
        contract = Contract(ContractKind.LINEAR, f"C{n}", "USDC", "USDC")
        own = [fact for fact in facts(count, keys) if fact.instrument == symbol]
        for episode in fold(own, start=PositionState(contract=contract, instrument=symbol)).episodes:
            expected[symbol, episode.opened_by] = serialise.dumps(episode)
    return [
        f"{key} differs from the fold" for key in {*stored, *expected} if stored.get(key) != expected.get(key)
    ]


def _against_the_log() -> list[str]:
    """What a reader of the whole live log knows in the end."""
    from core.storage.redis import client
    from positions import live
    from positions.ledger import serialise
    from positions.models import Position

    seen: dict[int, dict] = {}
    for _, fields in client().xrange(live.LIVE):
        for row in orjson.loads(fields[b"frame"])["positions"]:
            if row["version"] >= seen.get(row["id"], row)["version"]:
                seen[row["id"]] = row
    problems = []
    for row in Position.objects.all():
        told = seen.get(row.pk)
        if told is None or (told["version"], told["quantity"]) != (
            row.version,
            serialise.position_row(row)["quantity"],
        ):
            problems.append(
                f"position {row.pk} at version {row.version} is {told and told['version']} in the log"
            )
    return problems


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    {"setup": setup, "write": write, "check": check}[sys.argv[1]](*map(int, sys.argv[2:]))
