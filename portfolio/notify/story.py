"""What one alert's mail tells, as plain values for one reader: read from the rows, in the reader's zone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.urls import reverse

from core.templatetags import numbers
from portfolio.models import Alert, AlertKind, AlertTransition, AlertTransitionKind, Recipient, Severity
from portfolio.notify import threads, wording
from portfolio.notify.quiet import clock_text
from positions.labels import ENVIRONMENTS, venue_name
from positions.models import InstrumentKind
from positions.models.names import display_name
from reconciliation import labels as proof_labels

_ORDER = {name: place for place, name in enumerate(wording.FIGURES)}
PARAGRAPH = 600
"""Characters of a text that comes from elsewhere."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of evidence: its label, the value, and how old it was then ("" where that has no meaning)."""

    label: str
    value: str
    age: str = ""


@dataclass(frozen=True, slots=True)
class Link:
    label: str
    url: str


@dataclass(frozen=True, slots=True)
class Story:
    """One alert as one reader is told of it. Empty texts are left out."""

    state: str
    level: str
    kind: str
    title: str
    headline: str
    money: str
    where: str
    since: str
    lasted: str
    at: str
    is_over: bool
    evidence: tuple[Figure, ...]
    proof: str
    cause: str
    todo: str
    not_meaning: str
    history: tuple[str, ...]
    links: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class Reader:
    """For whom it is written."""

    zone: ZoneInfo
    with_amounts: bool
    now: datetime

    @classmethod
    def of(cls, recipient: Recipient, *, now: datetime) -> Reader:
        return cls(ZoneInfo(recipient.zone), recipient.with_amounts, now)

    def time(self, at: datetime) -> str:
        return clock_text(at, self.zone, now=self.now)


def title_of(alert: Alert, *, with_amounts: bool) -> str:
    """Return an alert's title; for who wants no amounts one that has none: the frozen one may state them."""
    if with_amounts:
        return threads.subject_line(alert.title)
    words = [AlertKind(alert.kind).label.upper(), _subject_name(alert)]
    if alert.account is not None:
        words.append(alert.account.label)
    case = "" if alert.case_id is None else f" · case {alert.case_id}"
    return threads.subject_line(" ".join(filter(None, words)) + case)


def tell(transition: AlertTransition, reader: Reader) -> Story:
    """Return what a transition's mail tells, from its alert, account, instrument, case and history."""
    alert = transition.alert
    advice = wording.ADVICE[alert.kind]
    over = transition.kind == AlertTransitionKind.CLEARED
    text = _clean(transition.text or alert.summary)
    ended = alert.cleared_at or transition.at
    return Story(
        state=_state(transition, reader),
        level="ok" if over else _level(transition),
        kind=AlertKind(alert.kind).label,
        title=title_of(alert, with_amounts=reader.with_amounts),
        headline=text if text and reader.with_amounts else advice.sentence,
        money=_money(transition, reader),
        where=_where(alert),
        since=reader.time(alert.raised_at),
        lasted=numbers.age((ended - alert.raised_at).total_seconds()) if over else "",
        at=reader.time(transition.at),
        is_over=over,
        evidence=tuple(_evidence(transition, reader)),
        proof=_proof(alert, reader, said=text) if over else "",
        cause="" if over else _cause(alert, advice),
        todo=_todo(transition, advice),
        not_meaning="" if over else advice.not_meaning,
        history=tuple(_history(transition, reader)),
        links=tuple(_links(alert)),
    )


def _state(transition: AlertTransition, reader: Reader) -> str:
    state = wording.STATES[transition.kind]
    match transition.kind:
        case AlertTransitionKind.ACKNOWLEDGED if transition.who:
            return f"{state} by {threads.one_line(transition.who.removeprefix('user:'), longest=60)}"
        case AlertTransitionKind.UNJUDGED:
            return f"{state}, since {reader.time(transition.alert.unjudged_since or transition.at)}"
        case AlertTransitionKind.RAISED:
            return f"{Severity(transition.severity).label}"
    return state


def _level(transition: AlertTransition) -> str:
    by_severity = {Severity.CRITICAL: "act", Severity.WARNING: "watch", Severity.INFO: "info"}
    return by_severity[Severity(transition.severity)]


def _money(transition: AlertTransition, reader: Reader) -> str:
    """Return what is at stake; "" of what has no worth of its own, like a part that is down."""
    usd = transition.usd
    if usd is None:
        return "not known" if transition.alert.kind in wording.WORTH_MONEY else ""
    return f"{numbers.money(usd)} USD" if reader.with_amounts else wording.HIDDEN


def _subject_name(alert: Alert) -> str:
    if alert.case is not None:
        return alert.case.name
    return "" if alert.instrument is None else display_name(alert.instrument)


def _where(alert: Alert) -> str:
    if alert.account is None:
        return ""
    account = alert.account
    words = [account.label, venue_name(account.venue)]
    if account.environment != "live":
        words.append(ENVIRONMENTS.get(account.environment, account.environment))
    return _clean(" · ".join(words))


def _cause(alert: Alert, advice: wording.Advice) -> str:
    """Return the likeliest cause that the case names, else the usual one."""
    if alert.case is None or not alert.case.diagnosis:
        return advice.cause
    first = alert.case.diagnosis[0]
    label = proof_labels.CAUSES.get(str(first.get("cause")), "Unknown")
    return _clean(f"{label}. {first.get('text', '')}".strip())


def _todo(transition: AlertTransition, advice: wording.Advice) -> str:
    match transition.kind:
        case AlertTransitionKind.CLEARED:
            return ""
        case AlertTransitionKind.UNJUDGED:
            return wording.UNJUDGED
        case AlertTransitionKind.ESCALATED:
            return f"Acknowledge it, so that nobody else is woken. {advice.todo}"
    return advice.todo


