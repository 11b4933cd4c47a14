"""Reads the snapshot that rules judge, in a constant number of queries, inside one transaction."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection
from django.db.models import Count, F, Min, OuterRef, Q, Subquery

from portfolio.alerts import position_inputs, proof_inputs
from portfolio.alerts.conditions import AlertKey, OpenAlert
from portfolio.alerts.marks import PriceAt
from portfolio.alerts.parts import Surroundings
from portfolio.alerts.rules.risk import share_measure
from portfolio.alerts.snapshot import (
    Breach,
    Halted,
    LadderKey,
    Quarantined,
    RunOutcome,
    Snapshot,
    WatchedAccount,
)
from portfolio.alerts.terms import FLAP_WINDOW
from portfolio.alerts.words import percent
from portfolio.models import OPEN_STATES, Alert, AlertState, LadderSetting, Mute
from portfolio.totals import account_summaries
from positions.labels import ENVIRONMENTS, venue_name
from positions.models import OPEN_STATUSES, Account, Position, QuarantinedEntry
from positions.queries import accounts_in_use
from positions.risk.bands import RiskLadder
from positions.venues.errors import names_the_key
from reconciliation.labels import FAMILIES
from reconciliation.models import PROOF_INTERVALS, AllocationBreach, Policy, Run

ALLOCATION_LOOKED_AT_WITHIN = timedelta(minutes=5)


# Most of these are empty most of the time: one question to Postgres tells which are worth reading.
_ANYTHING = """
SELECT EXISTS (SELECT FROM positions_quarantinedentry WHERE settled_at IS NULL),
       EXISTS (SELECT FROM reconciliation_policy WHERE halted_at IS NOT NULL),
       EXISTS (SELECT FROM reconciliation_allocationbreach WHERE ended_at IS NULL),
       EXISTS (SELECT FROM portfolio_laddersetting),
       EXISTS (SELECT FROM positions_entry e WHERE e.account_id = ANY(%s) AND e.at > %s
               AND e.kind = 'fill' AND e.cause = ANY(%s)),
       EXISTS (SELECT FROM reconciliation_verdict v WHERE v.status IN ('DRIFT', 'FAILED')
               OR (v.account_id = ANY(%s) AND v.as_of < %s))
