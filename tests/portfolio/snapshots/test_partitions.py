"""Monthly partitions: made ahead, across a year's end, dropped when old and rolled up, never in between."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction
from django.db.utils import IntegrityError

from portfolio.models import PortfolioHour, PortfolioSnapshot
from portfolio.snapshots import hourly, partitions, retention
from portfolio.snapshots.partitions import Partition
from tests.portfolio.snapshots.rows import row

DECEMBER = datetime(2025, 12, 31, 23, 59, 30, tzinfo=UTC)


def names():
    return {one.name for one in partitions.existing() if "portfoliosnapshot" in one.name}


@pytest.mark.django_db
class TestPartitions:
    def test_are_there_for_this_month_and_three_more_after_migrating(self):
        now = datetime.now(UTC)
        assert partitions.make_ahead(now=now) == 0

    def test_are_made_ahead_across_the_end_of_a_year(self):
        partitions.make_ahead(now=datetime(2030, 11, 15, tzinfo=UTC))
        wanted = {f"portfolio_portfoliosnapshot_{month}" for month in ("y2030m11", "y2030m12", "y2031m01")}
        assert wanted <= names()

    def test_hold_a_minute_on_either_side_of_midnight_each_in_its_month(self):
        row(DECEMBER)
        row(DECEMBER + timedelta(minutes=1))
        with connection.cursor() as cursor:
            cursor.execute("SELECT tableoid::regclass::text FROM portfolio_portfoliosnapshot ORDER BY at")
            found = [name for (name,) in cursor.fetchall()]
        assert found == ["portfolio_portfoliosnapshot_y2025m12", "portfolio_portfoliosnapshot_y2026m01"]

    def test_refuse_a_row_without_a_month_instead_of_hiding_it(self):
        with pytest.raises(IntegrityError, match="no partition"), transaction.atomic():
            PortfolioSnapshot.objects.create(
                environment="live", at=datetime(1999, 1, 1, tzinfo=UTC), accounts=0, open_positions=0,
                realized_pnl=0, net_pnl=0,
            )  # fmt: skip

    def test_have_indexes_of_their_own_and_the_key_of_their_parent(self):
        first = row(DECEMBER)
        with pytest.raises(IntegrityError, match="duplicate"), transaction.atomic():
            row(first.at)


@pytest.mark.django_db
class TestRetention:
    def test_drops_a_month_that_is_old_and_rolled_up_and_keeps_its_hours(self, settings):
        settings.SNAPSHOT_RETENTION_DAYS = 30
        row(DECEMBER)
        row(DECEMBER + timedelta(days=90))
        now = DECEMBER + timedelta(days=91)
        dropped = retention.keep_up(now=now)
        assert "portfolio_portfoliosnapshot_y2025m12" in dropped
        assert [one.equity for one in PortfolioHour.objects.order_by("at")] == [1000, 1000]
        assert PortfolioSnapshot.objects.count() == 1

    def test_keeps_a_month_of_which_one_day_is_young_enough(self, settings):
        settings.SNAPSHOT_RETENTION_DAYS = 30
        row(DECEMBER)
        assert retention.keep_up(now=DECEMBER + timedelta(days=30)) == []

    def test_keeps_what_is_not_rolled_up_yet(self, settings):
        settings.SNAPSHOT_RETENTION_DAYS = 30
        row(DECEMBER)
        dropped = retention.drop_old(now=DECEMBER + timedelta(days=365))
        assert "portfolio_portfoliosnapshot_y2025m12" not in dropped
        assert PortfolioSnapshot.objects.count() == 1

    def test_is_refused_when_shorter_than_a_rollup(self, monkeypatch):
        from django.core.exceptions import ImproperlyConfigured

        from config import env

        monkeypatch.setenv("SNAPSHOT_RETENTION_DAYS", "1")
        with pytest.raises(ImproperlyConfigured, match="at least 2"):
            env.number("SNAPSHOT_RETENTION_DAYS", 365, minimum=2)


@pytest.mark.django_db(transaction=True)
class TestDroppingOutsideOfATransaction:
    def test_detaches_first_while_others_read(self):
        row(datetime(2001, 2, 3, tzinfo=UTC))
        hourly.roll_up(now=datetime(2001, 3, 5, tzinfo=UTC))
        assert retention.drop_old(now=datetime(2005, 1, 1, tzinfo=UTC))
        assert "portfolio_portfoliosnapshot_y2001m02" not in names()

    def test_finishes_what_was_cut_off_in_the_middle(self):
        one = Partition("portfolio_portfoliosnapshot", datetime(2001, 3, 1, tzinfo=UTC))
        partitions.ensure([one.begins])
        with connection.cursor() as cursor:
            # As a crash between the two steps of a concurrent detach leaves it.
            cursor.execute(
                "UPDATE pg_inherits SET inhdetachpending = true WHERE inhrelid = to_regclass(%s)", [one.name]
            )
        partitions.drop(one)
        assert one.name not in names()
        for other in partitions.PARENTS:
            partitions.drop(Partition(other, one.begins)) if other != one.parent else None
