"""What becomes of an alert, second by second."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from portfolio.alerts import terms
from portfolio.alerts.conditions import AlertKey, Condition, plain_line
from portfolio.alerts.lifecycle import decide, is_worse

START = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


class Story:
    """Alerts that live through conditions; `said` are the kinds of what people were told, in order."""

    def __init__(self):
        self.open, self.said, self.texts = {}, [], []
        self.recent, self.muted = {}, set()
        self.now = START

    def after(self, *conditions, seconds=1.0):
        self.now += timedelta(seconds=seconds)
        outcomes = decide(
            open_alerts=self.open, conditions=conditions, recent=self.recent, muted=self.muted, now=self.now
        )
        for one in outcomes:
            self.said += [(one.after.kind, saying.kind) for saying in one.sayings]
            self.texts += [saying.text for saying in one.sayings]
            if one.cleared:
                self.open.pop(one.after.key, None)
                if one.after.told_at:
                    self.recent[one.after.key] = self.recent.get(one.after.key, 0) + 1
            else:
                self.open[one.after.key] = one.after
        return self

    @property
    def kinds(self):
        return [kind for _, kind in self.said]


def condition(holds=True, kind="drift", subject="account:1/instrument:1/net", **fields):
    return Condition(kind=kind, subject=subject, holds=holds, account=1, **{"title": "T"} | fields)


@pytest.fixture
def story():
    return Story()


class TestAnAlert:
    def test_is_said_once_however_often_it_is_evaluated(self, story):
        for _ in range(1000):
            story.after(condition())
        assert story.kinds == ["raised"]
        assert len(story.open) == 1

    def test_is_over_when_it_is_proven(self, story):
        story.after(condition()).after(condition(False, healed="agrees"))
        assert story.kinds == ["raised", "cleared"]
        assert story.texts[-1] == "agrees"
        assert story.open == {}

    def test_that_is_over_within_its_wait_is_never_said(self, story):
        story.after(condition(kind="quarantine"))
        story.after(condition(False, kind="quarantine"), seconds=20)
        assert (story.kinds, story.open) == ([], {})

    def test_is_said_when_its_wait_is_over(self, story):
        story.after(condition(kind="quarantine")).after(condition(kind="quarantine"), seconds=31)
        assert story.kinds == ["raised"]

    def test_keeps_its_title_once_people_know_it(self, story):
        story.after(condition(title="book 1")).after(condition(title="book 2"))
        assert story.open[condition().key].title == "book 1"

    def test_that_was_acknowledged_is_not_repeated(self, story):
        story.after(condition())
        key = condition().key
        story.open[key] = replace(story.open[key], acknowledged=True, urgent_since=None)
        story.after(condition(), seconds=48 * 3600)
        assert story.kinds == ["raised"]

    def test_is_repeated_after_a_set_time(self, story):
        story.after(condition(severity="warning")).after(condition(severity="warning"), seconds=6 * 3600)
        assert story.kinds == ["raised", "repeated"]

    def test_of_which_no_rule_speaks_cannot_be_judged(self, story):
        story.after(condition()).after(seconds=60)
        assert story.open[condition().key].unjudged_since is not None


class TestUnknown:
    def test_never_clears(self, story):
        story.after(condition())
        for _ in range(500):
            story.after(condition(None), seconds=10)
        assert "cleared" not in story.kinds

    def test_never_raises(self, story):
        assert story.after(condition(None), seconds=3600).said == []

    def test_is_said_once_with_its_time(self, story):
        story.after(condition()).after(condition(None, summary="no report"))
        story.after(condition(None, summary="no report"), seconds=40)
        story.after(condition(None, summary="no report"), seconds=40)
        assert story.kinds == ["raised", "unjudged"]
        assert story.texts[-1] == "Cannot be judged since 1 Dec 12:00:01 UTC: no report"

    def test_interrupts_a_recovery(self, story):
        feed = {"kind": "component_down", "subject": "part:web"}
        story.after(condition(**feed)).after(condition(**feed), seconds=31)
        story.after(condition(False, **feed)).after(condition(None, **feed)).after(condition(False, **feed))
        assert "cleared" not in story.kinds
        story.after(condition(False, **feed), seconds=6)
        assert story.kinds == ["raised", "cleared"]


class TestWorse:
    @pytest.mark.parametrize(
        ("measure", "told", "worse"),
        [
            ("110", "100", True),
            ("109", "100", False),
            ("1", "0", True),
            ("0", "0", False),
            ("90", "100", False),
        ],
    )
    def test_is_a_tenth_above_what_people_were_told(self, measure, told, worse):
        assert is_worse(Decimal(measure), told=Decimal(told)) is worse

    @pytest.mark.parametrize("pair", [(None, Decimal(1)), (Decimal(1), None)])
    def test_is_not_known_of_the_unknown(self, pair):
        assert not is_worse(pair[0], told=pair[1])

    def test_is_compared_with_what_was_said_and_not_with_the_last_figure(self, story):
        for measure in range(100, 130, 2):  # it creeps up: never a tenth at once
            story.after(condition(measure=Decimal(measure)), seconds=61)
        assert story.kinds == ["raised", "worsened", "worsened"]

    def test_is_said_at_most_once_a_minute(self, story):
        for measure in (100, 200, 400, 800):
            story.after(condition(measure=Decimal(measure)))
        assert story.kinds == ["raised"]

    def test_is_said_at_once_where_it_is_more_severe(self, story):
        story.after(condition(severity="warning")).after(condition(severity="critical"))
        assert story.kinds == ["raised", "worsened"]

    def test_takes_back_an_acknowledgement_of_less(self, story):
        story.after(condition(severity="warning"))
        story.open[condition().key] = replace(story.open[condition().key], acknowledged=True)
        story.after(condition(severity="critical"))
        assert not story.open[condition().key].acknowledged


class TestACause:
    PART = {"kind": "component_down", "subject": "part:worker"}
    FEED = {"kind": "feed_silent", "subject": "account:1"}
    PROOF = {"kind": "proof_old", "subject": "account:1"}

    def test_is_said_and_not_its_effects(self, story):
        for _ in range(10):
            story.after(condition(**self.PART), condition(**self.FEED), condition(**self.PROOF), seconds=30)
        assert story.said == [("component_down", "raised")]
        assert story.open[condition(**self.PROOF).key].inhibited_by == AlertKey(
            "component_down", "part:worker"
        )

    def test_that_is_gone_gives_its_effects_time_to_heal(self, story):
        for _ in range(3):
            story.after(condition(**self.PART), condition(**self.PROOF), seconds=30)
        story.after(condition(False, **self.PART), condition(**self.PROOF))
        story.after(condition(False, **self.PART), condition(**self.PROOF), seconds=6)
        story.after(condition(**self.PROOF), seconds=60)
        story.after(condition(False, **self.PROOF))
        assert story.said == [("component_down", "raised"), ("component_down", "cleared")]

    def test_that_is_gone_leaves_effects_that_stay_to_be_said(self, story):
        for _ in range(3):
            story.after(condition(**self.PART), condition(**self.PROOF), seconds=30)
        story.after(condition(False, **self.PART), condition(**self.PROOF), seconds=6)
        story.after(condition(False, **self.PART), condition(**self.PROOF), seconds=6)
        story.after(condition(**self.PROOF), seconds=91)
        assert story.said[-1] == ("proof_old", "raised")

    def test_explains_why_a_drift_cannot_be_judged(self, story):
        story.after(condition())
        for _ in range(5):
            story.after(condition(None), condition(**self.FEED), seconds=30)
        assert story.said == [("drift", "raised"), ("feed_silent", "raised")]

    def test_never_explains_a_drift_away(self, story):
        for _ in range(3):
            story.after(condition(**self.PART), condition(**self.FEED), seconds=30)
        story.after(condition(**self.PART), condition(**self.FEED), condition())
        assert ("drift", "raised") in story.said


class TestFlapping:
    def test_is_named_once_and_stays_open_until_it_is_quiet(self, story):
        for _ in range(10):
            story.after(condition(), seconds=30).after(condition(False), seconds=30)
        assert story.kinds.count("flapping") == 1
        assert story.kinds[:7] == ["raised", "cleared"] * terms.FLAPS_AFTER + ["flapping"]
        assert len(story.kinds) == 7
        story.after(condition(False), seconds=31 * 60)
        assert story.kinds[-1] == "cleared"


class TestEscalation:
    def test_goes_up_while_nobody_acknowledges_a_critical_alert(self, story):
        for _ in range(40):
            story.after(condition(severity="critical"), seconds=60)
        assert story.kinds == ["raised", "escalated", "escalated", "escalated"]

    def test_ends_with_the_acknowledgement(self, story):
        story.after(condition(severity="critical"))
        key = condition().key
        story.open[key] = replace(story.open[key], acknowledged=True)
        for _ in range(40):
            story.after(condition(severity="critical"), seconds=60)
        assert story.kinds == ["raised"]

    def test_is_none_of_a_warning(self, story):
        for _ in range(40):
            story.after(condition(severity="warning"), seconds=60)
        assert story.kinds == ["raised"]


class TestMuted:
    def test_is_not_said_until_the_mute_ends(self, story):
        story.muted = {condition().key}
        for _ in range(10):
            story.after(condition(), seconds=60)
        assert story.kinds == []
        story.muted = set()
        assert story.after(condition()).kinds == ["raised"]

    def test_ends_unsaid_too(self, story):
        story.muted = {condition().key}
        assert story.after(condition()).after(condition(False)).kinds == []


class TestATitle:
    @pytest.mark.parametrize(
        ("text", "line"),
        [
            ("DRIFT a\r\nBcc: x@example.com", "DRIFT a Bcc: x@example.com"),
            ("[urgent] <b>BTC</b> {x}", "urgent b BTC /b x"),
            ("a\x00b\u2028c", "a b c"),
            ("x" * 300, "x" * 149 + "…"),
        ],
    )
    def test_is_one_plain_line(self, text, line):
        assert plain_line(text) == line
