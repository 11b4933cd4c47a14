"""Whatever happens, in whatever order: at most one alert of a subject, and unknown clears nothing."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from portfolio.alerts.conditions import Condition
from portfolio.alerts.lifecycle import decide
from portfolio.alerts.terms import TERMS

START = datetime(2026, 12, 1, tzinfo=UTC)
KINDS = st.sampled_from([kind for kind in TERMS if kind != "test"])
SUBJECTS = st.sampled_from(["account:1", "account:2", "part:worker", "part:redis"])


@st.composite
def conditions(draw):
    made = {}
    for _ in range(draw(st.integers(0, 5))):
        one = Condition(
            kind=draw(KINDS),
            subject=draw(SUBJECTS),
            holds=draw(st.sampled_from([True, False, None])),
            severity=draw(st.sampled_from(["critical", "warning", "info"])),
            account=draw(st.sampled_from([None, 1, 2])),
            measure=draw(st.none() | st.decimals("0.001", "1000", allow_nan=False, allow_infinity=False)),
            judged_at=None,
        )
        made[one.key] = one
    return list(made.values())


steps = st.lists(
    st.tuples(
        conditions(), st.sampled_from([1, 10, 31, 400, 4000]), st.booleans(), st.booleans(), st.booleans()
    ),
    max_size=25,
)


@given(steps)
@settings(max_examples=300, deadline=None)
def test_no_sequence_opens_two_alerts_of_a_subject_or_clears_on_unknown(sequence):
    open_alerts, recent, now = {}, {}, START
    opened, ended, raised_said = {}, {}, {}
    for found, seconds, muted, acknowledged, crashed in sequence:
        now += timedelta(seconds=seconds)
        by_key = {one.key: one for one in found}
        outcomes = decide(
            open_alerts=open_alerts,
            conditions=found,
            recent=recent,
            muted=set(by_key) if muted else set(),
            now=now,
        )
        keys = [one.after.key for one in outcomes]
        assert len(keys) == len(set(keys))
        if crashed:
            continue  # nothing was committed: the next evaluation sees the same
        for one in outcomes:
            key = one.after.key
            said = [saying.kind for saying in one.sayings]
            if one.before is None:
                assert by_key[key].holds is True
                opened[key] = opened.get(key, 0) + 1
            if one.cleared:
                assert by_key[key].holds is False
                assert ("cleared" in said) <= (one.before.told_at is not None)
                ended[key] = ended.get(key, 0) + 1
                raised_said.pop(key, None)
                del open_alerts[key]
                continue
            if "raised" in said or "flapping" in said:
                assert key not in raised_said
                raised_said[key] = now
            assert not (muted and key in by_key and said)
            assert not (one.after.inhibited_by and set(said) - {"escalated"})
            after = one.after
            if acknowledged and after.told_at:
                after = replace(after, acknowledged=True, told_severity=after.severity)
            open_alerts[key] = after
        assert all(opened[key] - ended.get(key, 0) <= 1 for key in opened)


@given(st.lists(st.sampled_from([True, None]), max_size=50), st.integers(1, 5000))
def test_what_holds_or_is_unknown_stays_open(holds, seconds):
    open_alerts, now = {}, START
    for held in [True, *holds]:
        now += timedelta(seconds=seconds)
        one = Condition(kind="drift", subject="account:1/x", holds=held, measure=Decimal(1))
        (outcome,) = decide(open_alerts=open_alerts, conditions=[one], recent={}, muted=set(), now=now)
        assert not outcome.cleared
        open_alerts = {one.key: outcome.after}
