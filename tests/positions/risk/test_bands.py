"""Risk bands: when a distance is safe, and who sets the thresholds."""

import pytest

from positions.risk.bands import RiskBand, RiskLadder, ladder_for, risk_band
from positions.risk.exact import BadRiskInput
from tests.positions.risk.contracts import D


class TestRiskBand:
    @pytest.mark.parametrize(
        ("distance", "band"),
        [
            ("10.6", "safe"),
            ("10.01", "safe"),
            ("10", "watch"),
            ("5.01", "watch"),
            ("5", "danger"),
            ("2.01", "danger"),
            ("2", "critical"),
            ("0", "critical"),
            ("-3", "critical"),
        ],
    )
    def test_by_the_default_ladder_of_10_5_and_2_percent(self, distance, band):
        assert risk_band(distance_pct=D(distance)) == band

    def test_at_risk_begins_at_five_percent(self):
        assert risk_band(distance_pct=D("5")).at_risk
        assert not risk_band(distance_pct=D("5.000001")).at_risk

    def test_unknown_distance_is_unknown_not_safe(self):
        assert risk_band(distance_pct=None) is None

    def test_what_no_price_liquidates_is_safe(self):
        assert risk_band(distance_pct=None, never_liquidated=True) is RiskBand.SAFE

    def test_equity_under_maintenance_is_critical_whatever_the_distance(self):
        assert risk_band(distance_pct=D(50), under_maintenance=True) is RiskBand.CRITICAL
        assert (
            risk_band(distance_pct=None, never_liquidated=True, under_maintenance=True) is RiskBand.CRITICAL
        )

    def test_nan_is_refused(self):
        with pytest.raises(BadRiskInput, match="distance_pct"):
            risk_band(distance_pct=D("NaN"))


class TestRiskLadder:
    @pytest.mark.parametrize(
        ("rungs", "field"),
        [
            ({"critical_pct": "0"}, "critical_pct"),
            ({"critical_pct": "-1"}, "critical_pct"),
            ({"critical_pct": "5"}, "danger_pct"),
            ({"danger_pct": "1"}, "danger_pct"),
            ({"watch_pct": "5"}, "watch_pct"),
            ({"watch_pct": "101"}, "watch_pct"),
            ({"watch_pct": "NaN"}, "watch_pct"),
            ({"danger_pct": None}, "danger_pct"),
        ],
    )
    def test_that_does_not_climb_is_refused_by_the_rung(self, rungs, field):
        with pytest.raises(BadRiskInput) as refused:
            RiskLadder(**{key: D(value) for key, value in rungs.items()})
        assert refused.value.field == field

    def test_of_its_own_moves_the_band(self):
        wary = RiskLadder(watch_pct=D(30), danger_pct=D(20), critical_pct=D(10))
        assert risk_band(distance_pct=D("10.6"), ladder=wary) is RiskBand.DANGER


class TestLadderFor:
    PAIR, ACCOUNT, INSTRUMENT, EVERY = (RiskLadder(watch_pct=D(watch)) for watch in ("20", "21", "22", "23"))

    def test_the_narrowest_setting_wins(self):
        ladders = {
            ("main", "BTC"): self.PAIR,
            ("main", None): self.ACCOUNT,
            (None, "BTC"): self.INSTRUMENT,
            (None, None): self.EVERY,
        }
        find = {
            ("main", "BTC"): self.PAIR,
            ("main", "ETH"): self.ACCOUNT,
            ("side", "BTC"): self.INSTRUMENT,
            ("side", "ETH"): self.EVERY,
        }
        for (account, instrument), ladder in find.items():
            assert ladder_for(ladders=ladders, account=account, instrument=instrument) is ladder

    def test_without_any_the_default_stands(self):
        assert ladder_for(ladders={}, account="main", instrument="BTC") == RiskLadder()
