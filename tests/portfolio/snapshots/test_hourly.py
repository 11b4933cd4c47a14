"""The hourly rollup says what the raw rows say: last, lowest, highest, how many, and all that was wrong."""

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal as D

import pytest

from portfolio.models import AccountHour, PortfolioHour, PortfolioSnapshot, PositionHour, PositionSnapshot
from portfolio.snapshots import hourly, taking
from portfolio.snapshots.quality import Quality
from tests.portfolio.market import BTC, Market
from tests.portfolio.snapshots.rows import row

pytestmark = pytest.mark.django_db
START = datetime(2026, 1, 31, 20, 0, tzinfo=UTC)
FIGURES = ("quantity", "mark_price", "unrealized_pnl", "realized_pnl", "net_pnl", "unrealized_pnl_pct",
           "time_held_minutes", "position_size_norm")  # fmt: skip


def known(rows):
    return [one.unrealized_pnl for one in rows if one.unrealized_pnl is not None]


def by_hand(rows):
    """Roll raw rows of one position up, in Python."""
    hours = {}
    for one in sorted(rows, key=lambda one: one.at):
        hours.setdefault(hourly.hour_of(one.at), []).append(one)
    return {
        at: {
            "last_at": found[-1].at,
            "snapshots": len(found),
            "quality": max(one.quality for one in found),
            "low": min((one.unrealized_pnl for one in found if one.unrealized_pnl is not None), default=None),
            "high": max(
                (one.unrealized_pnl for one in found if one.unrealized_pnl is not None), default=None
            ),
            **{name: getattr(found[-1], name) for name in FIGURES},
        }
        for at, found in hours.items()
    }


class TestTheRollup:
    def test_equals_the_raw_rows_across_the_end_of_a_month_and_with_gaps(self):
        market = Market(now=START)
        market.fill("buy", "0.5", "60000", now=START, wallet="perps")
        noise = random.Random(16)
        for minute in range(0, 6 * 60, 7):
            at = START + timedelta(minutes=minute, seconds=noise.randrange(50))
            if minute % 56:  # every eighth time no price comes
                market.mark(BTC, str(60000 + noise.randrange(-900, 900)), now=at)
            if 100 < minute < 170:
                continue  # an outage
            taking.take(now=at)
        hourly.roll_up(now=START + timedelta(hours=6))
        expected = by_hand(PositionSnapshot.objects.all())
        found = {one.at: one for one in PositionHour.objects.all()}
        assert set(found) == set(expected)
        for at, wanted in expected.items():
            assert {name: getattr(found[at], name) for name in wanted} == wanted
        assert AccountHour.objects.count() == PortfolioHour.objects.count() == len(expected)

    def test_leaves_the_hour_that_is_not_over(self):
        row(START + timedelta(minutes=5))
        hourly.roll_up(now=START + timedelta(minutes=59))
        assert not PortfolioHour.objects.exists()

    def test_takes_in_what_came_late_and_changes_nothing_when_done_again(self):
        row(START + timedelta(minutes=5), "1000")
        hourly.roll_up(now=START + timedelta(hours=1))
        row(START + timedelta(minutes=59), "900")
        for _ in range(2):
            hourly.roll_up(now=START + timedelta(hours=1, minutes=5))
            [hour] = PortfolioHour.objects.all()
            assert (hour.equity, hour.low, hour.high, hour.snapshots) == (900, 900, 1000, 2)

    def test_catches_up_after_weeks_without_a_scheduler(self):
        for day in (0, 10, 20):
            row(START + timedelta(days=day))
        hourly.roll_up(now=START + timedelta(days=21))
        assert PortfolioHour.objects.count() == 3
        assert hourly.through() == START + timedelta(days=20, hours=1)

    def test_keeps_every_fault_of_the_hour(self):
        for minute, quality in ((1, Quality.MARK_STALE), (2, Quality.FEED_STALE), (3, Quality.COMPLETE)):
            found = row(START + timedelta(minutes=minute))
            PortfolioSnapshot.objects.filter(pk=found.pk).update(quality=quality)
        hourly.roll_up(now=START + timedelta(hours=1))
        assert PortfolioHour.objects.get().quality == Quality.MARK_STALE | Quality.FEED_STALE

    def test_of_what_is_unknown_has_no_bounds(self):
        found = row(START)
        PortfolioSnapshot.objects.filter(pk=found.pk).update(equity=None)
        hourly.roll_up(now=START + timedelta(hours=1))
        hour = PortfolioHour.objects.get()
        assert (hour.equity, hour.low, hour.high, hour.equity_known) == (None, None, None, D(1000))
