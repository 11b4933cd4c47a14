"""A stretch of time in at most 2,000 points: the same from raw and from hourly rows, with its gaps."""

from datetime import UTC, datetime, timedelta

import pytest

from portfolio.models import PortfolioHour, PortfolioSnapshot
from portfolio.snapshots import hourly, retention
from portfolio.snapshots.series import MAX_POINTS, STEPS, Subject, TooFine, begins, series, step_for
from tests.portfolio.snapshots.rows import row

pytestmark = pytest.mark.django_db
START = datetime(2026, 1, 31, 22, 0, tzinfo=UTC)
WHOLE = Subject("portfolio", "live")
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def minutes(count, *, without=(), since=START):
    for minute in range(count):
        if minute not in without:
            row(since + minute * MINUTE, str(1000 + minute % 37))


def read(until, **options):
    return series(WHOLE, since=options.pop("since", START), until=until, now=until, **options)


class TestGaps:
    def test_a_missed_minute_is_one(self):
        minutes(10, without={4})
        found = read(START + 10 * MINUTE)
        assert [gap._asdict() for gap in found.gaps] == [
            {"since": START + 3 * MINUTE, "until": START + 5 * MINUTE}
        ]
        assert (len(found.points), found.missing) == (9, 1)

    def test_an_outage_that_lasts_is_one_that_has_not_ended(self):
        minutes(5)
        found = read(START + 30 * MINUTE)
        assert found.gaps == [(START + 4 * MINUTE, START + 30 * MINUTE)]

    def test_before_the_first_snapshot_there_is_none(self):
        minutes(5)
        found = read(START + 5 * MINUTE, since=START - DAY)
        assert (found.gaps, found.missing) == ([], 0)

    def test_inside_of_long_steps_are_counted(self):
        minutes(6 * 60, without=set(range(100, 130)))
        hourly.roll_up(now=START + 6 * HOUR)
        found = read(START + 6 * HOUR, step="1h")
        assert [point["missing"] for point in found.points] == [0, 20, 10, 0, 0, 0]
        assert found.gaps == []

    def test_of_hours_are_gaps(self):
        minutes(60)
        minutes(60, since=START + 5 * HOUR)
        hourly.roll_up(now=START + 6 * HOUR)
        [gap] = read(START + 6 * HOUR, step="1h").gaps
        assert gap.until - gap.since == 5 * HOUR

    def test_what_is_unknown_stays_unknown(self):
        row(START, None)
        [point] = read(START + MINUTE).points
        assert (point["equity"], point["low"]) == (None, None)


class TestResolution:
    def test_hours_say_what_minutes_say_across_the_end_of_a_month(self):
        minutes(5 * 60 + 20)
        until = START + 5 * HOUR + 20 * MINUTE
        from_raw = read(until, step="1h").points
        hourly.roll_up(now=until)
        assert read(until, step="1h").points == from_raw
        assert read(until, step="4h").points[0]["snapshots"] == 120

    def test_the_hour_that_is_not_over_comes_from_raw_rows(self):
        minutes(70)
        hourly.roll_up(now=START + 70 * MINUTE)
        found = read(START + 70 * MINUTE, step="1h").points
        assert [point["snapshots"] for point in found] == [60, 10]

    def test_a_step_that_is_half_rolled_up_has_the_rows_of_both(self):
        minutes(90)
        hourly.roll_up(now=START + 90 * MINUTE)
        found = read(START + 90 * MINUTE, step="1d").points
        assert sum(point["snapshots"] for point in found) == 90

    def test_fits_any_range_into_two_thousand_points(self):
        now = START
        for length in (HOUR, DAY, 7 * DAY, 30 * DAY, 365 * DAY, 3650 * DAY):
            step = STEPS[step_for(now - length, now, now=now)]
            assert length / step <= MAX_POINTS

    def test_refuses_more_points_and_names_what_fits(self):
        with pytest.raises(TooFine, match="1h") as caught:
            series(WHOLE, since=START - 60 * DAY, until=START, now=START, step="1m")
        assert caught.value.coarser == "1h"

    def test_goes_on_in_hours_where_raw_rows_were_dropped(self, settings):
        settings.SNAPSHOT_RETENTION_DAYS = 30
        minutes(120)
        now = START + 100 * DAY
        retention.keep_up(now=now)
        assert not PortfolioSnapshot.objects.exists()
        assert PortfolioHour.objects.count() == 2
        found = series(WHOLE, since=START, until=START + DAY, now=now)
        assert [point["snapshots"] for point in found.points] == [60, 60]

    def test_of_a_range_that_ends_before_it_begins_is_refused(self):
        with pytest.raises(ValueError, match="ends before"):
            read(START - MINUTE)

    def test_of_a_range_without_data_is_empty(self):
        found = read(START + DAY)
        assert (found.points, found.gaps, begins(WHOLE)) == ([], [], None)
