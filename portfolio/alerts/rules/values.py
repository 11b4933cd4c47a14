"""Rule of values: what a venue's own history says an account was worth, where it differs from ours. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from portfolio.alerts import terms
from portfolio.alerts.causes import account_subject
from portfolio.alerts.conditions import Condition, plain_line
from portfolio.alerts.snapshot import Snapshot, ValueCase
from portfolio.alerts.words import amount, usd
from reconciliation.rules.compare import CENT, Difference

PLACE = "/wallet:whole account/USD"
"""How the subjects of these drifts end: they follow cases, as a past value has no verdict."""


def values_differ(snapshot: Snapshot) -> Iterator[Condition]:
    """Yield a drift for each open case about an account's value; it is over when its case is settled."""
    open_alerts = {key: one for key, one in snapshot.open_of("drift").items() if key.endswith(PLACE)}
    for case in snapshot.values:
        subject = account_subject(case.account) + PLACE
        open_alerts.pop(subject, None)
        yield _differs(subject, case)
    for subject, alert in open_alerts.items():
        yield Condition(
            kind="drift",
            subject=subject,
            holds=False,
            account=alert.account,
            healed="The case about it is settled.",
        )


def _cents(value: Decimal | None) -> str:
    return amount(None if value is None else value.quantize(CENT), places=2)


def _differs(subject: str, case: ValueCase) -> Condition:
    difference = Difference.from_plain(case.difference)
    weight = difference.amount.copy_abs()
    book, venue = (_cents(one) for one in (difference.book, difference.venue))
    return Condition(
        kind="drift",
        subject=subject,
        holds=True,
        severity=terms.CRITICAL if weight >= terms.CRITICAL_USD else terms.WARNING,
        title=plain_line(f"DRIFT account value {case.label}: book {book}, venue {venue} · case {case.id}"),
        summary=f"Our snapshot says {book} USD, the venue's own history {venue}; {usd(weight)} are at stake.",
        numbers={
            "book": None if difference.book is None else str(difference.book),
            "venue": None if difference.venue is None else str(difference.venue),
            "differences": [dict(case.difference)],
        },
        measure=weight,
        usd=weight,
        account=case.account,
        case=case.id,
        certificate=case.run,
    )
