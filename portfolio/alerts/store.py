"""The only writer of alerts, their transitions and mutes."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from operator import attrgetter

from django.db import connection, transaction
from django.db.models import Max

from portfolio.alerts import healing, terms
from portfolio.alerts.conditions import AlertKey, Condition, OpenAlert
from portfolio.alerts.lifecycle import Outcome, Saying
from portfolio.models import (
    OPEN_STATES,
    Alert,
    AlertEvaluation,
    AlertKind,
    AlertState,
    AlertTransition,
    AlertTransitionKind,
    Mute,
)
from portfolio.notify import outbox
from positions.models import Account

EVALUATED_AT_MOST_EVERY = timedelta(seconds=0.4)
"""Several processes evaluate each second, so that one may die: one of them is enough."""
WRITTEN_EVERY = timedelta(seconds=5)
"""Figures that move all the time are written this often; everything that anybody is told, at once."""
_FIELDS = (
    "severity", "title", "measure", "raised_at", "judged_at", "unjudged_since", "unjudged_told_at",
    "recovering_since", "flapping_since", "waits_until", "told_at", "told_measure", "told_severity",
    "urgent_since", "escalation",
)  # fmt: skip
_WRITTEN = [
    *_FIELDS, "summary", "numbers", "usd", "case", "state", "acknowledged_at", "acknowledged_by",
    "inhibited_by", "cleared_at", "certificate", "healed",
]  # fmt: skip
_FIGURES = {"judged_at", "measure", "told_measure", "numbers", "title"}
_without_figures = attrgetter(*(one.name for one in fields(OpenAlert) if one.name not in _FIGURES))


class NotOpen(ValueError):
    """The alert is over, so that nothing can be done about it."""


def apply(outcomes: Sequence[Outcome], *, now: datetime) -> list[Alert]:
    """Write what became of alerts and what people are told, in the caller's transaction, in which they were
    read and locked. Returns those that changed in more than their figures. Raises DatabaseError.
    """
    changed = [one for one in outcomes if _is_worth_writing(one, now)]
    if not changed:
        return []
    rows = _rows(outcomes, changed)
    fresh = {one.after.key: _new(one) for one in changed if one.before is None}
    for one in changed:
        _fill(fresh.get(one.after.key) or rows[one.after.key], one, now)
    for row in Alert.objects.bulk_create(fresh.values()):
        rows[AlertKey(row.kind, row.subject)] = row
    again = [one for one in changed if _explain(rows[one.after.key], one, rows) or one.before is not None]
    # Rows that are there: each conflicts with itself, so that one statement rewrites all of them.
    Alert.objects.bulk_create(
        [rows[one.after.key] for one in again],
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=_WRITTEN,
    )
    _tell([(rows[one.after.key], saying) for one in changed for saying in one.sayings], who="", now=now)
    return [rows[one.after.key] for one in changed if _is_news(one)]


def _rows(outcomes: Sequence[Outcome], changed: Sequence[Outcome]) -> dict[AlertKey, Alert]:
    """Return the rows that are rewritten, and those of the causes that explain them."""
    ids = {one.after.key: one.after.id for one in outcomes if one.after.id is not None}
    keys = {key for one in changed for key in (one.after.key, one.after.inhibited_by) if key in ids}
    wanted = Alert.objects.filter(pk__in=[ids[key] for key in keys]) if keys else ()
    return {AlertKey(row.kind, row.subject): row for row in wanted}


def _is_worth_writing(outcome: Outcome, now: datetime) -> bool:
    before = outcome.before
    if before is not None and now - before.judged_at >= WRITTEN_EVERY and before != outcome.after:
        return True
    return _is_news(outcome)


def _is_news(outcome: Outcome) -> bool:
    before = outcome.before
    if before is None or outcome.cleared or outcome.sayings:
        return True
    return _without_figures(before) != _without_figures(outcome.after)


def _explain(row: Alert, outcome: Outcome, rows: Mapping[AlertKey, Alert]) -> bool:
    """Set the alert that explains this one; return whether one does."""
    cause = None if outcome.cleared else outcome.after.inhibited_by
    row.inhibited_by = None if cause is None else rows[cause]
    return cause is not None


def _new(outcome: Outcome) -> Alert:
    condition, after = outcome.condition, outcome.after
    if condition is None:
        raise ValueError("an alert opens by a condition")
    return Alert(
        kind=after.kind,
        subject=after.subject,
        account_id=condition.account,
        instrument_id=condition.instrument,
        position_id=condition.position,
        severity=after.severity,
        title=after.title,
        raised_at=after.raised_at,
        judged_at=after.judged_at,
    )


def _fill(row: Alert, outcome: Outcome, now: datetime) -> None:
    after, condition = outcome.after, outcome.condition
    for name in _FIELDS:
        setattr(row, name, getattr(after, name))
    if condition is not None and condition.holds:
        row.summary, row.numbers, row.usd = condition.summary, dict(condition.numbers), condition.usd
        row.case_id = condition.case or row.case_id
    if row.state == AlertState.ACKNOWLEDGED and not after.acknowledged:
        row.state, row.acknowledged_at, row.acknowledged_by = AlertState.RAISED, None, ""
    if outcome.cleared:
        row.state, row.cleared_at = AlertState.CLEARED, now
        _prove(row, condition, now)


def _prove(row: Alert, condition: Condition | None, now: datetime) -> None:
    """Keep how it healed, and the report that proves it."""
    if condition is None:
        return
    row.certificate_id, row.healed = condition.certificate, condition.healed
    if row.kind in (AlertKind.DRIFT, AlertKind.UNRESOLVED) and condition.certificate is not None:
        row.healed = f"{healing.explain(row, now=now)} {condition.healed}"
        row.numbers = {**row.numbers, "healed": row.healed}


def _tell(told: Sequence[tuple[Alert, Saying]], *, who: str, now: datetime) -> list[AlertTransition]:
    """Write transitions and queue them to whoever is to hear of them, in the caller's transaction."""
    if not told:
        return []
    counted = AlertTransition.objects.filter(alert__in=[alert for alert, _ in told]).order_by()
    last = dict(counted.values_list("alert").annotate(Max("sequence")))
    batch, rows = uuid.uuid4(), []
    for alert, saying in told:
        last[alert.pk] = last.get(alert.pk, 0) + 1
        rows.append(
            AlertTransition(
                alert=alert,
                sequence=last[alert.pk],
                kind=saying.kind,
                at=now,
                who=who,
                severity=alert.severity,
                numbers={**alert.numbers, "step": saying.step} if saying.step else alert.numbers,
                usd=alert.usd,
                text=alert.healed if saying.kind == AlertTransitionKind.CLEARED else saying.text,
                batch=batch,
                batch_size=len(told),
            )
        )
    written = AlertTransition.objects.bulk_create(rows)
    for row in written:
        outbox.queue(transition=row, now=now)
    return written


