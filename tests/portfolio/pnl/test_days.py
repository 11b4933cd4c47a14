"""The days of an account: worked out by hand, late facts, missing prices, coins, tags, when days begin."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as D
from zoneinfo import ZoneInfo

import pytest

from portfolio import pipeline
from portfolio.attribution import Dimension
from portfolio.models import AccountDay, ClosingMark, PnlDay
from portfolio.pnl import closing_marks, keeping, reads
from portfolio.pnl.strategies import UnknownEntries, tag_entries
from portfolio.totals import desk, totals_store
from positions.book import Cause, Kind
from tests.portfolio.market import BTC, ETH, SPOT
from tests.portfolio.pnl.story import DAYS, HOUR, begin, cash, keep, live, mark

pytestmark = pytest.mark.django_db


@pytest.fixture
def story(market, now):
    live(market, now=now)
    keep(market, now=now)
    return market


def told(market):
    rows = AccountDay.objects.filter(account=market.account).order_by("day")
    return [(row.price, row.funding, row.fees, row.flows, row.end_equity) for row in rows]


def whole(market, now, by, **days):
    first, last = desk.day_of(begin(now)), desk.day_of(now)
    return reads.attribution(accounts=[market.account.pk], first=first, last=last, by=by)


class TestFourDays:
    def test_are_what_they_are_by_hand_and_close(self, story, now):
        assert told(story) == list(DAYS)
        rows = AccountDay.objects.filter(account=story.account)
        assert {row.unexplained for row in rows} == {0}
        assert [row.joined for row in rows.order_by("day")] == [100_000, 0, 0, 0]

    @pytest.mark.parametrize("by", list(Dimension))
    def test_add_up_to_the_same_by_whatever_they_are_split(self, story, now, by):
        found = whole(story, now, by)
        assert (found.start, found.end, found.closes) == (0, 102_644, True)
        assert (found.total.total, found.total.pnl) == (102_644, D("1644"))

    def test_put_the_profit_on_the_day_of_the_closing_fill(self, story, now):
        second = PnlDay.objects.get(day=desk.day_of(begin(now)) + desk.DAY, asset="ETH")
        assert (second.price, second.entries, second.closing_pnl) == (750, 1, D(1747))

    def test_are_built_again_without_a_change(self, story, now):
        before = told(story)
        assert keep(story, now=now + HOUR) == []
        assert keeping.keep_account(story.account, now=now, since=desk.day_of(begin(now))) == []
        assert told(story) == before


class TestALateFill:
    def test_changes_its_day_and_says_so(self, story, now):
        late = begin(now) + 5 * HOUR
        story.fill("buy", "1", "3050", instrument=ETH, now=late)
        (first, second, third) = keep(story, now=now)
        assert (first.day, first.before, first.after) == (desk.day_of(late), D("998.5"), D("1047"))
        assert (second.after - second.before, third.after - third.before) == (50, -30)
        assert {row.unexplained for row in AccountDay.objects.all()} == {0}


class TestFillsOfOneMoment:
    def test_leave_the_position_that_their_chain_leaves_whatever_they_are_called(self, market, now):
        first = begin(now)
        market.book(
            cash(Kind.TRANSFER, "opening", first + HOUR, "100000", cause=Cause.OPENING), now=first + HOUR
        )
        at = first + 2 * HOUR
        before = {"instrument": ETH, "fee": D(0), "fee_currency": "USDC"}
        market.booked = 9  # fill-10 comes before fill-9 by name, and after it by its chain
        market.fill("buy", "1", "3000", now=at, position_before=D(2), **before)
        market.booked = 8
        market.fill("buy", "2", "3000", now=at, position_before=D(0), **before)
        for days in (1, 2, 3):
            mark(market, ETH, desk.day_start(desk.day_of(first) + days * desk.DAY), 3100)
        market.mark(ETH, "3100", now=now)
        keep(market, now=now)
        assert [row.end_equity for row in AccountDay.objects.order_by("day")] == [100_300] * 4


class TestTrading:
    def test_goes_on_while_the_day_is_read_and_is_explained_all_the_same(self, story, now):
        """The clock is read first, then the book: by then it holds a fill of a moment later."""
        later = now + timedelta(seconds=3)
        story.fill("buy", "1", "60000", now=later)
        story.fill("sell", "1", "61000", now=later + timedelta(milliseconds=1))
        keeping.keep_days(now=now)
        day = AccountDay.objects.latest("day")
        assert day.unexplained == 0
        assert day.price >= 1000

    def test_of_a_clock_that_is_far_ahead_moves_no_day(self, story, now):
        story.fill("buy", "1", "60000", now=now + timedelta(days=2))
        keeping.keep_days(now=now)
        assert AccountDay.objects.latest("day").day == desk.day_of(now)


class TestAMissingPriceOfADaysBeginning:
    def test_leaves_both_days_unknown_and_the_others_as_they_are(self, story, now):
        ClosingMark.objects.filter(at=desk.day_start(desk.day_of(begin(now)) + 2 * desk.DAY)).delete()
        keeping.keep_account(story.account, now=now, since=desk.day_of(begin(now)))
        rows = list(AccountDay.objects.order_by("day"))
        assert [row.unexplained for row in rows] == [0, None, None, 0]
        assert [row.end_equity for row in rows] == [D("100998.5"), None, D(102_594), D(102_644)]
        found = whole(story, now, Dimension.DAY)
        assert (found.unknown_days, found.closes) == (2, False)


class TestACoin:
    def test_earns_by_its_price_and_its_fee_is_a_fee(self, market, now):
        first = begin(now)
        market.book(
            cash(Kind.TRANSFER, "opening", first + HOUR, "100000", cause=Cause.OPENING), now=first + HOUR
        )
        market.mark(SPOT, "60000", now=first + HOUR)
        fee = {"fee": D("0.001"), "fee_currency": "BTC"}
        market.fill("buy", "1", "60000", instrument=SPOT, now=first + 2 * HOUR, **fee)
        coin = closing_marks.coin_instruments(market.account.world, ["BTC"])["BTC"]
        for days, price in ((1, 61_000), (2, 62_000), (3, 63_000)):
            at = desk.day_start(desk.day_of(first) + days * desk.DAY)
            ClosingMark.objects.create(instrument_id=coin, at=at, price=price, source="mark", mark_at=at)
        market.mark(SPOT, "64000", now=now)
        keep(market, now=now)
        rows = list(AccountDay.objects.order_by("day"))
        assert {row.unexplained for row in rows} == {0}
        assert (rows[0].fees, rows[0].price) == (-60, D("999"))
        assert [row.price for row in rows[1:]] == [D("999"), D("999"), D("999")]
        assert rows[-1].end_equity == 40_000 + D("0.999") * 64_000


class TestAnAccountThatJoinsWithAPosition:
    def test_brings_its_equity_as_a_flow(self, market, now):
        first = begin(now) + HOUR
        market.fill("buy", "10", "2900", instrument=ETH, now=first - HOUR / 2)
        market.book(cash(Kind.TRANSFER, "opening", first, "1000", cause=Cause.OPENING), now=first)
        mark(market, ETH, first, 3000)
        for days, price in ((1, 3100), (2, 3100), (3, 3100)):
            mark(market, ETH, desk.day_start(desk.day_of(first) + days * desk.DAY), price)
        market.mark(ETH, "3100", now=now)
        keep(market, now=now)
        row = AccountDay.objects.earliest("day")
        assert (row.start_equity, row.joined, row.flows, row.price) == (0, 2000, 2000, 1000)
        assert (row.end_equity, row.unexplained) == (3000, 0)


class TestADepositOfToday:
    def test_is_no_pnl_of_today_from_the_next_refresh_on(self, story, now, redis_server):
        pipeline.refresh(now)
        story.book(cash(Kind.TRANSFER, "late", now, "500", cause=Cause.DEPOSIT), now=now)
        redis_server.delete(pipeline.DUE)
        pipeline.refresh(now + timedelta(seconds=1))
        (figures,) = totals_store.load().figures
        assert figures["periods"]["today"]["pnl"] == "50"
        assert figures["equity"] == "103144"

    def test_that_cannot_be_placed_takes_nobodys_totals_away(self, story, now, redis_server, monkeypatch):
        pipeline.refresh(now)
        story.book(cash(Kind.TRANSFER, "late", now, "500", cause=Cause.DEPOSIT), now=now)
        redis_server.delete(pipeline.DUE)

        def fails(account, *, now):
            raise ValueError("a sum that does not close")

        monkeypatch.setattr(keeping, "keep_account", fails)
        assert pipeline.refresh(now + timedelta(seconds=1))


class TestTags:
    def test_of_entries_and_positions_add_up_to_the_portfolio(self, story, now):
        tag_entries(account=story.account, refs=["fill-2"], strategy="basis", who="t", now=now)
        found = whole(story, now, Dimension.STRATEGY)
        amounts = {row.label: row.pnl for row in found.rows}
        assert amounts["basis"] == D("998.5")
        assert sum(amounts.values()) == found.total.pnl == 1644
        assert set(amounts) == {"basis", reads.UNTAGGED}

    def test_are_taken_away_again(self, story, now):
        for strategy in ("basis", ""):
            tag_entries(account=story.account, refs=["fill-2"], strategy=strategy, who="t", now=now)
        assert [row.label for row in whole(story, now, Dimension.STRATEGY).rows] == [reads.UNTAGGED]

    def test_are_refused_for_entries_that_are_not_there(self, story, now):
        with pytest.raises(UnknownEntries, match="nope"):
            tag_entries(account=story.account, refs=["fill-2", "nope"], strategy="x", who="t", now=now)


class TestEachCell:
    @pytest.mark.parametrize(
        ("by", "key", "count"), [(Dimension.ASSET, "ETH", 3), (Dimension.ASSET, "USDC", 2),
                                 (Dimension.VENUE, "hyperliquid", 5)],
    )  # fmt: skip
    def test_knows_the_entries_behind_it(self, story, now, by, key, count):
        first, last = desk.day_of(begin(now)), desk.day_of(now)
        scope = {"accounts": [story.account.pk], "first": first, "last": last}
        assert reads.entries_behind(**scope, by=by, key=key).count() == count
        cell = next(row for row in reads.attribution(**scope, by=by).rows if row.key == key)
        # What an account begins with is there before its first entry counts.
        assert cell.entries in (count, count - 1)


class TestPricesOfTheDaysBeginning:
    def test_are_kept_once_as_the_day_begins(self, market, now, redis_server):
        begins = desk.day_start(desk.day_of(now))
        market.fill("buy", "1", "60000", now=begins - HOUR)
        market.mark(BTC, "61000", now=begins)
        assert closing_marks.keep_due(now=begins + timedelta(seconds=1)) == 1
        market.mark(BTC, "62000", now=begins + timedelta(seconds=2))
        assert closing_marks.keep_due(now=begins + timedelta(seconds=3)) == 0
        (kept,) = ClosingMark.objects.all()
        assert (kept.price, kept.at) == (61_000, begins)

    def test_are_not_made_up_later(self, market, now):
        market.fill("buy", "1", "60000", now=now)
        market.mark(BTC, "61000", now=now)
        assert closing_marks.keep_due(now=desk.day_start(desk.day_of(now)) + 5 * HOUR) == 0


class TestTheDesksDay:
    def test_begins_in_the_desks_zone(self, settings):
        settings.DESK_ZONE, settings.DESK_DAY_START = ZoneInfo("America/New_York"), datetime.min.time()
        settings.DESK_DAY_START = settings.DESK_DAY_START.replace(hour=17)
        at = datetime(2026, 3, 9, 20, 59, tzinfo=UTC)
        assert desk.day_of(at) == date(2026, 3, 8)
        assert desk.day_of(at + timedelta(minutes=1)) == date(2026, 3, 9)

    def test_has_23_hours_where_clocks_go_forward(self, settings):
        settings.DESK_ZONE = ZoneInfo("Europe/Zurich")
        assert desk.day_end(date(2026, 3, 29)) - desk.day_start(date(2026, 3, 29)) == timedelta(hours=23)
        assert desk.day_end(date(2026, 10, 25)) - desk.day_start(date(2026, 10, 25)) == timedelta(hours=25)
