"""Writes verdicts, their transitions and the history of differences, in a constant number of queries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import redis
import structlog
from django.db import transaction

from positions import live
from positions.models import Account
from reconciliation.models import (
    Case,
    DifferenceEnd,
    DifferenceRow,
    Run,
    Transition,
    Verdict,
    VerdictStatus,
    oldest_proof,
)
from reconciliation.rules import verdicts as judgement
from reconciliation.rules.compare import Difference, DifferenceKind
from reconciliation.rules.verdicts import Observation, VerdictState

log = structlog.get_logger("reconciliation")

Key = tuple[int | None, str, str, str]
"""Instrument id, leg, wallet, asset: a subject within its account."""


@dataclass(frozen=True, slots=True)
class SubjectObservation:
    """One subject in one report; a coin's position is `derived` from its balances, which are the subjects."""

    key: Key
    observation: Observation
    derived: bool = False


def key_of(row: Verdict | DifferenceRow | Case) -> Key:
    return row.instrument_id, row.leg, row.wallet, row.asset


def judge(*, account: Account, seen: Sequence[SubjectObservation], run: Run, now: datetime) -> list[Verdict]:
    """Update the verdicts of an account by one report; return those that it concerns.

    Changes are published to the live log after the commit.
    """
    # One transaction: a verdict, its transition and the difference behind it must never disagree.
    with transaction.atomic():
        rows = _rows(account, seen, now)
        before = {key: standing_of(rows[key]) for key in (one.key for one in seen)}
        after = {one.key: judgement.judged(before[one.key], one.observation) for one in seen}
        changed, again = _store(rows, before, after, run, now)
        _remember(account, seen, after, run, now)
    _tell(account, changed, again)
    return [rows[one.key] for one in seen]


def repaired(*, verdicts: Sequence[Verdict], as_of: datetime, run: Run, now: datetime) -> None:
    """Note on drifts that all facts were requested and the report still shows them."""
    for row in verdicts:
        row.repaired_as_of = judgement.repaired(standing_of(row), as_of=as_of).repaired_as_of
    Verdict.objects.bulk_update(verdicts, ["repaired_as_of"])


def age(*, account: Account, now: datetime) -> None:
    """Set verdicts whose proof is too old to pending."""
    # One transaction: the rows stay locked until written, so that no run's newer proof is overwritten.
    with transaction.atomic():
        stale = list(
            Verdict.objects.select_for_update()
            .filter(account=account, status=VerdictStatus.SYNCED, as_of__lt=oldest_proof(now=now))
            .order_by("pk")
        )
        before = {key_of(row): standing_of(row) for row in stale}
        after = {key: judgement.aged(one, oldest=oldest_proof(now=now)) for key, one in before.items()}
        changed, _ = _store({key_of(row): row for row in stale}, before, after, None, now)
    _tell(account, changed, [])


def _rows(account: Account, seen: Sequence[SubjectObservation], now: datetime) -> dict[Key, Verdict]:
    known = {
        key_of(row): row for row in Verdict.objects.select_for_update().filter(account=account).order_by("pk")
    }
    wanted = {one.key for one in seen} - known.keys()
    fresh = [
        Verdict(account=account, instrument_id=i, leg=leg, wallet=wallet, asset=asset, changed_at=now)
        for i, leg, wallet, asset in sorted(wanted, key=str)
    ]
    return known | {key_of(row): row for row in Verdict.objects.bulk_create(fresh)}


def standing_of(row: Verdict) -> VerdictState:
    """Return a stored verdict as the rules see it."""
    return VerdictState(
        status=row.status,
        as_of=row.as_of,
        seen_as_of=row.seen_as_of,
        suspected=tuple(Difference.from_plain(one) for one in row.suspected),
        suspected_as_of=row.suspected_as_of,
        suspected_at=row.suspected_at,
        repaired_as_of=row.repaired_as_of,
    )


_FIELDS = ["status", "as_of", "seen_as_of", "suspected_as_of", "suspected_at", "repaired_as_of"]


def _store(
    rows: dict[Key, Verdict],
    before: dict[Key, VerdictState],
    after: dict[Key, VerdictState],
    run: Run | None,
    now: datetime,
) -> tuple[list[Verdict], list[Verdict]]:
    """Write what reports concluded; returns the rows whose status changed, and those proven again."""
    touched, changed, transitions = [], [], []
    proven: dict[tuple[datetime | None, datetime | None], list[Verdict]] = defaultdict(list)
    for key, standing in after.items():
        if standing == before[key]:
            continue
        row = rows[key]
        for name in _FIELDS:
            setattr(row, name, getattr(standing, name))
        row.suspected = [one.to_plain() for one in standing.suspected]
        row.run = run or row.run
        if standing == _synced(standing) and before[key] == _synced(before[key]):
            # As most are, after most reports: one statement for all of them.
            proven[standing.as_of, standing.seen_as_of].append(row)
            continue
        touched.append(row)
        if standing.status != before[key].status:
            row.revision += 1
            row.changed_at = now
            changed.append(row)
            transitions.append(
                Transition(
                    verdict=row,
                    old=before[key].status,
                    new=standing.status,
                    at=now,
                    as_of=standing.seen_as_of,
                    run=run,
                    differences=row.suspected,
                )
            )
    for (as_of, seen_as_of), again in proven.items():
        ids = [row.pk for row in again]
        Verdict.objects.filter(pk__in=ids).update(as_of=as_of, seen_as_of=seen_as_of, run=run)
    Verdict.objects.bulk_update(touched, [*_FIELDS, "suspected", "run", "revision", "changed_at"])
    Transition.objects.bulk_create(transitions)
    return changed, [row for rows_of in proven.values() for row in rows_of]


