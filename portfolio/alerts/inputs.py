"""Reads the snapshot that rules judge, in a constant number of queries, inside one transaction."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection
from django.db.models import Count, F, Min, Q

from portfolio.alerts import account_inputs, position_inputs, proof_inputs
from portfolio.alerts.conditions import AlertKey, OpenAlert
from portfolio.alerts.marks import PriceAt
from portfolio.alerts.parts import Surroundings
from portfolio.alerts.rules.risk import share_measure
from portfolio.alerts.snapshot import (
    Breach,
    Halted,
    LadderKey,
    Quarantined,
    Snapshot,
)
from portfolio.alerts.words import percent
from portfolio.models import LadderSetting
from positions.labels import ENVIRONMENTS, venue_name
from positions.models import OPEN_STATUSES, Position, QuarantinedEntry
from positions.risk.bands import RiskLadder
from reconciliation.labels import FAMILIES
from reconciliation.models import PROOF_INTERVALS, AllocationBreach, Policy

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
               OR (v.account_id = ANY(%s) AND v.as_of < %s)),
       EXISTS (SELECT FROM reconciliation_case WHERE family = 'value' AND closed_at IS NULL)
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
    accounts = account_inputs.watched(streamed=around.feeds, now=now)
    with connection.cursor() as cursor:
        since, forced = now - position_inputs.WITHIN, list(position_inputs.FORCED)
        proven_since = now - (PROOF_INTERVALS - 1) * interval
        cursor.execute(_ANYTHING, [list(accounts), since, forced, list(accounts), proven_since])
        quarantined, halted, allocations, ladders, liquidations, differing, values = cursor.fetchone()
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
        values=proof_inputs.value_cases(accounts) if values else (),
        quarantined=_quarantined() if quarantined else (),
        halted=_halted() if halted else (),
        parts=around.parts,
        ladders=ladder_of,
        proof_interval=interval,
        proof_intervals=PROOF_INTERVALS,
        price_believed_for=timedelta(seconds=settings.PRICE_STALENESS_THRESHOLD),
        unread=frozenset({"limits"} if limits is None else ()),
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
