"""The second witness: what venues say that accounts were worth, beside our own history. The only writer.

Note [Tolerance]: a venue values at its own mark of the very moment, we at the last minute's snapshot. More
than TOLERANCE_SHARE of the value, and than TOLERANCE, is a difference that somebody must look at: it is
marked `beyond`, told by the API, and on the newest day that both know it opens a case, and so an alert. The
case is resolved when a later day agrees. No entry can be named: where one is wrong, the comparison of
balances finds it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import structlog

from portfolio.models import AccountDay, AccountSnapshot, VenueDay
from portfolio.totals import desk
from positions.models import Account
from positions.queries import accounts_in_use
from positions.sync.connections import connect, run
from positions.venues.base import AccountValue, ValueHistory, VenueError
from reconciliation.cases import cases
from reconciliation.models import Run
from reconciliation.rules.compare import Difference, DifferenceKind

TOLERANCE = Decimal(1)
TOLERANCE_SHARE = Decimal("0.0025")
NEAR = timedelta(minutes=2.5)
DAYS_BACK = 7
"""Days that are compared again: the finest series of a venue reaches back a day, the next one a week."""

log = structlog.get_logger("witness")


def compare_all(*, now: datetime) -> int:
    """Compare every account whose venue tells its past; return how many days were written.

    A venue that does not answer is logged, and asked again the next time.
    """
    written = 0
    for account in accounts_in_use():
        try:
            written += compare(account, now=now)
        except VenueError as error:
            log.warning(
                "a venue did not tell what an account was worth", account=account.pk, error=str(error)
            )
    return written


def compare(account: Account, *, now: datetime) -> int:
    """Compare the last closed days of an account; return how many were written. Raises VenueError."""
    venue = connect(account=account)
    if not isinstance(venue, ValueHistory):
        return 0
    values = run(venue.account_values())
    rows = list(_rows(account, values, now=now))
    VenueDay.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["account", "day", "covers"],
        update_fields=["at", "venue_value", "ours", "difference", "tolerance", "beyond", "read_at"],
    )
    for row in rows:
        if row.beyond:
            log.warning(
                "the venue's history differs from ours", account=account.pk, day=str(row.day),
                difference=str(row.difference),
            )  # fmt: skip
    _follow(account, rows, now=now)
    return len(rows)


def _follow(account: Account, rows: Sequence[VenueDay], *, now: datetime) -> None:
    """Open, update or resolve the account's case by the newest day that both know."""
    known = [row for row in rows if row.difference is not None]
    run = Run.objects.filter(account=account).order_by("-pk").first()
    if not known or run is None:  # an account that was never compared has no book to doubt yet
        return
    newest = max(known, key=lambda row: row.day)
    cases.follow_value(
        account=account,
        difference=Difference(DifferenceKind.VALUE, newest.ours, newest.venue_value),
        day=newest.day,
        tolerance=newest.tolerance,
        run=run,
        now=now,
    )


def _rows(account: Account, values: Sequence[AccountValue], *, now: datetime) -> Iterable[VenueDay]:
    today = desk.day_of(now)
    known = AccountDay.objects.filter(account=account).order_by("day").values_list("day", flat=True).first()
    for day in desk.days(max(today - DAYS_BACK * desk.DAY, known or today), today - desk.DAY):
        inside = [one for one in values if desk.day_start(day) <= one.time < desk.day_end(day)]
        found = max(inside, key=lambda one: one.time, default=None)
        if found is None:
            continue
        ours = _ours(account, found.time)
        difference = None if ours is None else found.value - ours
        tolerance = max(TOLERANCE, TOLERANCE_SHARE * abs(found.value))
        yield VenueDay(
            account=account, day=day, at=found.time, covers=found.covers, venue_value=found.value, ours=ours,
            difference=difference, tolerance=tolerance,
            beyond=difference is not None and abs(difference) > tolerance, read_at=now,
        )  # fmt: skip


def _ours(account: Account, at: datetime) -> Decimal | None:
    """Return our equity nearest to a moment, at most NEAR from it."""
    near = AccountSnapshot.objects.filter(account=account, at__gte=at - NEAR, at__lte=at + NEAR)
    found = [(abs(taken - at), equity) for taken, equity in near.values_list("at", "equity")]
    return min(found, key=lambda one: one[0])[1] if found else None
