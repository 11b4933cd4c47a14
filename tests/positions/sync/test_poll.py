from datetime import timedelta
from decimal import Decimal

import orjson
import pytest
from django.utils import timezone

from positions import live, observe
from positions.book import Leg
from positions.book.world import World
from positions.models import Account, Instrument, VenueState
from positions.sync import feed_queries, poll
from positions.venues.base import EntryBatch, Method, PositionRow, Report, ReportScope

pytestmark = pytest.mark.django_db


@pytest.fixture
def account():
    return Account.objects.create(
        label="trader", venue="hyperliquid", address="0x" + "1" * 40, created_at=timezone.now()
    )


@pytest.fixture
def btc(account, now):
    described = observe.InstrumentDescription(
        venue_symbol="BTC", symbol="BTC/USDC:USDC", kind="linear", base="BTC", quote="USDC", settle="USDC"
    )
    return observe.instruments(world=World("hyperliquid", "live"), described=[described], now=now)["BTC"]


def report(now, *rows):
    return Report(
        as_of=now,
        as_of_source="venue",
        received_at=now,
        positions=rows,
        scopes=(ReportScope(name="", complete=True),),
    )


def long(quantity):
    return PositionRow(venue_symbol="BTC", leg=Leg.NET, quantity=Decimal(quantity), currency="USDC")


def frames(redis_server):
    found = redis_server.xrange(live.LIVE)
    return [orjson.loads(fields[b"frame"]) for _, fields in found if fields[b"kind"] == b"venue_state"]


class TestWhatTheVenueSays:
    def test_is_written_and_published_when_it_is_new(self, account, btc, now, redis_server):
        for seconds in (0, 1):
            said = report(now + timedelta(seconds=seconds), long("1.50"))
            poll.state(account=account, venue=None, report=said, now=now)
        [frame] = frames(redis_server)
        [state] = frame["states"]
        assert (state["instrument_id"], state["leg"], state["quantity"]) == (btc, "net", "1.5")
        assert state["liquidation_price"] is None, "unknown is not zero"
        assert state["revision"] == 1

    def test_of_a_leg_it_no_longer_names_is_flat(self, account, btc, now, redis_server):
        poll.state(account=account, venue=None, report=report(now, long("1")), now=now)
        poll.state(account=account, venue=None, report=report(now + timedelta(seconds=1)), now=now)
        assert VenueState.objects.get().quantity == 0
        assert [frame["states"][0]["quantity"] for frame in frames(redis_server)] == ["1", "0"]


class TestWhatPricesACoin:
    def test_is_its_pair_in_par_currency(self, account, now):
        pairs = [("BTC-USD", "USD"), ("BTC-EUR", "EUR"), ("BTC-USDC", "USDC")]
        observe.instruments(
            world=World("hyperliquid", "live"),
            now=now,
            described=[
                observe.InstrumentDescription(
                    venue_symbol=symbol, symbol=symbol, kind="spot", base="BTC", quote=quote, settle=quote
                )
                for symbol, quote in pairs
            ],
        )
        coin = Instrument.objects.get(venue_symbol="coin:BTC")
        assert feed_queries._pairs([coin]) == {coin.pk: "BTC-USD"}


class AVenue:
    """Answers each question with a batch; `asked` are the beginnings of what was asked."""

    def __init__(self, *batches):
        self.batches, self.asked = list(batches), []

    async def entries(self, *, since, methods):
        self.asked.append(since)
        return self.batches.pop(0)

    async def relist(self, symbols):
        return None

    async def instruments(self, *, refresh=False):
        return ()


class TestAHistoryThatTheVenueCut:
    """Bybit keeps two years of fills, OKX three months, Hyperliquid the newest ten thousand."""

    def batch(self, begin, kept, end, **more):
        fields = {"complete": False, "exhausted": True, "kept_since": kept, "entries": (), **more}
        return EntryBatch(asked=(begin, end), covered=(kept, end), **fields)

    def asked(self, account, venue, now, since=None):
        found = poll.ask(account=account, venue=venue, method=Method.FILLS, now=now, since=since)
        poll.keep(account=account, asked=found, source="test", trace_id="t", now=now)
        return found

    def test_is_complete_from_where_it_begins_and_asked_for_once(self, account, now):
        kept = now - timedelta(days=729)
        venue = AVenue(self.batch(poll.BEGINNING, kept, now), self.batch(now, now, now, kept_since=None))
        assert self.asked(account, venue, now).batch.complete
        self.asked(account, venue, now)
        assert venue.asked == [poll.BEGINNING, now - poll.OVERLAP]

    def test_is_not_complete_where_facts_were_lost_since_the_last_reading(self, account, now):
        through = now - timedelta(days=1000)
        first = self.batch(poll.BEGINNING, poll.BEGINNING, through, kept_since=None)
        venue = AVenue(first, self.batch(through, now - timedelta(days=729), now))
        self.asked(account, venue, now)
        found = self.asked(account, venue, now)
        assert not found.batch.complete
        assert found.through == now, "nobody can read what is gone: go on from here"

    def test_read_in_part_goes_on_from_there(self, account, now):
        kept, reached = now - timedelta(days=729), now - timedelta(days=500)
        venue = AVenue(self.batch(poll.BEGINNING, kept, reached, exhausted=False, goes_on=True))
        found = self.asked(account, venue, now)
        assert (found.batch.complete, found.through) == (False, reached)
