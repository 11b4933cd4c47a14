"""Rules of reading: a feed that is silent, a key that is refused. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from portfolio.alerts import terms
from portfolio.alerts.causes import account_subject
from portfolio.alerts.conditions import Condition, OpenAlert, plain_line
from portfolio.alerts.rules.proof import NOT_WATCHED, PAUSED
from portfolio.alerts.snapshot import RunOutcome, Snapshot, WatchedAccount
from portfolio.alerts.words import ago, clock

SILENT = ("down", "stale")
GOOD = ("live", "polled")


def silent(snapshot: Snapshot) -> Iterator[Condition]:
    """Yield the accounts from which nothing comes. One that catches up is neither silent nor well again."""
    open_alerts = snapshot.open_of("feed_silent")
    for account in snapshot.accounts.values():
        alert = open_alerts.pop(account_subject(account.id), None)
        found = _feed(account, alert, snapshot)
        if found is not None:
            yield found
    for subject, alert in open_alerts.items():
        yield Condition(
            kind="feed_silent", subject=subject, holds=False, account=alert.account, healed=NOT_WATCHED
        )


def _feed(account: WatchedAccount, alert: OpenAlert | None, snapshot: Snapshot) -> Condition | None:
    subject, since = account_subject(account.id), account.feed_since
    if account.paused or account.feed is None:
        if alert is None:
            return None
        why = PAUSED if account.paused else "the state of feeds could not be read"
        return Condition(kind="feed_silent", subject=subject, holds=None, account=account.id, summary=why)
    if account.feed not in SILENT:
        if alert is None:
            return None
        good = account.feed in GOOD
        return Condition(
            kind="feed_silent",
            subject=subject,
            holds=False if good else None,
            account=account.id,
            summary="it is catching up",
            healed=f"News of the account arrive again ({account.feed}).",
        )
    for_long = "" if since is None else f" for {ago(since, snapshot.now)}"
    reason = f" {account.feed_reason}." if account.feed_reason else ""
    return Condition(
        kind="feed_silent",
        subject=subject,
        holds=True,
        severity=terms.WARNING,
        title=plain_line(f"FEED SILENT {account.label}: {account.feed} since {clock(since)}"),
        summary=f"Nothing has come from the venue{for_long}.{reason} {_positions(account.open_positions)}",
        numbers={"feed": account.feed, "since": None if since is None else since.isoformat()},
        account=account.id,
    )


def _positions(count: int) -> str:
    if not count:
        return "No position is open there."
    return "1 position is open there." if count == 1 else f"{count} positions are open there."


def keys_refused(snapshot: Snapshot) -> Iterator[Condition]:
    """Yield the accounts whose key the venue refuses, or which we refuse, as it could move money."""
    open_alerts = snapshot.open_of("key")
    for account in snapshot.accounts.values():
        alert = open_alerts.pop(account_subject(account.id), None)
        run = account.run
        if run is not None and run.refused:
            yield _refused(account, run)
        elif alert is not None:
            # A run that could not ask says nothing of the key.
            read = run is not None and run.as_of is not None
            yield Condition(
                kind="key",
                subject=alert.subject,
                holds=False if read else None,
                account=account.id,
                certificate=run.id if run is not None and read else None,
                summary="the venue could not be asked since",
                healed="The venue answers with this key again.",
            )
    for subject, alert in open_alerts.items():
        yield Condition(kind="key", subject=subject, holds=False, account=alert.account, healed=NOT_WATCHED)


def _refused(account: WatchedAccount, run: RunOutcome) -> Condition:
    withdraws = "withdraw" in run.problem
    what = "able to withdraw" if withdraws else "denied"
    return Condition(
        kind="key",
        subject=account_subject(account.id),
        holds=True,
        severity=terms.CRITICAL if withdraws else terms.WARNING,
        title=plain_line(f"KEY {account.label}: {what}"),
        summary=run.problem[:400],
        numbers={"problem": run.problem[:400], "run": run.id},
        account=account.id,
    )
