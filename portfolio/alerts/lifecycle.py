"""From conditions to what becomes of each alert, and what people are told. Pure: time is an argument.

Note [Unknown]: a condition that cannot be judged neither raises nor clears anything. An open alert becomes
"cannot be judged since …", which is said once.
Note [Told]: an alert opens at once and is told when its wait is over; what is over within its wait was never
told, so neither is its end. What is muted or explained by its cause waits on.
Note [Flapping]: what was raised and cleared several times within an hour is told as coming and going, once,
and stays open until it has been quiet for a while.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from portfolio.alerts import terms
from portfolio.alerts.causes import cause_of
from portfolio.alerts.conditions import AlertKey, Condition, OpenAlert
from portfolio.alerts.terms import TERMS, more_severe

CLOCK = "%-d %b %H:%M:%S UTC"


class Saying(NamedTuple):
    """What people are told of an alert: the kind of transition, a sentence, the step of an escalation."""

    kind: str
    text: str
    step: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What becomes of one alert: as it was (None: it opens), as it is, and what people are told."""

    before: OpenAlert | None
    after: OpenAlert
    condition: Condition | None
    sayings: tuple[Saying, ...] = ()
    cleared: bool = False

    @property
    def changed(self) -> bool:
        """Return whether anything is to be kept."""
        return self.cleared or bool(self.sayings) or self.before != self.after


def decide(
    *,
    open_alerts: Mapping[AlertKey, OpenAlert],
    conditions: Iterable[Condition],
    recent: Mapping[AlertKey, int],
    muted: Collection[AlertKey],
    now: datetime,
) -> list[Outcome]:
    """Return what becomes of every alert that is open or opens.

    `recent` counts how often alerts were raised, told and cleared within FLAP_WINDOW. An open alert that no
    condition speaks of cannot be judged.
    """
    by_key = {one.key: one for one in conditions}
    stands: dict[AlertKey, Outcome] = {}
    for key in open_alerts.keys() | by_key.keys():
        outcome = _judged(open_alerts.get(key), by_key.get(key), recent.get(key, 0), now)
        if outcome is not None:
            stands[key] = outcome
    still_open = {key for key, outcome in stands.items() if not outcome.cleared}
    return [
        _with_sayings(_with_cause(outcome, still_open, now), muted=key in muted, now=now)
        for key, outcome in sorted(stands.items())
    ]


def _judged(
    alert: OpenAlert | None, condition: Condition | None, recent: int, now: datetime
) -> Outcome | None:
    """Return how an alert stands now, before anything is said; None: there is none, and none opens."""
    if alert is None:
        if condition is None or not condition.holds:
            return None
        return Outcome(before=None, after=_opened(condition, recent, now), condition=condition)
    if condition is None or condition.holds is None:
        return Outcome(before=alert, after=_unjudged(alert, condition), condition=condition)
    if condition.holds:
        return Outcome(before=alert, after=_going_on(alert, condition, now), condition=condition)
    since = alert.recovering_since or now
    after = replace(alert, recovering_since=since, unjudged_since=None, judged_at=now)
    quiet = terms.QUIET_FOR if alert.flapping_since else TERMS[alert.kind].quiet
    return Outcome(before=alert, after=after, condition=condition, cleared=now - since >= quiet)


def _opened(condition: Condition, recent: int, now: datetime) -> OpenAlert:
    return OpenAlert(
        kind=condition.kind,
        subject=condition.subject,
        account=condition.account,
        severity=condition.severity,
        title=condition.title,
        measure=condition.measure,
        numbers=condition.numbers,
        raised_at=now,
        judged_at=now,
        waits_until=now + TERMS[condition.kind].wait,
        flapping_since=now if recent >= terms.FLAPS_AFTER else None,
    )


def _unjudged(alert: OpenAlert, condition: Condition | None) -> OpenAlert:
    since = alert.unjudged_since
    if since is None:
        since = (condition.judged_at if condition else None) or alert.judged_at
    return replace(alert, unjudged_since=since, recovering_since=None)


def _going_on(alert: OpenAlert, condition: Condition, now: datetime) -> OpenAlert:
    after = replace(
        alert,
        severity=condition.severity,
        measure=condition.measure,
        numbers=condition.numbers,
        title=alert.title if alert.told_at else condition.title,  # frozen once people know it
        judged_at=now,
        unjudged_since=None,
        recovering_since=None,
    )
    if alert.acknowledged and more_severe(condition.severity, alert.told_severity):
        after = replace(after, acknowledged=False)  # what was acknowledged was less
    if condition.severity != terms.CRITICAL or after.acknowledged:
        after = replace(after, urgent_since=None, escalation=0)
    return after


