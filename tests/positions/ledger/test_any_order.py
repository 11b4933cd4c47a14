"""Whatever the order, the repetition and the batches in which facts arrive, the book is the same."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest

from positions import ingest
from positions.book import Cause, Entry, Kind, Leg
from positions.ledger import audit
from positions.models import Account, Balance, Position, Status
from tests.positions.conftest import CROSS, INVERSE, PERP, SPOT, VENUE, assert_rebuild_changes_nothing
from tests.positions.facts import amend, bust, cash, fill, funding, transfer

pytestmark = pytest.mark.django_db


def story(draw: random.Random, count: int) -> list[Entry]:
    """Seeded facts of every kind; several share a time."""
    facts: list[Entry] = [transfer("10000 USDC", at=0, ref="in"), transfer("3 BTC", at=0, ref="in-btc")]
    for n in range(count):
        at = draw.randrange(1, count)
        side, quantity = draw.choice(["buy", "sell"]), Decimal(draw.randrange(1, 40)).scaleb(-1)
        price, fee = draw.randrange(50_000, 60_000), Decimal(draw.randrange(-9, 90)).scaleb(-2)
        words = f"{side} {quantity} @ {price} fee {fee} USDC"
        kind = draw.randrange(12)
        if kind < 4:
            facts.append(fill(words, at=at, ref=f"p{n}"))
        elif kind < 6:
            leg = draw.choice([Leg.LONG, Leg.SHORT])
            opens = "buy" if leg is Leg.LONG else "sell"
            text = words.replace(side, opens, 1)
            facts.append(fill(text, at=at, ref=f"h{n}", instrument="ETH/USDC:USDC", leg=leg))
        elif kind == 6:
            text = f"{side} {quantity} @ {price} fee 0.001 BTC"
            facts.append(fill(text, at=at, ref=f"i{n}", instrument=INVERSE))
        elif kind == 7:
            facts.append(fill(words, at=at, ref=f"s{n}", instrument=SPOT))
        elif kind == 8:
            text = f"{side} {quantity} @ 0.05 fee 0.002 BNB"
            facts.append(fill(text, at=at, ref=f"x{n}", instrument=CROSS))
        elif kind == 9:
            facts.append(funding(f"{fee} USDC", at=at, ref=f"fp{n}"))
        elif kind == 10:
            facts.append(funding(f"{fee} USDC", at=at, ref=f"fh{n}", instrument="ETH/USDC:USDC", leg=None))
        else:
            facts.append(cash(Kind.INTEREST, f"{fee} USDC", at=at, ref=f"n{n}"))
    fills = [fact.venue_ref for fact in facts if fact.kind is Kind.FILL]
    for target in draw.sample(fills, len(fills) // 8):
        facts.append(bust(target, at=count + 1))
    for target in draw.sample(fills, len(fills) // 6):
        price = Decimal(draw.randrange(50_000, 60_000))
        facts.append(amend(target, at=count + 2, price=price, fee=Decimal(1), fee_currency="USDC"))
    for target in draw.sample(fills, 2):
        retimed = fill("buy 1 @ 1", at=draw.randrange(1, count)).time
        facts.append(amend(target, at=count + 3, ref=f"retime-{target}", amended_time=retimed))
    return facts


def deliver(account: Account, facts: list[Entry], draw: random.Random, now) -> None:
    """In random batches, some facts twice."""
    queue = facts + draw.sample(facts, len(facts) // 5)
    draw.shuffle(queue)
    while queue:
        size = draw.choice([1, 1, 2, 5, 20])
        ingest.record(account=account, entries=queue[:size], source="test", trace_id="t", now=now)
        queue = queue[size:]


def picture(account: Account) -> tuple[list, list]:
    """Everything that must not depend on the way there."""
    episodes = (
        Position.objects.filter(account=account)
        .exclude(status=Status.VOID)
        .values_list(
            "instrument__symbol", "leg", "opening_ref", "status", "quantity", "open_cost", "state", "cash"
        )
    )
    balances = Balance.objects.filter(account=account).exclude(amount=0, unknown_count=0)
    return sorted(map(str, episodes)), sorted(
        balances.values_list("wallet", "asset", "amount", "unknown_count")
    )


@pytest.mark.parametrize("seed", [*range(10), 16, 60])
class TestTheBook:
    def test_is_the_same_in_any_order(self, instruments, now, seed):
        draw = random.Random(seed)
        facts = story(draw, 60)
        accounts = [
            Account.objects.create(label=f"{seed}-{n}", venue=VENUE, created_at=now) for n in range(3)
        ]
        at_once, *shuffled = accounts
        ingest.record(account=at_once, entries=facts, source="test", trace_id="t", now=now)
        for account in shuffled:
            deliver(account, facts, draw, now)
        for account in accounts:
            assert_rebuild_changes_nothing(account, now)
            assert list(audit.chain(account=account)) == []
            assert list(audit.rows(account=account)) == []
            assert picture(account) == picture(at_once)


class TestAnOpeningBalance:
    def test_makes_earlier_facts_count_in_positions_and_in_no_balance(self, book, now):
        book(fill("buy 1 @ 60000 fee 1 USDC", at=1), fill("sell 1 @ 61000 fee 1 USDC", at=2))
        book(transfer("5000 USDC", at=10, ref="opening", cause=Cause.OPENING))
        assert Balance.objects.get().amount == 5000
        assert Position.objects.get().realized_pnl == 1000

    def test_counts_later_facts_only(self, book, now):
        book(transfer("5000 USDC", at=10, ref="opening", cause=Cause.OPENING))
        book(fill("buy 1 @ 60000 fee 1 USDC", at=9), fill("sell 1 @ 61000 fee 1 USDC", at=11))
        assert Balance.objects.get().amount == 5000 + 1000 - 1
        assert Position.objects.get().instrument.symbol == PERP
