"""How long raw snapshots are kept: whole months older than SNAPSHOT_RETENTION_DAYS are dropped."""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db import DatabaseError

from portfolio.snapshots import hourly, partitions
from portfolio.snapshots.partitions import Partition

log = structlog.get_logger("snapshots")


def keep_up(*, now: datetime) -> list[str]:
    """Make partitions ahead, roll up what is over, drop what is old; return the partitions that went.

    Each day and at start-up. Raises DatabaseError.
    """
    partitions.make_ahead(now=now)
    hourly.roll_up(now=now)
    return drop_old(now=now)


def drop_old(*, now: datetime) -> list[str]:
    """Drop each partition that holds nothing younger than SNAPSHOT_RETENTION_DAYS; return their names.

    One that was not rolled up by the hour stays, and says so. One that is in use stays until tomorrow.
    """
    before = now - timedelta(days=settings.SNAPSHOT_RETENTION_DAYS)
    rolled = hourly.through()
    dropped = []
    for one in partitions.existing():
        if one.ends > before:
            continue
        if partitions.holds_since(one, rolled):
            log.warning("an old partition stays: it is not rolled up yet", partition=one.name)
        elif _drop(one):
            dropped.append(one.name)
    log.info("retention of snapshots was applied", dropped=dropped, before=before.isoformat())
    return dropped


def _drop(one: Partition) -> bool:
    try:
        partitions.drop(one)
    except DatabaseError as error:
        log.warning("an old partition stays: it is in use", partition=one.name, error=str(error))
        return False
    log.info("an old partition was dropped", partition=one.name)
    return True
