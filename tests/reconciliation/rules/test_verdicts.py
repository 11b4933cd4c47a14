"""What reports in a row make of a verdict."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal as D

import pytest

from reconciliation.rules.compare import Difference, DifferenceKind
from reconciliation.rules.verdicts import (
    FactReceipt,
    Observation,
    VerdictState,
    aged,
    judged,
    repaired,
    rests_at,
)

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)
MISSING = Difference(DifferenceKind.QUANTITY, D(1), D(3))


def at(seconds):
    return NOON + timedelta(seconds=seconds)


def report(seconds, *drifts, proves=True, observed=True, traded=None, got=None):
    """A report as of some seconds after noon, looked at 0.1 s later; a fact was `traded` then, `got` when."""
    receipts = () if traded is None else (FactReceipt(at(traded), at(traded if got is None else got)),)
    return Observation(
        as_of=at(seconds), at=at(seconds + 0.1), proves=proves, observed=observed, drifts=drifts,
        receipts=receipts,
    )  # fmt: skip


def after(*reports, start=None):
    standing = start or VerdictState()
    for one in reports:
        standing = judged(standing, one)
    return standing


class TestAVerdict:
    def test_is_synced_by_a_report_that_agrees(self):
        found = after(report(0))
        assert (found.status, found.as_of) == ("SYNCED", at(0))

    @pytest.mark.parametrize("blind", [{"proves": False}, {"observed": False, "proves": False}])
    def test_is_not_synced_by_what_proves_nothing(self, blind):
        assert after(report(0, **blind)).status == "PENDING"

    def test_is_no_drift_at_first_sight(self):
        found = after(report(0), report(5, MISSING))
        assert (found.status, found.as_of) == ("SYNCED", at(0))

    def test_is_a_drift_when_a_second_report_a_second_later_shows_the_same(self):
        assert after(report(5, MISSING), report(5.9, MISSING)).status == "PENDING"
        assert after(report(5, MISSING), report(6, MISSING)).status == "DRIFT"

    def test_is_a_drift_by_the_amount_on_a_leg_that_trades_on(self):
        moved = Difference(DifferenceKind.QUANTITY, D(5), D(7))
        assert after(report(5, MISSING), report(7, moved)).status == "DRIFT"

    def test_begins_anew_when_the_second_report_shows_another_difference(self):
        other = Difference(DifferenceKind.QUANTITY, D(1), D(4))
        found = after(report(5, MISSING), report(7, other))
        assert (found.status, found.suspected_as_of) == ("PENDING", at(7))

    def test_forgets_a_difference_that_one_stale_report_showed(self):
        found = after(report(0), report(5, MISSING), report(7))
        assert (found.status, found.as_of, found.suspected) == ("SYNCED", at(7), ())

    def test_ignores_a_report_older_than_the_newest_seen(self):
        standing = after(report(10))
        assert judged(standing, report(3, MISSING)) == standing

    def test_waits_three_seconds_after_local_activity(self):
        first, second = report(5, MISSING, traded=4), report(6.5, MISSING, traded=4)
        assert after(first, second).status == "PENDING"
        assert after(first, second, report(7, MISSING, traded=4)).status == "DRIFT"

    def test_does_not_wait_for_what_was_traded_after_it_first_showed(self):
        assert after(report(5, MISSING), report(7, MISSING, traded=6.9)).status == "DRIFT"

    def test_waits_at_most_fifteen_seconds_while_older_facts_keep_arriving(self):
        late = [report(second, MISSING, traded=-1, got=second) for second in range(16)]
        assert after(*late[:15]).status == "PENDING"
        assert after(*late).status == "DRIFT"

    def test_fails_when_still_different_after_everything_was_asked_for(self):
        drift = after(report(5, MISSING), report(7, MISSING))
        assert judged(drift, report(70, MISSING)).status == "DRIFT"
        asked = repaired(drift, as_of=at(7))
        assert judged(asked, report(7, MISSING)).status == "DRIFT"
        assert judged(asked, report(70, MISSING)).status == "FAILED"

    def test_fails_when_unprovable_after_everything_was_asked_for(self):
        asked = repaired(after(report(5, MISSING), report(7, MISSING)), as_of=at(7))
        assert judged(asked, report(70, proves=False)).status == "FAILED"

    def test_does_not_fail_for_another_difference_than_was_asked_about(self):
        asked = repaired(after(report(5, MISSING), report(7, MISSING)), as_of=at(7))
        other = Difference(DifferenceKind.QUANTITY, D(1), D(9))
        assert after(report(70, other), report(72, other), start=asked).status == "DRIFT"

    @pytest.mark.parametrize("status", ["DRIFT", "FAILED"])
    def test_is_synced_again_by_the_next_report_that_agrees(self, status):
        wrong = VerdictState(
            status=status, suspected=(MISSING,), suspected_as_of=at(0), suspected_at=at(0),
            seen_as_of=at(2), repaired_as_of=at(1),
        )  # fmt: skip
        assert judged(wrong, report(9)) == VerdictState(status="SYNCED", as_of=at(9), seen_as_of=at(9))
        assert judged(wrong, report(9, proves=False)).status == "FAILED"

    def test_keeps_its_status_when_the_venue_cannot_be_read(self):
        drift = repaired(after(report(5, MISSING), report(7, MISSING)), as_of=at(7))
        assert judged(drift, report(70, observed=False, proves=False)) == drift

    def test_is_pending_again_when_its_proof_is_too_old(self):
        synced = after(report(0))
        assert aged(synced, oldest=at(-1)).status == "SYNCED"
        assert aged(synced, oldest=at(1)).status == "PENDING"
        assert aged(synced, oldest=at(1)).as_of == at(0)


OWED = Difference(DifferenceKind.EQUITY, D(1000), D(1003))


def cash(seconds, *receipts, drifts=(OWED,)):
    """A wallet in a report; receipts are (venue time, receipt) of facts, None: it corrects another."""
    facts = tuple(
        FactReceipt(None if time is None else at(time), at(received)) for time, received in receipts
    )
    return Observation(
        as_of=at(seconds), at=at(seconds + 0.1), proves=True, observed=True, drifts=drifts, receipts=facts
    )


class TestCashOfAnAccountThatTradesWithoutPause:
    """Each fact moves the wallet; what it is off by stays the same."""

    def busy(self, second):
        return cash(second, *((time, time + 0.05) for time in range(-30, second + 1)))

    def test_is_a_drift_three_seconds_after_what_came_before_it_showed(self):
        reports = [self.busy(second) for second in range(4)]
        assert after(*reports[:3]).status == "PENDING"
        assert after(*reports).status == "DRIFT"

    def test_waits_for_facts_that_arrive_late(self):
        late = (-1, 2.5)  # happened before the difference showed, came after it
        assert after(cash(0, (-5, -5)), cash(3, late)).status == "PENDING"
        assert after(cash(0, (-5, -5)), cash(3, late), cash(5.5, late)).status == "DRIFT"

    def test_waits_after_a_correction_whenever_what_it_corrects_happened(self):
        corrected = (None, 2.5)
        assert after(cash(0), cash(3, corrected)).status == "PENDING"
        assert after(cash(0), cash(3, corrected), cash(5.5, corrected)).status == "DRIFT"

    def test_waits_fifteen_seconds_at_most(self):
        trickle = [cash(second, (-1, second)) for second in range(16)]
        assert after(*trickle[:15]).status == "PENDING"
        assert after(*trickle).status == "DRIFT"

    def test_begins_anew_when_facts_change_what_it_is_off_by(self):
        other = Difference(DifferenceKind.EQUITY, D(1000), D(1004))
        found = after(cash(0, (0, 0)), cash(2, (1, 2), drifts=(other,)), cash(4, (1, 2), drifts=(other,)))
        assert found.status == "PENDING"

    def test_rests_at_once_where_nothing_came(self):
        standing = after(cash(0))
        assert rests_at(standing, cash(2)) == standing.suspected_at
        assert rests_at(standing, cash(2, (1, 1.5))) == standing.suspected_at
        assert rests_at(standing, cash(2, (0, 1.5))) == at(4.5)
