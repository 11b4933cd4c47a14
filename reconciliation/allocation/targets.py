"""Allocation of what is really held: equities read from the book, targets and breaches kept.

The only writer of allocation targets and breaches.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal

from django.conf import settings
from django.db import transaction

from core.security.security_events import Act, record
from positions.models import Account, Environment
from positions.queries import accounts_in_use
from reconciliation.allocation import equity
from reconciliation.models import AllocationBreach, AllocationTarget
from reconciliation.models.allocation import TOLERANCE
from reconciliation.rules.allocation import Allocation, BadTarget, Target, allocate, check


def of(*, environment: str) -> list[Target]:
    """Return an environment's targets; without any, the defaults of the settings for venues in use there."""
    rows = AllocationTarget.objects.filter(environment=environment).select_related("account")
    found = [
        Target(row.account.venue if row.account else row.venue, row.account_id, row.share, row.tolerance)
        for row in rows
    ]
    return found or _defaults(environment)


def _defaults(environment: str) -> list[Target]:
    used = set(accounts_in_use().filter(environment=environment).order_by().values_list("venue", flat=True))
    return [
        Target(venue, None, share, TOLERANCE)
        for venue, share in settings.ALLOCATION_DEFAULTS.items()
        if venue in used
    ]


def environments(*, accounts: Iterable[Account]) -> list[str]:
    """Return the worlds that accounts live in, live money first."""
    held = {one.environment for one in accounts}
    return [name for name in Environment.values if name in held]


def allocation(
    *,
    environment: str,
    accounts: Sequence[Account],
    now: datetime,
    portfolio_value: Decimal | None = None,
) -> Allocation:
    """Return how these accounts' equity is spread in one environment. Raises BadTarget."""
    held = [one for one in accounts if one.environment == environment]
    seen = {one.pk for one in held}
    venues = {one.venue for one in held}
    targets = [
        one
        for one in of(environment=environment)
        if (one.account in seen if one.account is not None else one.venue in venues)
    ]
    return allocate(
        holdings=equity.equities(accounts=held, now=now), targets=targets, portfolio_value=portfolio_value
    )


def set_target(
    *,
    environment: str,
    share: Decimal,
    who: str,
    now: datetime,
    venue: str = "",
    account: Account | None = None,
    tolerance: Decimal = TOLERANCE,
) -> AllocationTarget:
    """Set what a venue, or an account of that environment, is meant to hold. Raises BadTarget."""
    # One transaction: the targets stay locked from the check to the write, so that two people at once cannot
    # give away more than everything.
    with transaction.atomic():
        list(AllocationTarget.objects.select_for_update().filter(environment=environment).order_by("pk"))
        check_target(environment=environment, venue=venue, account=account, share=share, tolerance=tolerance)
        known = AllocationTarget.objects.filter(environment=environment, venue=venue, account=account).first()
        row, _ = AllocationTarget.objects.update_or_create(
            environment=environment,
            venue=venue,
            account=account,
            defaults={"share": share, "tolerance": tolerance, "changed_at": now, "changed_by": who},
        )
        before = None if known is None else _facts(known)
        record(Act.TARGET_CHANGED, who=who, subject=_subject(row), before=before, after=_facts(row))
    return row


def check_target(
    *, environment: str, venue: str, account: Account | None, share: Decimal, tolerance: Decimal
) -> None:
    """Raise BadTarget where a target cannot be meant beside the others of its environment."""
    if (account is None) == (not venue):
        raise BadTarget("a target is of a venue or of an account")
    if account is not None and account.environment != environment:
        raise BadTarget(f"{account.label} is not in that environment")
    meant = {
        (row.venue, row.account_id): Target(row.venue, row.account_id, row.share, row.tolerance)
        for row in AllocationTarget.objects.filter(environment=environment)
    }
    pk = account.pk if account else None
    meant[venue, pk] = Target(venue, pk, share, tolerance)
    check(list(meant.values()))


def drop_target(*, target: AllocationTarget, who: str) -> None:
    """Delete a target; its open breach ends when breaches are recorded next."""
    # One transaction: no target goes without its security event.
    with transaction.atomic():
        AllocationTarget.objects.filter(pk=target.pk).delete()
        record(Act.TARGET_DROPPED, who=who, subject=_subject(target), before=_facts(target))


def _subject(target: AllocationTarget) -> str:
    return f"{target.venue or target.account} in {target.environment}"


def _facts(target: AllocationTarget) -> dict[str, str]:
    return {"share": f"{target.share:f}", "tolerance": f"{target.tolerance:f}"}


def record_breaches(*, now: datetime) -> list[AllocationBreach]:
    """Keep what is further from its target than its tolerance now; end what is not any more.

    What is not known neither begins nor ends a breach. Returns those that began.
    """
    accounts = list(accounts_in_use())
    began = []
    for environment in Environment.values:
        spread = allocation(environment=environment, accounts=accounts, now=now)
        still = {
            (row.venue, row.account_id): row
            for row in AllocationBreach.objects.filter(environment=environment, ended_at__isnull=True)
        }
        for one in spread.slices:
            row = still.pop((one.venue, one.account), None)
            if one.breached and one.drift is not None and row is not None:
                _go_on(row, one.drift, now)
            elif one.breached and one.drift is not None and one.target is not None:
                began.append(
                    AllocationBreach(
                        environment=environment,
                        venue=one.venue,
                        account_id=one.account,
                        target=one.target,
                        tolerance=one.tolerance or TOLERANCE,
                        drift=one.drift,
                        worst_drift=one.drift,
                        started_at=now,
                        seen_at=now,
                    )
                )
            elif row is not None and (one.breached is False or one.target is None):
                _end([row.pk], now)
        _end([row.pk for row in still.values()], now)
    AllocationBreach.objects.bulk_create(began, ignore_conflicts=True)
    return began


def _go_on(row: AllocationBreach, drift: Decimal, now: datetime) -> None:
    worst = max(row.worst_drift, drift, key=abs)
    AllocationBreach.objects.filter(pk=row.pk).update(drift=drift, worst_drift=worst, seen_at=now)


def _end(rows: list[int], now: datetime) -> None:
    AllocationBreach.objects.filter(pk__in=rows).update(ended_at=now)
