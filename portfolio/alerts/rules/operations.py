"""Rules of operation: quarantine, halted automation, and parts of the product that are down. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from portfolio.alerts import terms
from portfolio.alerts.causes import account_subject, part_key
from portfolio.alerts.conditions import Condition, plain_line
from portfolio.alerts.snapshot import Snapshot
from portfolio.alerts.words import clock


def quarantines(snapshot: Snapshot) -> Iterator[Condition]:
    """Yield the accounts with entries in quarantine."""
    open_alerts = snapshot.open_of("quarantine")
    for one in snapshot.quarantined:
        subject = account_subject(one.account)
        open_alerts.pop(subject, None)
        entries = "1 entry" if one.count == 1 else f"{one.count} entries"
        yield Condition(
            kind="quarantine",
            subject=subject,
            holds=True,
            severity=terms.WARNING,
            title=plain_line(f"QUARANTINE {one.label}: {entries} not booked"),
            summary=f"{entries} wait to be settled, the oldest since {clock(one.since)} ({one.reason}). "
            "What they say is not in the book.",
            numbers={"count": one.count, "since": one.since.isoformat()},
            measure=Decimal(one.count),
            account=one.account,
        )
    for subject, alert in open_alerts.items():
        yield Condition(
            kind="quarantine",
            subject=subject,
            holds=False,
            account=alert.account,
            healed="Every entry was settled.",
        )


def automation_halted(snapshot: Snapshot) -> Iterator[Condition]:
    """Yield the policies that halted, as more corrections were due than may be made automatically."""
    open_alerts = snapshot.open_of("automation_halted")
    for one in snapshot.halted:
        place = account_subject(one.account) if one.account is not None else "all"
        subject = f"{place}/{one.family}"
        open_alerts.pop(subject, None)
        yield Condition(
            kind="automation_halted",
            subject=subject,
            holds=True,
            severity=terms.WARNING,
            title=plain_line(f"AUTOMATION HALTED {one.label}: {one.family}"),
            summary=f"Since {clock(one.since)}: more automatic corrections were due within an hour than "
            "allowed. Drifts wait for a person until the policy is set again.",
            numbers={"family": one.family, "since": one.since.isoformat()},
            account=one.account,
        )
    for subject, alert in open_alerts.items():
        yield Condition(
            kind="automation_halted",
            subject=subject,
            holds=False,
            account=alert.account,
            healed="The policy was set again.",
        )


def parts_down(snapshot: Snapshot) -> Iterator[Condition]:
    """Yield the parts of the product that do not work."""
    open_alerts = snapshot.open_of("component_down")
    for part in snapshot.parts:
        subject = part_key(part.name).subject
        alert = open_alerts.pop(subject, None)
        if part.ok is not False and alert is None:
            continue
        yield Condition(
            kind="component_down",
            subject=subject,
            holds=None if part.ok is None else not part.ok,
            severity=part.severity,
            title=plain_line(f"DOWN {part.label}: {part.detail}"),
            summary=f"{part.label.capitalize()}: {part.detail}. {part.remedy}".strip(),
            numbers=part.numbers,
            measure=part.measure,
            healed=f"{part.label.capitalize()} works again.",
        )
    for subject, alert in open_alerts.items():
        # A part that is not expected any more: settings changed.
        yield Condition(
            kind="component_down", subject=subject, holds=False, account=alert.account,
            healed="It is not expected to run any more.",
        )  # fmt: skip
