"""The daily digest: what a day was like, for one person, about what that person may see."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from django.db.models import Q

from core.api.auth import principal_of_user
from core.templatetags import numbers
from portfolio.models import (
    OPEN_STATES,
    Alert,
    Delivery,
    Mute,
    Recipient,
    Restatement,
)
from portfolio.notify import audience, day_worth, outbox, story
from portfolio.notify.elsewhere import visible_alerts
from portfolio.notify.quiet import bounds, day_before
from portfolio.notify.sheet import Line, Section, Sheet
from portfolio.notify.story import Reader
from positions.models import Account, AccountHead
from positions.queries import accounts_in_use
from reconciliation.proof_times import proof_times, valid_for

MOST = 40
"""Alerts that a digest lists; of more it says how many."""


def queue_due(*, now: datetime) -> int:
    """Queue the digest of each person whose hour has come today; return how many were new."""
    recipients = Recipient.objects.exclude(digest_at=None).select_related("user").order_by("pk")
    queued = 0
    for recipient in recipients:
        if recipient.digest_at is None or not recipient.mail_address:
            continue
        if not audience.may_hear(user=recipient.user, account_id=None):
            continue
        day = day_before(now=now, zone=audience.zone_of(recipient), at=recipient.digest_at)
        if day is not None:
            queued += outbox.queue_digest(recipient=recipient, day=day, now=now)
    return queued


def day_of(row: Delivery) -> date:
    """Return the day that a queued digest is about: it stands in its Message-ID."""
    return date.fromisoformat(row.message_id.split(".", 2)[1])


def sheet_of(*, recipient: Recipient, day: date, now: datetime) -> Sheet:
    """Return the digest of one day in a person's zone."""
    reader = Reader.of(recipient, now=now)
    start, end = bounds(day=day, zone=reader.zone)
    accounts = _accounts(recipient)
    alerts = _Alerts.of(recipient, start=start, end=end)
    sections = [
        *day_worth.worth(accounts, day=day, reader=reader, now=now),
        Section("Proven", tuple(_proven(accounts, start, end))),
        Section("Still open", tuple(_lines(alerts.still_open, reader, now))),
        Section("Raised", tuple(_lines(alerts.raised, reader, now))),
        Section("Recovered", tuple(_lines(alerts.recovered, reader, now))),
        Section("Closed days that were corrected", tuple(_restated(accounts, start, end, reader))),
        Section("Muted", tuple(_mutes(accounts, reader, now))),
        Section("Ends of the hash chains", tuple(_heads(accounts))),
    ]
    open_now = len(alerts.still_open)
    counted = f"{len(alerts.raised)} raised, {len(alerts.recovered)} recovered, {open_now} open now"
    return Sheet(
        state=f"{day:%A}, {day.day} {day:%B %Y}: {counted}",
        title="",
        headline=f"From midnight to midnight, {recipient.zone}.",
        sections=tuple(one for one in sections if one.lines or one.paragraphs),
        level="watch" if open_now else "ok",
        footer=(
            Line("Keep this mail: the ends of the hash chains prove that the ledger was not rewritten."),
            Line("When this comes, or that it does not", url=story.absolute("alert-subscriptions")),
        ),
        button=Line("All alerts", url=story.absolute("alerts")),
    )


def _accounts(recipient: Recipient) -> list[Account]:
    seen = principal_of_user(recipient.user).accounts
    found = accounts_in_use(with_manual=True).order_by("label", "pk")
    return list(found if seen is None else found.filter(pk__in=seen))


# Alerts, proof, chains --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Alerts:
    raised: list[Alert]
    recovered: list[Alert]
    still_open: list[Alert]

    @classmethod
    def of(cls, recipient: Recipient, *, start: datetime, end: datetime) -> _Alerts:
        rows = visible_alerts(recipient.user).exclude(kind="test").filter(transitions__sequence=1)
        rows = rows.order_by("raised_at", "pk")
        return cls(
            raised=list(rows.filter(raised_at__gte=start, raised_at__lt=end)),
            recovered=list(rows.filter(cleared_at__gte=start, cleared_at__lt=end)),
            still_open=list(rows.filter(state__in=OPEN_STATES)),
        )


def _lines(alerts: Sequence[Alert], reader: Reader, now: datetime) -> Iterable[Line]:
    levels = {"critical": "act", "warning": "watch"}
    for alert in alerts[:MOST]:
        ended = alert.cleared_at or now
        lasted = numbers.age((ended - alert.raised_at).total_seconds())
        note = f"took {lasted}" if alert.cleared_at else f"for {lasted}"
        if alert.acknowledged_by and not alert.cleared_at:
            note += f", acknowledged by {alert.acknowledged_by.removeprefix('user:')}"
        title = story.title_of(alert, with_amounts=reader.with_amounts)
        level = "ok" if alert.cleared_at else levels.get(alert.severity, "info")
        yield Line(title, note=f"{reader.time(alert.raised_at)}, {note}", level=level)
    if len(alerts) > MOST:
        yield Line(f"and {len(alerts) - MOST} more")


def _mutes(accounts: Sequence[Account], reader: Reader, now: datetime) -> Iterable[Line]:
    rows = Mute.objects.filter(ended_at=None, until__gt=now).filter(Q(account=None) | Q(account__in=accounts))
    for mute in rows.select_related("account").order_by("until", "pk"):
        of = f" of {mute.account.label}" if mute.account else ""
        yield Line(
            f"{mute.get_kind_display()}{of}",
            f"until {reader.time(mute.until)}",
            f"{mute.reason}, by {mute.who}",
        )


def _restated(accounts: Sequence[Account], start: datetime, end: datetime, reader: Reader) -> Iterable[Line]:
    """Yield the closed days whose P&L is another one since, with the fact that came late."""
    rows = Restatement.objects.filter(account__in=accounts, at__gte=start, at__lt=end)
    found = list(rows.select_related("account").order_by("account__label", "day", "pk")[: MOST + 1])
    for row in found[:MOST]:
        old, new = (day_worth.amount(value, reader, signed=True) for value in (row.old, row.new))
        by = f", by {row.who.removeprefix('user:')}" if row.who else ""
        yield Line(f"{row.account.label}, {row.day.day} {row.day:%b %Y}", f"{old} → {new}", f"{row.why}{by}")
    if len(found) > MOST:
        yield Line("and more: see the portfolio's page")


def _proven(accounts: Sequence[Account], start: datetime, end: datetime) -> Iterable[Line]:
    compared = [account for account in accounts if not account.is_manual]
    times = proof_times(accounts=compared, start=start, end=end, valid=valid_for())
    for account in compared:
        share = times[account.pk].share
        told = "not connected yet" if share is None else f"{share:.1f} % of the day"
        yield Line(account.label, told)


def _heads(accounts: Sequence[Account]) -> Iterable[Line]:
    rows = AccountHead.objects.filter(account__in=accounts).select_related("account")
    for head in rows.order_by("account__label", "pk"):
        yield Line(head.account.label, bytes(head.digest).hex(), f"{head.entry_count:,} entries")
