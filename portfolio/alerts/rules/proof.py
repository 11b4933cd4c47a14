"""Rules of proof: a drift, what stays unresolved, and a proof that is too old. Pure.

Note [One thread]: what drifts and then fails stays one alert, so that it is one thread to its readers; only a
failure that no drift was seen before has an alert of its own.
Note [Stale drift]: reconciliation keeps DRIFT while the venue cannot be read. Then nobody knows whether it is
still so: an open alert cannot be judged; one that nobody has heard of yet is raised.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

from portfolio.alerts import terms
from portfolio.alerts.causes import account_subject
from portfolio.alerts.conditions import Condition, OpenAlert, plain_line
from portfolio.alerts.rules.values import PLACE
from portfolio.alerts.snapshot import JudgedSubject, Snapshot, WatchedAccount
from portfolio.alerts.words import ago, both, clock, usd
from positions.book.money import multiply
from reconciliation.rules.compare import Difference, Family

FIRST_PROOF_WITHIN = 10  # intervals after the account was added
NOT_WATCHED = "No longer watched: the account was switched off. Whether it was over is not known."
PAUSED = "the account is paused"


def drifts(snapshot: Snapshot) -> Iterator[Condition]:
    """Yield the drifts and what is unresolved, and how open ones of them stand now."""
    open_drifts, open_failures = snapshot.open_of("drift"), snapshot.open_of("unresolved")
    seen: set[str] = set()
    for one in snapshot.subjects:
        subject = subject_of(one)
        seen.add(subject)
        drift, failure = open_drifts.get(subject), open_failures.get(subject)
        if drift is None and failure is None and one.status not in ("DRIFT", "FAILED"):
            continue
        failed_unseen = one.status == "FAILED" and drift is None
        for kind, alert, is_it in (
            ("drift", drift, one.status == "DRIFT" or (one.status == "FAILED" and drift is not None)),
            ("unresolved", failure, failed_unseen),
        ):
            if is_it or alert is not None:
                yield _standing(kind, one, alert, snapshot, is_it=is_it)
    for kind, alerts in (("drift", open_drifts), ("unresolved", open_failures)):
        for subject, alert in alerts.items():
            if subject not in seen and not subject.endswith(PLACE):
                yield _unspoken(kind, subject, alert, snapshot)


def subject_of(one: JudgedSubject) -> str:
    """Return the subject of alerts about a leg or a balance."""
    return f"{account_subject(one.account)}/{one.place}"


def _standing(
    kind: str, one: JudgedSubject, alert: OpenAlert | None, snapshot: Snapshot, *, is_it: bool
) -> Condition:
    account = snapshot.accounts.get(one.account)
    subject = subject_of(one)
    if account is None:
        return _switched_off(kind, subject, one.account)
    oldest = snapshot.now - snapshot.proof_interval * snapshot.proof_intervals
    if not is_it:
        return _not_drifting(kind, one, oldest)
    stale = one.seen_as_of is None or one.seen_as_of < oldest
    if alert is not None and (stale or account.paused):
        why = PAUSED if account.paused else _unread(account)
        return Condition(
            kind=kind, subject=subject, holds=None, account=one.account, summary=why, judged_at=one.seen_as_of
        )
    return _differs(kind, one)


def _not_drifting(kind: str, one: JudgedSubject, oldest: datetime) -> Condition:
    subject = subject_of(one)
    if one.status == "SYNCED" and one.as_of is not None and one.as_of >= oldest:
        return Condition(
            kind=kind,
            subject=subject,
            holds=False,
            account=one.account,
            certificate=one.run,
            case=one.case,
            healed=f"Book and venue agree as of {clock(one.as_of)}.",
        )
    if one.status in ("DRIFT", "FAILED"):
        # Its other alert goes on: of an unresolved one that is a drift again, the drift is told.
        return Condition(kind=kind, subject=subject, holds=False, account=one.account, case=one.case,
                         certificate=one.run, healed="It is a drift again: see the drift.")  # fmt: skip
    return Condition(
        kind=kind,
        subject=subject,
        holds=None,
        account=one.account,
        summary="no report proves it any more",
        judged_at=one.as_of or one.seen_as_of,
    )


def _differs(kind: str, one: JudgedSubject) -> Condition:
    failed = one.status == "FAILED"
    found = [Difference.from_plain(stored) for stored in one.differences]
    weight = _worth(one, found)
    first = found[0] if found else None
    book, venue = (None, None) if first is None else (first.book, first.venue)
    book_text, venue_text = both(book, venue)
    what = "UNRESOLVED" if kind == "unresolved" else "DRIFT"
    sides = "" if first is None else f": {_what(first)}book {book_text}, venue {venue_text}"
    case = "" if one.case is None else f" · case {one.case}"
    sentence = (
        "A complete report proves neither side."
        if first is None
        else f"Book says {book_text}, the venue says {venue_text}; {usd(weight)} are at stake."
    )
    if failed:
        sentence += " Unresolved: it still shows after everything was asked for; a person must settle it."
    numbers: dict[str, Any] = {
        "book": None if book is None else str(book),
        "venue": None if venue is None else str(venue),
        "differences": [dict(stored) for stored in one.differences],
        "status": one.status,
        "as_of": None if one.seen_as_of is None else one.seen_as_of.isoformat(),
    }
    return Condition(
        kind=kind,
        subject=subject_of(one),
        holds=True,
        severity=_severity(weight, failed=failed),
        title=plain_line(f"{what} {one.name} {one.label}{sides}{case}"),
        summary=sentence,
        numbers=numbers,
        measure=weight,
        usd=weight,
        account=one.account,
        instrument=one.instrument,
        position=one.position,
        case=one.case,
        certificate=one.run,
    )


def _what(difference: Difference) -> str:
    return "entry price " if difference.family is Family.ENTRY_PRICE else ""


def _worth(one: JudgedSubject, found: list[Difference]) -> Decimal | None:
    """Return what differs in USD; None as soon as a part of it is unknown."""
    total = Decimal(0)
    for difference in found:
        factor = one.quantity if difference.family is Family.ENTRY_PRICE else one.price
        if factor is None:
            return None
        total += multiply(difference.amount.copy_abs(), factor.copy_abs())
    return total if found else None


def _severity(weight: Decimal | None, *, failed: bool) -> str:
    if weight is not None and weight < terms.DUST_USD:
        return terms.INFO
    if failed or weight is None or weight >= terms.CRITICAL_USD:
        return terms.CRITICAL
    return terms.WARNING


def _unspoken(kind: str, subject: str, alert: OpenAlert, snapshot: Snapshot) -> Condition:
    if alert.account is not None and alert.account not in snapshot.accounts:
        return _switched_off(kind, subject, alert.account)
    return Condition(
        kind=kind, subject=subject, holds=None, account=alert.account, summary="it has no verdict"
    )


def _switched_off(kind: str, subject: str, account: int) -> Condition:
    return Condition(kind=kind, subject=subject, holds=False, account=account, healed=NOT_WATCHED)


def _unread(account: WatchedAccount) -> str:
    if account.run is not None and account.run.problem:
        return f"the venue could not be read ({account.run.problem[:200]})"
    return "no newer report of the venue has been read"


def proofs_too_old(snapshot: Snapshot) -> Iterator[Condition]:
    """Yield the accounts whose proof is too old: raised after 3 intervals, cleared within 2."""
    open_alerts = snapshot.open_of("proof_old")
    proofs: dict[int, list[JudgedSubject]] = {}
    for one in snapshot.subjects:
        if one.as_of is not None and one.status not in ("DRIFT", "FAILED"):
            proofs.setdefault(one.account, []).append(one)
    for account in snapshot.accounts.values():
        alert = open_alerts.pop(account_subject(account.id), None)
        found = _proof_age(account, proofs.get(account.id, []), alert, snapshot)
        if found is not None:
            yield found
    for subject, alert in open_alerts.items():
        if alert.account is not None:
            yield _switched_off("proof_old", subject, alert.account)


def _proof_age(
    account: WatchedAccount, proofs: list[JudgedSubject], alert: OpenAlert | None, snapshot: Snapshot
) -> Condition | None:
    subject, now = account_subject(account.id), snapshot.now
    if account.paused:
        healed = Condition(kind="proof_old", subject=subject, holds=None, account=account.id, summary=PAUSED)
        return healed if alert is not None else None
    intervals = snapshot.proof_intervals if alert is None else snapshot.proof_intervals - 1
    oldest = min(proofs, key=lambda one: one.as_of or now, default=None)
    if oldest is None or oldest.as_of is None:
        newest = None if account.report is None else account.report.as_of
        late = snapshot.proof_interval * FIRST_PROOF_WITHIN
        since = newest or account.created_at
        holds = now - since > (late if newest is None else snapshot.proof_interval * intervals)
    else:
        newest, since = oldest.as_of, oldest.as_of
        holds = now - since > snapshot.proof_interval * intervals
    if not holds and alert is None:
        return None
    last = "never" if newest is None else f"last {clock(newest)}"
    what = "" if oldest is None else f" ({oldest.name})"
    return Condition(
        kind="proof_old",
        subject=subject,
        holds=holds,
        title=plain_line(f"PROOF TOO OLD {account.label}: proven {last}"),
        summary=f"The oldest proof{what} is {ago(since, now)} old; {_unread(account)}.",
        numbers={
            "proven_as_of": None if newest is None else newest.isoformat(),
            "problem": "" if account.run is None else account.run.problem,
        },
        account=account.id,
        certificate=None if holds or account.report is None else account.report.id,
        healed=f"Everything is proven again, the oldest as of {clock(newest)}.",
    )