"""


def read(
    *,
    now: datetime,
    around: Surroundings,
    marks: Mapping[int, PriceAt],
    open_alerts: Mapping[AlertKey, OpenAlert],
    limits: tuple[Breach, ...] | None,
) -> Snapshot:
    """Return how everything stands. `limits` None: they could not be read. Raises DatabaseError."""
    interval = timedelta(seconds=settings.RECONCILIATION_INTERVAL)
    accounts = _accounts(now=now, around=around)
    with connection.cursor() as cursor:
        since, forced = now - position_inputs.WITHIN, list(position_inputs.FORCED)
        proven_since = now - (PROOF_INTERVALS - 1) * interval
        cursor.execute(_ANYTHING, [list(accounts), since, forced, list(accounts), proven_since])
        quarantined, halted, allocations, ladders, liquidations, differing = cursor.fetchone()
    differing = differing or any(key.kind in ("drift", "unresolved") for key in open_alerts)
    ladder_of = _ladders() if ladders else {}
    positions = position_inputs.near(
        accounts={key: one.label for key, one in accounts.items()},
        marks=marks,
        wanted=_positions_of(open_alerts),
        reach=max((one.watch_pct for one in ladder_of.values()), default=None),
    )
    return Snapshot(
        now=now,
        open_alerts=open_alerts,
        accounts=accounts,
        subjects=proof_inputs.subjects(accounts=accounts, open_alerts=open_alerts, proven_since=proven_since)
        if differing
        else (),
        positions=positions,
        ended=_ended(_positions_of(open_alerts) - {one.id for one in positions}),
        liquidations=position_inputs.liquidations(accounts=accounts, now=now) if liquidations else (),
        allocations=_allocations(now=now) if allocations else (),
        limits=limits or (),
        quarantined=_quarantined() if quarantined else (),
        halted=_halted() if halted else (),
        parts=around.parts,
        ladders=ladder_of,
        proof_interval=interval,
        proof_intervals=PROOF_INTERVALS,
        price_believed_for=timedelta(seconds=settings.PRICE_STALENESS_THRESHOLD),
        unread=frozenset({"limits"} if limits is None else ()),
    )


def open_alerts() -> list[Alert]:
    """Return the alerts that are open, with the causes that explain them; they stay locked until written."""
    rows = Alert.objects.filter(state__in=OPEN_STATES).select_related("inhibited_by")
    return list(rows.select_for_update(of=["self"]).order_by("pk"))


def as_open(alert: Alert) -> OpenAlert:
    """Return a stored alert as the rules see it."""
    cause = alert.inhibited_by
    return OpenAlert(
        kind=alert.kind,
        subject=alert.subject,
        account=alert.account_id,
        severity=alert.severity,
        acknowledged=alert.state == AlertState.ACKNOWLEDGED,
        title=alert.title,
        measure=alert.measure,
        numbers=alert.numbers,
        raised_at=alert.raised_at,
        judged_at=alert.judged_at,
        unjudged_since=alert.unjudged_since,
        unjudged_told_at=alert.unjudged_told_at,
        recovering_since=alert.recovering_since,
        flapping_since=alert.flapping_since,
        waits_until=alert.waits_until,
        told_at=alert.told_at,
        told_measure=alert.told_measure,
        told_severity=alert.told_severity,
        inhibited_by=None if cause is None else AlertKey(cause.kind, cause.subject),
        urgent_since=alert.urgent_since,
        escalation=alert.escalation,
    )


def recently_cleared(*, of: Collection[AlertKey], now: datetime) -> dict[AlertKey, int]:
    """Return how often alerts about these were raised, told and cleared lately."""
    if not of:
        return {}
    rows = Alert.objects.filter(
        raised_at__gt=now - FLAP_WINDOW, state=AlertState.CLEARED, told_at__isnull=False
    ).order_by()
    counted = rows.values_list("kind", "subject").annotate(Count("pk"))
    found = {AlertKey(kind, subject): number for kind, subject, number in counted}
    return {key: found[key] for key in of if key in found}


def mutes(*, now: datetime) -> list[Mute]:
    """Return the mutes that last."""
    return list(Mute.objects.filter(created_at__lte=now, until__gt=now, ended_at__isnull=True).order_by("pk"))


def _accounts(*, now: datetime, around: Surroundings) -> dict[int, WatchedAccount]:
    finished = Run.objects.filter(account=OuterRef("pk"), finished_at__isnull=False)
    newest = finished.order_by("-started_at", "-pk").values("pk")[:1]
    report = finished.filter(as_of__isnull=False).order_by("-started_at", "-pk").values("pk")[:1]
    held = (
        Position.objects.filter(account=OuterRef("pk"), status__in=OPEN_STATUSES)
        .order_by()
        .values("account")
        .annotate(number=Count("pk"))
        .values("number")
    )
    rows = list(
        accounts_in_use()
        .annotate(newest_run=Subquery(newest), newest_report=Subquery(report), held=Subquery(held))
        .order_by("pk")
    )
    ids = {key for row in rows for key in (row.newest_run, row.newest_report) if key is not None}
    runs = {
        pk: RunOutcome(id=pk, as_of=as_of, problem=problem, refused=names_the_key(problem))
        for pk, as_of, problem in Run.objects.filter(pk__in=ids)
        .order_by()
        .values_list("pk", "as_of", "problem")
    }
    feeds = {} if around.feeds is None else account_summaries.feed_words(rows, streamed=around.feeds, now=now)
    return {row.pk: _account(row, runs, row.held or 0, feeds.get(row.pk), now) for row in rows}


def _account(
    row: Account,
    runs: Mapping[int, RunOutcome],
    held: int,
    feed: account_summaries.FeedWord | None,
    now: datetime,
) -> WatchedAccount:
    return WatchedAccount(
        id=row.pk,
        label=row.label,
        created_at=row.created_at,
        paused=row.paused_until is not None and row.paused_until > now,
        open_positions=held,
        feed=None if feed is None else feed.word,
        feed_since=row.created_at if feed is None or feed.since is None else feed.since,
        feed_reason="" if feed is None else feed.reason,
        run=runs.get(getattr(row, "newest_run", None) or 0),
        report=runs.get(getattr(row, "newest_report", None) or 0),
    )


def _ladders() -> dict[LadderKey, RiskLadder]:
    return {
        (row.account_id, row.instrument_id, row.position_id): RiskLadder(
            watch_pct=row.watch_pct, danger_pct=row.danger_pct, critical_pct=row.critical_pct
        )
        for row in LadderSetting.objects.all()
    }


def _positions_of(alerts: Mapping[AlertKey, OpenAlert]) -> set[int]:
    return {
        int(key.subject.removeprefix("position:")) for key in alerts if key.subject.startswith("position:")
    }


def _ended(wanted: Collection[int]) -> dict[int, str]:
    if not wanted:
        return {}
    rows = Position.objects.filter(pk__in=wanted).exclude(status__in=OPEN_STATUSES).order_by()
    return dict(rows.values_list("pk", "status"))


def _allocations(*, now: datetime) -> tuple[Breach, ...]:
    rows = AllocationBreach.objects.filter(ended_at__isnull=True).select_related("account").order_by("pk")
    return tuple(_allocation(row, now) for row in rows)


def _allocation(row: AllocationBreach, now: datetime) -> Breach:
    what = row.account.label if row.account else venue_name(row.venue)
    place = f"account:{row.account_id}" if row.account_id else f"venue:{row.venue}"
    actual = percent(100 * (row.target + row.drift))
    world = ENVIRONMENTS.get(row.environment, row.environment)
    target, tolerance = percent(100 * row.target), percent(100 * row.tolerance)
    return Breach(
        subject=f"{row.environment}/{place}",
        title=f"ALLOCATION {what}, {world}: {actual}, meant {target}",
        summary=f"{what} holds {actual} of the {world} equity; meant are {target}, {tolerance} more or less.",
        holds=None if now - row.seen_at > ALLOCATION_LOOKED_AT_WITHIN else True,
        account=row.account_id,
        measure=share_measure(row.drift),
        numbers={"actual": str(row.target + row.drift), "target": str(row.target),
                 "tolerance": str(row.tolerance)},
        judged_at=row.seen_at,
    )  # fmt: skip


def _quarantined() -> tuple[Quarantined, ...]:
    waiting = QuarantinedEntry.objects.filter(settled_at__isnull=True).order_by()
    rows = waiting.values("account", label=F("account__label")).annotate(
        number=Count("pk"), since=Min("received_at"), reason=Min("reason")
    )
    return tuple(
        Quarantined(
            account=row["account"],
            label=row["label"],
            count=row["number"],
            since=row["since"],
            reason=row["reason"].replace("_", " "),
        )
        for row in rows
    )


def _halted() -> tuple[Halted, ...]:
    rows = Policy.objects.filter(Q(halted_at__isnull=False)).select_related("account").order_by("pk")
    found: dict[tuple[int | None, str], Halted] = {}
    for row in rows:
        if row.halted_at is not None:
            label = row.account.label if row.account else "all other accounts"
            family = FAMILIES.get(row.family, row.family)
            found[row.account_id, row.family] = Halted(
                account=row.account_id, label=label, family=family, since=row.halted_at
            )
    return tuple(found.values())