def _proof(alert: Alert, reader: Reader, *, said: str) -> str:
    """Return what proves that it is over, and how it healed where the mail has not `said` that above."""
    healed = _clean(alert.healed).rstrip(".") if alert.healed and reader.with_amounts else ""
    if healed == said.rstrip("."):
        healed = ""
    if alert.certificate_id is None:
        return f"{healed}." if healed else "Its condition no longer holds."
    run = alert.certificate
    as_of = run.as_of if run is not None else None
    text = f"Certificate {alert.certificate_id}"
    if as_of is not None:
        text += f", the venue's report of {reader.time(as_of)}"
    return f"{text}: {healed}." if healed else f"{text}."


# Evidence ---------------------------------------------------------------------------------------------------


def _evidence(transition: AlertTransition, reader: Reader) -> Iterable[Figure]:
    figures = transition.numbers or {}
    shown = set(wording.NO_FIGURES)
    unit = figures.get("unit") or _unit(transition.alert)
    for name, value in sorted(figures.items(), key=lambda one: _ORDER.get(one[0], len(_ORDER))):
        if name in shown or value == "" or (name.endswith("_at") and name[:-3] in figures):
            continue
        if isinstance(value, dict) or (
            isinstance(value, list) and any(isinstance(one, dict) for one in value)
        ):
            continue  # what no line can show stands on the page
        label = wording.FIGURES.get(name) or name.replace("_", " ").removesuffix(" pct").capitalize()
        yield Figure(
            _clean(label),
            _value(name, value, figures | {"unit": unit}, reader),
            _age(name, figures, transition.at),
        )
    yield from _run(transition)


def _run(transition: AlertTransition) -> Iterable[Figure]:
    alert = transition.alert
    if alert.case is not None and transition.kind != AlertTransitionKind.CLEARED:
        yield Figure("Certificate", f"run {alert.case.run_id}")


def _unit(alert: Alert) -> str:
    """Return what both sides of a difference are counted in; "" where no case says so."""
    case = alert.case
    if case is None:
        return ""
    if case.instrument is None:
        return case.asset
    inverse = case.instrument.kind == InstrumentKind.INVERSE
    return case.instrument.quote if case.family == "entry_price" or inverse else case.instrument.base


def _value(name: str, value: Any, figures: Mapping[str, Any], reader: Reader) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return _clean(", ".join(map(str, value)))
    if name.endswith(("_at", "as_of", "since")) and (at := _time(value)) is not None:
        return reader.time(at)
    number = _number(value)
    if number is None:
        return _clean(str(value))
    if name.endswith("_pct"):
        return f"{numbers.quantity(number.quantize(Decimal('0.01')))} %"
    if name.endswith(("seconds", "_s")):
        return numbers.age(float(number))
    if isinstance(value, int):
        return f"{value:,}"
    if not reader.with_amounts:
        return wording.HIDDEN
    if name.endswith("usd"):
        return f"{numbers.money(number)} USD"
    unit = figures.get("unit") or figures.get("asset") or figures.get("currency") or ""
    return _clean(f"{_beside(name, number, figures)} {unit}")


def _beside(name: str, number: Decimal, figures: Mapping[str, Any]) -> str:
    """Return an amount, of book and venue with as many places as the other one has: they are compared."""
    whole, _, places = numbers.quantity(number).partition(".")
    other = _number(figures.get({"book": "venue", "venue": "book"}.get(name, "")))
    wanted = 0 if other is None else len(numbers.quantity(other).partition(".")[2])
    digits = places.ljust(wanted, "0")
    return f"{whole}.{digits}" if digits else whole


def _age(name: str, figures: Mapping[str, Any], at: datetime) -> str:
    """Return how old a figure was, where its time stands beside it ("book" and "book_at")."""
    then = _time(figures.get("as_of" if name == "venue" else f"{name}_at"))
    return "" if then is None else f"{numbers.age((at - then).total_seconds())} old"


def _time(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    return at if at.tzinfo is not None else None


def _number(value: Any) -> Decimal | None:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


# What was before, and where to look -------------------------------------------------------------------------


def _history(transition: AlertTransition, reader: Reader) -> Iterable[str]:
    """Yield what was told of the alert before, the oldest first, in short lines."""
    earlier = AlertTransition.objects.filter(alert=transition.alert_id, pk__lt=transition.pk)
    found = list(earlier.order_by("-pk")[:5])[::-1]
    for one in found:
        yield f"{reader.time(one.at)}  {wording.STATES[one.kind]}"


def _links(alert: Alert) -> Iterable[Link]:
    if alert.case_id is not None:
        yield Link(f"Open case {alert.case_id}", absolute("proof-case", alert.case_id))
    yield Link("See and acknowledge" if alert.is_open else "This alert", absolute("alert", alert.pk))
    if alert.position_id is not None:
        yield Link("Position", absolute("position", alert.position_id))
    if alert.certificate_id is not None:
        yield Link(f"Certificate {alert.certificate_id}", absolute("proof-run", alert.certificate_id))
    if alert.account_id is not None:
        yield Link("Account", absolute("account", alert.account_id))
    yield Link("All alerts", absolute("alerts"))


def absolute(route: str, *arguments: int | str) -> str:
    """Return a page's address for people who are not on it: PUBLIC_URL and its path."""
    return f"{settings.PUBLIC_URL}{reverse(route, args=arguments)}"


def _clean(text: str) -> str:
    return threads.one_line(text, longest=PARAGRAPH)
