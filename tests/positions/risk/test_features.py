"""What models read."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from positions.risk.exact import BadRiskInput
from positions.risk.features import (
    position_size_norm,
    time_held_minutes,
    total_exposure,
    unrealized_pnl_pct,
)
from tests.positions.risk.contracts import D

OPENED = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class TestTimeHeldMinutes:
    def test_an_hour_and_a_half_is_90(self):
        assert time_held_minutes(opened_at=OPENED, until=OPENED + timedelta(hours=1, minutes=30)) == 90

    def test_counts_parts_of_a_minute(self):
        assert time_held_minutes(opened_at=OPENED, until=OPENED + timedelta(seconds=15)) == D("0.25")

    def test_time_zones_do_not_matter(self):
        there = OPENED.astimezone(timezone(timedelta(hours=9))) + timedelta(minutes=5)
        assert time_held_minutes(opened_at=OPENED, until=there) == 5

    def test_a_venue_whose_clock_runs_ahead_opened_it_just_now(self):
        assert time_held_minutes(opened_at=OPENED, until=OPENED - timedelta(seconds=2)) == 0

    def test_held_for_less_than_nothing_is_refused(self):
        with pytest.raises(BadRiskInput, match="until"):
            time_held_minutes(opened_at=OPENED, until=OPENED - timedelta(hours=1))

    def test_a_naive_time_is_refused_by_name(self):
        with pytest.raises(BadRiskInput, match="opened_at"):
            time_held_minutes(opened_at=OPENED.replace(tzinfo=None), until=OPENED)

    def test_unknown_in_unknown_out(self):
        assert time_held_minutes(opened_at=None, until=OPENED) is None
        assert time_held_minutes(opened_at=OPENED, until=None) is None


class TestPositionSizeNorm:
    def test_21000_of_84000_is_a_quarter(self):
        assert position_size_norm(notional=D(21_000), total_exposure=D(84_000)) == D("0.25")

    def test_unknown_exposure_is_unknown_and_so_is_none_at_all(self):
        assert position_size_norm(notional=D(1), total_exposure=None) is None
        assert position_size_norm(notional=None, total_exposure=D(1)) is None
        assert position_size_norm(notional=D(0), total_exposure=D(0)) is None

    def test_more_than_the_whole_is_refused(self):
        with pytest.raises(BadRiskInput, match="notional"):
            position_size_norm(notional=D(2), total_exposure=D(1))

    def test_a_negative_exposure_is_refused(self):
        with pytest.raises(BadRiskInput, match="total_exposure"):
            position_size_norm(notional=D(1), total_exposure=D(-1))


class TestTotalExposure:
    def test_longs_and_shorts_add_up_unsigned(self):
        assert total_exposure(notionals=[D(21_000), D(63_000)]) == 84_000
        assert total_exposure(notionals=[]) == 0

    def test_one_unknown_notional_makes_it_unknown(self):
        assert total_exposure(notionals=[D(21_000), None, D(1)]) is None

    def test_a_signed_notional_is_refused(self):
        with pytest.raises(BadRiskInput, match="notional"):
            total_exposure(notionals=[None, D(-1)])


class TestUnrealizedPnlPct:
    def test_is_the_same_measure_as_on_the_board(self):
        assert unrealized_pnl_pct(unrealized_pnl=D(250), entry_notional=D(21_000)).quantize(D("0.01")) == D(
            "1.19"
        )