def _synced(standing: VerdictState) -> VerdictState:
    """Return a proven verdict with nothing but its times."""
    return VerdictState(status=VerdictStatus.SYNCED, as_of=standing.as_of, seen_as_of=standing.seen_as_of)


def _remember(
    account: Account,
    seen: Sequence[SubjectObservation],
    after: dict[Key, VerdictState],
    run: Run,
    now: datetime,
) -> None:
    """Keep each difference from its first report to its end."""
    open_rows = {
        (*key_of(row), row.family): row
        for row in DifferenceRow.objects.filter(account=account, ended_at__isnull=True).order_by("pk")
    }
    ended, moved, fresh = [], [], []
    for one in seen:
        standing = after[one.key]
        if one.derived or standing.seen_as_of != one.observation.as_of or not one.observation.observed:
            continue
        sure = judgement.confirmed(standing, one.observation)
        shown = {found.family.value: found for found in one.observation.drifts}
        for family in ("size", "entry_price", "cash"):
            row, found = open_rows.get((*one.key, family)), shown.get(family)
            if found is None:
                if row is not None and one.observation.proves:
                    ended.append(_end(row, run, now))
            elif row is not None and (row.confirmed_at is not None or _found(row).same_as(found)):
                moved.append(_move(row, found, run, now, sure=sure))
            else:
                if row is not None:
                    ended.append(_end(row, run, now))
                fresh.append(_begin(account, one, found, run, now))
    DifferenceRow.objects.bulk_update(ended, ["ended_at", "ended", "last_run"])
    DifferenceRow.objects.bulk_update(
        moved, ["kind", "book", "venue", "amount", "last_run", "reports", "confirmed_at"]
    )
    DifferenceRow.objects.bulk_create(fresh)


def _end(row: DifferenceRow, run: Run, now: datetime) -> DifferenceRow:
    row.ended_at, row.last_run = now, run
    row.ended = DifferenceEnd.PASSED if row.confirmed_at is None else DifferenceEnd.SETTLED
    return row


def _move(row: DifferenceRow, found: Difference, run: Run, now: datetime, *, sure: bool) -> DifferenceRow:
    row.kind, row.book, row.venue, row.amount = found.kind.value, found.book, found.venue, found.amount
    row.last_run, row.reports = run, row.reports + 1
    if sure and row.confirmed_at is None:
        row.confirmed_at = now
    return row


def _begin(
    account: Account, one: SubjectObservation, found: Difference, run: Run, now: datetime
) -> DifferenceRow:
    instrument, leg, wallet, asset = one.key
    return DifferenceRow(
        account=account,
        instrument_id=instrument,
        leg=leg,
        wallet=wallet,
        asset=asset,
        family=found.family.value,
        kind=found.kind.value,
        book=found.book,
        venue=found.venue,
        amount=found.amount,
        first_run=run,
        last_run=run,
        first_as_of=one.observation.as_of,
        first_at=now,
    )


def _found(row: DifferenceRow) -> Difference:
    return Difference(DifferenceKind(row.kind), row.book, row.venue)


def _tell(account: Account, changed: Iterable[Verdict], again: Iterable[Verdict]) -> None:
    """Publish changed verdicts, and when legs were proven again, which shows while no feed is live.

    A frame that Redis did not take is no loss: pages read the rows.
    """
    rows = [
        {
            "instrument_id": row.instrument_id,
            "leg": row.leg,
            "wallet": row.wallet,
            "asset": row.asset,
            "status": row.status,
            "as_of": row.as_of and row.as_of.isoformat(),
            "revision": row.revision,
        }
        for row in changed
    ]
    proven: dict[str, list[tuple[int, str, int]]] = defaultdict(list)
    for row in again:
        if row.instrument_id is not None and row.as_of is not None:
            proven[row.as_of.isoformat()].append((row.instrument_id, row.leg, row.revision))
    if not rows and not proven:
        return
    frame = {
        "account": account.pk,
        "verdicts": rows,
        "proven": [{"as_of": as_of, "legs": legs} for as_of, legs in proven.items()],
    }
    try:
        live.append(kind="verdict", account=account.pk, frame=frame)
    except redis.RedisError as error:
        log.warning("live log did not take a frame", account=account.label, error=str(error))