# What people do ---------------------------------------------------------------------------------------------


def acknowledge(*, alert: int, who: str, now: datetime, text: str = "") -> Alert:
    """Note that somebody has seen an open alert; a second time changes nothing. Raises NotOpen.

    Alert.DoesNotExist where there is none.
    """
    # One transaction: no acknowledgement without its transition, and none of an alert that was just cleared.
    with transaction.atomic():
        row = Alert.objects.select_for_update().get(pk=alert)
        if not row.is_open:
            raise NotOpen("this alert is over already")
        if row.state == AlertState.ACKNOWLEDGED:
            return row
        row.state, row.acknowledged_at, row.acknowledged_by = AlertState.ACKNOWLEDGED, now, who
        # Whoever acknowledges knows it: from here on only what is worse is said.
        row.told_at, row.told_measure, row.told_severity = now, row.measure, row.severity
        row.urgent_since, row.escalation = None, 0
        row.save(update_fields=[
            "state", "acknowledged_at", "acknowledged_by", "told_at", "told_measure", "told_severity",
            "urgent_since", "escalation",
        ])  # fmt: skip
        _tell([(row, Saying("acknowledged", text or f"{who} has seen it."))], who=who, now=now)
    return row


def mute(
    *,
    kind: str,
    reason: str,
    until: datetime,
    who: str,
    now: datetime,
    subject: str = "",
    account: Account | None = None,
) -> Mute:
    """Tell nobody of some alerts until a time."""
    return Mute.objects.create(
        kind=kind, subject=subject, account=account, reason=reason, who=who, created_at=now, until=until
    )


def unmute(*, mute: Mute, who: str, now: datetime) -> None:
    """End a mute early; one that is over stays as it was."""
    Mute.objects.filter(pk=mute.pk, ended_at__isnull=True, until__gt=now).update(ended_at=now, ended_by=who)


def turn_test(*, who: str, now: datetime, severity: str = terms.WARNING) -> tuple[Alert, bool]:
    """Raise the test alert, or clear it if it is open; return it, and whether it is open now.

    It goes all the way that every alert goes. Evaluations leave it alone.
    """
    # One transaction: as for every alert, nothing is told of what was not kept.
    with transaction.atomic():
        row = (
            Alert.objects.select_for_update()
            .filter(kind=AlertKind.TEST, subject="test", state__in=OPEN_STATES)
            .first()
        )
        if row is None:
            row = Alert.objects.create(
                kind=AlertKind.TEST,
                subject="test",
                severity=severity,
                title=f"TEST by {who}: this is how an alert reaches you",
                summary="Nothing is wrong: somebody tests how alerts arrive.",
                raised_at=now,
                judged_at=now,
                told_at=now,
                told_severity=severity,
            )
            _tell([(row, Saying("raised", row.summary))], who=who, now=now)
            return row, True
        row.state, row.cleared_at, row.healed = AlertState.CLEARED, now, "The test is over."
        row.save(update_fields=["state", "cleared_at", "healed"])
        _tell([(row, Saying("cleared", row.healed))], who=who, now=now)
    return row, False


# Evaluations ------------------------------------------------------------------------------------------------


_LAST = "SELECT at FROM portfolio_alertevaluation WHERE id = 1"
_LOCK = f"{_LAST} FOR UPDATE SKIP LOCKED"


def last_evaluation() -> datetime | None:
    """Return when alerts were evaluated last; None: never."""
    return _time(_LAST)


def lock_evaluation(*, now: datetime) -> datetime | None:
    """Lock the row of evaluations until the transaction ends; return when the last one was.

    None: somebody evaluates now, or just did. So an older reading never overwrites what a newer one found.
    """
    last = _time(_LOCK)
    if last is None:
        first = AlertEvaluation(pk=1, at=now - timedelta(days=1))
        AlertEvaluation.objects.bulk_create([first], ignore_conflicts=True)
        last = _time(_LOCK)
    return last if last is not None and last + EVALUATED_AT_MOST_EVERY <= now else None


def _time(sql: str) -> datetime | None:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        found = cursor.fetchone()
    return None if found is None else found[0]


def note_evaluation(*, now: datetime, took_ms: float, unread: Iterable[str]) -> None:
    """Keep when alerts were evaluated last."""
    AlertEvaluation.objects.filter(pk=1).update(at=now, took_ms=took_ms, unread=sorted(unread))
