"""What the history adds up to, in worked examples."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal as D

import pytest

from reconciliation import statistics
from reconciliation.models import Case, Correction, DifferenceRow, Run
from reconciliation.statistics import times
from tests.portfolio.market import BTC, Market

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)


def after(seconds):
    return NOW + timedelta(seconds=seconds)


class TestTimes:
    def test_are_unknown_while_there_is_nothing_to_count(self):
        assert times([]) == statistics.Times(0, None, None, None)

    def test_are_those_that_happened_by_nearest_rank(self):
        spans = [timedelta(seconds=one) for one in range(1, 21)]
        assert times(spans) == statistics.Times(20, 10, 19, 20)


@pytest.mark.django_db
class TestAnAccount:
    @pytest.fixture
    def market(self):
        return Market(now=NOW)

    @pytest.fixture
    def run(self, market):
        return Run.objects.create(
            account=market.account, started_at=NOW, finished_at=NOW, as_of=NOW, complete=True
        )

    def differ(self, market, run, *, first=0, confirmed=None, ended=None, how="", kind="quantity"):
        return DifferenceRow.objects.create(
            account=market.account, instrument_id=market.instruments[BTC], leg="net", family="size",
            kind=kind, amount=D(1), first_run=run, last_run=run, first_as_of=after(first),
            first_at=after(first), confirmed_at=None if confirmed is None else after(confirmed),
            ended_at=None if ended is None else after(ended), ended=how,
        )  # fmt: skip

    def case(self, market, run, **fields):
        return Case.objects.create(
            account=market.account, instrument_id=market.instruments[BTC], leg="net", family="size", run=run,
            changed_at=NOW, **fields,
        )  # fmt: skip

    def test_without_a_history_has_counts_of_0_and_no_times(self, market):
        found = statistics.of(account=market.account)
        assert (found.runs, found.confirmed, found.false_alarms, found.differences) == (0, 0, 0, {})
        assert found.to_detect.median is None

    def test_counts_runs_by_how_far_they_came(self, market, run):
        for as_of in (NOW, None):
            Run.objects.create(account=market.account, started_at=NOW, finished_at=NOW, as_of=as_of)
        Run.objects.create(account=market.account, started_at=NOW)
        found = statistics.of(account=market.account)
        assert (found.runs, found.complete_runs, found.failed_runs) == (3, 1, 1)

    def test_times_detection_from_the_first_report_and_resolution_from_the_confirmation(self, market, run):
        market.fill("buy", "1", "60000", now=after(30))
        self.differ(market, run, first=0, confirmed=4, ended=64, how="settled")
        self.differ(market, run, first=100, ended=101, how="passed")
        self.differ(market, run, first=200, confirmed=202, kind="missing_in_book")
        found = statistics.of(account=market.account)
        assert (found.to_detect.count, found.to_detect.median, found.to_detect.worst) == (2, 2, 4)
        assert (found.to_resolve.count, found.to_resolve.median) == (1, 60)
        assert (found.confirmed, found.passed, found.open) == (2, 1, 1)
        assert found.differences == {"quantity": 2, "missing_in_book": 1}

    def test_calls_a_drift_that_went_away_without_a_booking_a_false_alarm(self, market, run):
        market.fill("buy", "1", "60000", now=after(30))
        self.differ(market, run, first=0, confirmed=4, ended=64, how="settled")
        assert statistics.of(account=market.account).false_alarms == 0
        self.differ(market, run, first=100, confirmed=104, ended=164, how="settled")
        assert statistics.of(account=market.account).false_alarms == 1

    def test_calls_a_drift_whose_case_was_dismissed_a_false_alarm(self, market, run):
        self.differ(market, run, first=0, confirmed=4)
        self.case(market, run, opened_at=after(4), state="dismissed", closed_at=after(50))
        assert statistics.of(account=market.account).false_alarms == 1

    def test_counts_corrections_that_stand_and_those_taken_back(self, market, run):
        case = self.case(market, run, opened_at=NOW)
        for entries, automatic, back, outcome in (
            (["a"], False, None, "agrees"), (["b"], True, None, "agrees"), (["c"], False, NOW, "differs"),
            ([], False, None, ""), (["d"], False, None, "refused"),
        ):  # fmt: skip
            Correction.objects.create(
                case=case, action="adopt_venue", who="x", reason="x", entries=entries, automatic=automatic,
                reversed_at=back, outcome=outcome, applied_at=NOW,
            )  # fmt: skip
        found = statistics.of(account=market.account)
        assert (found.corrections, found.automatic_corrections, found.reversed_corrections) == (2, 1, 1)

    def test_since_a_time_counts_what_began_then(self, market, run):
        self.differ(market, run, first=0, confirmed=4)
        found = statistics.of(account=market.account, since=after(1))
        assert (found.runs, found.confirmed) == (0, 0)