def _with_cause(outcome: Outcome, still_open: Collection[AlertKey], now: datetime) -> Outcome:
    alert = outcome.after
    cause = cause_of(
        alert.key, account=alert.account, judged=alert.unjudged_since is None, open_keys=still_open
    )
    if cause == alert.inhibited_by:
        return outcome
    after = replace(alert, inhibited_by=cause)
    if cause is None and alert.told_at is None:
        # What its cause explained is over only after a while: it must not be told in between.
        grace = now + TERMS[alert.kind].grace
        after = replace(after, waits_until=max(grace, alert.waits_until or grace))
    return replace(outcome, after=after)


def _with_sayings(outcome: Outcome, *, muted: bool, now: datetime) -> Outcome:
    alert = outcome.after
    if muted:
        return outcome
    if outcome.cleared:
        healed = outcome.condition.healed if outcome.condition else ""
        said = (Saying("cleared", healed),) if alert.told_at else ()
        return replace(outcome, sayings=said)
    if alert.recovering_since is not None:
        return outcome
    if alert.inhibited_by is None:
        outcome = _say_unjudged(outcome, now) if alert.unjudged_since else _say_standing(outcome, now)
    # Also where nobody can judge it any more: somebody must still look.
    return outcome if outcome.sayings else _escalated(outcome, now)


def _say_unjudged(outcome: Outcome, now: datetime) -> Outcome:
    alert, since = outcome.after, outcome.after.unjudged_since
    if alert.told_at is None or since is None or now - since < terms.UNJUDGED_WAIT:
        return outcome
    last = alert.unjudged_told_at
    if last is not None and (since <= last or now - last < terms.UNJUDGED_AT_MOST_EVERY):
        return outcome
    why = outcome.condition.summary if outcome.condition else ""
    text = f"Cannot be judged since {since.strftime(CLOCK)}" + (f": {why}" if why else ".")
    return replace(outcome, after=replace(alert, unjudged_told_at=now), sayings=(Saying("unjudged", text),))


def _say_standing(outcome: Outcome, now: datetime) -> Outcome:
    alert = outcome.after
    text = outcome.condition.summary if outcome.condition else ""
    kind = _what_to_say(alert, now)
    if kind is not None:
        if kind == "flapping":
            text = f"It comes and goes, and stays open until it has been quiet for 30 minutes. {text}"
        alert = replace(alert, told_at=now, told_measure=alert.measure, told_severity=alert.severity)
        if alert.severity == terms.CRITICAL and not alert.acknowledged:
            alert = replace(alert, urgent_since=alert.urgent_since or now)
        return replace(outcome, after=alert, sayings=(Saying(kind, text),))
    if alert.told_at is not None and alert.told_measure is None and alert.measure is not None:
        alert = replace(alert, told_measure=alert.measure)  # learnt since: what follows is compared with it
    return replace(outcome, after=alert)


def _escalated(outcome: Outcome, now: datetime) -> Outcome:
    step = _step_due(outcome.after, now)
    if step is None:
        return outcome
    summary = outcome.condition.summary if outcome.condition else ""
    text = f"Nobody acknowledged it for {_minutes(step)} minutes. {summary}".strip()
    after = replace(outcome.after, escalation=step)
    return replace(outcome, after=after, sayings=(Saying("escalated", text, step),))


def _what_to_say(alert: OpenAlert, now: datetime) -> str | None:
    if alert.told_at is None:
        if alert.waits_until is not None and now < alert.waits_until:
            return None
        return "flapping" if alert.flapping_since else "raised"
    if more_severe(alert.severity, alert.told_severity):
        return "worsened"
    if alert.flapping_since:
        return None
    ago = now - alert.told_at
    if is_worse(alert.measure, told=alert.told_measure) and ago >= terms.WORSE_AT_MOST_EVERY:
        return "worsened"
    every = (TERMS[alert.kind].repeat or {}).get(alert.severity)
    return "repeated" if every is not None and ago >= every and not alert.acknowledged else None


def is_worse(measure: Decimal | None, *, told: Decimal | None) -> bool:
    """Return whether a measure is worse than what people were told by so much that it is said again."""
    if measure is None or told is None or measure <= told:
        return False
    return measure >= told + abs(told) * terms.WORSE_BY


def _step_due(alert: OpenAlert, now: datetime) -> int | None:
    """Return the next step of escalation, if it is due."""
    if alert.urgent_since is None or alert.escalation >= len(terms.ESCALATES_AFTER):
        return None
    if now - alert.urgent_since < terms.ESCALATES_AFTER[alert.escalation]:
        return None
    return alert.escalation + 1


def _minutes(step: int) -> int:
    return int(terms.ESCALATES_AFTER[step - 1].total_seconds() // 60)
