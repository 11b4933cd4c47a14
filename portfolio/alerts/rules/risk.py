"""Rules of risk: liquidation near, liquidated, limits and allocation. Pure.

Note [Bands]: the risk ladder gives the band, the band the severity. A band is left only at a distance a tenth
larger than the one at which it began, so that a price at its edge says nothing twice.
Note [Old prices]: any price that is still believed may raise an alert; only a fresh one may lower it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal

from portfolio.alerts import terms
from portfolio.alerts.causes import account_subject
from portfolio.alerts.conditions import Condition, OpenAlert, plain_line
from portfolio.alerts.rules.proof import NOT_WATCHED
from portfolio.alerts.snapshot import Breach, LeveragedPosition, LiquidationFill, Snapshot
from portfolio.alerts.terms import more_severe
from portfolio.alerts.words import amount, clock, percent, usd
from positions.book.money import divide, multiply
from positions.risk.bands import DEFAULT_LADDER, RiskBand, RiskLadder, risk_band
from positions.risk.exact import HUNDRED
from positions.risk.mark_price import STALE_AFTER
from positions.risk.measures import liquidation_distance_pct

SEVERITY = {RiskBand.CRITICAL: terms.CRITICAL, RiskBand.DANGER: terms.WARNING, RiskBand.WATCH: terms.INFO}
LEFT_AT = Decimal("1.1")
NEAREST = Decimal("0.01")
"""A distance under this many percent counts as this one: nothing is nearer."""
ENDED = {
    "CLOSED": "The position is closed.",
    "LIQUIDATED": "The position was liquidated: see there.",
    "VOID": "The position was dissolved by a correction of the book.",
}
CAUSES = {"liquidation": "LIQUIDATED", "adl": "AUTO-DELEVERAGED"}


def liquidation_near(snapshot: Snapshot) -> Iterator[Condition]:
    """Yield the positions within a band of their ladder, and how open alerts stand."""
    open_alerts = snapshot.open_of("liquidation_near")
    reach = max((one.watch_pct for one in snapshot.ladders.values()), default=DEFAULT_LADDER.watch_pct)
    reach = max(reach, DEFAULT_LADDER.watch_pct)
    for position in snapshot.positions:
        alert = open_alerts.pop(_subject(position.id), None)
        if alert is None and _is_far(position, reach):
            continue
        if position.account not in snapshot.accounts:
            if alert is not None:
                yield Condition(kind=alert.kind, subject=alert.subject, holds=False, healed=NOT_WATCHED)
            continue
        found = _distance_condition(position, alert, snapshot)
        if found is not None:
            yield found
    for subject, alert in open_alerts.items():
        status = snapshot.ended.get(int(subject.removeprefix("position:")))
        yield Condition(
            kind="liquidation_near",
            subject=subject,
            holds=False if status is not None else None,
            account=alert.account,
            summary="the position is not read",
            healed=ENDED.get(status or "", "The position is no longer open."),
        )


def _subject(position: int) -> str:
    return f"position:{position}"


def _is_far(position: LeveragedPosition, reach: Decimal) -> bool:
    """Return whether nothing needs to be measured: most positions are beyond the widest ladder's reach."""
    mark, liquidation = position.mark_price, position.liquidation_price
    if mark is None or liquidation is None:
        return True
    gap = mark - liquidation if position.quantity > 0 else liquidation - mark
    return gap * HUNDRED > reach * mark


def _distance_condition(
    position: LeveragedPosition, alert: OpenAlert | None, snapshot: Snapshot
) -> Condition | None:
    believed = _is_believed(position, snapshot)
    distance = (
        liquidation_distance_pct(
            size=position.quantity,
            mark=position.mark_price,
            liquidation_price=position.liquidation_price,
        )
        if believed
        else None
    )
    if distance is None:
        return None if alert is None else _unmeasured(position, alert, snapshot)
    ladder = snapshot.ladder(account=position.account, instrument=position.instrument, position=position.id)
    severity = _severity(distance, ladder, alert)
    if severity is None and alert is None:
        return None
    lower = alert is not None and (severity is None or more_severe(alert.severity, severity))
    if alert is not None and lower and not _is_fresh(position, snapshot):
        return _unmeasured(position, alert, snapshot)
    if severity is None:
        return _recovered(position, distance)
    return _near(position, distance, severity)


def _is_believed(position: LeveragedPosition, snapshot: Snapshot) -> bool:
    at = position.mark_at
    return at is not None and snapshot.now - at <= snapshot.price_believed_for


def _is_fresh(position: LeveragedPosition, snapshot: Snapshot) -> bool:
    if position.mark_at is None or position.stated_at is None:
        return False
    stated_for = snapshot.now - position.stated_at
    return snapshot.now - position.mark_at <= STALE_AFTER and stated_for <= snapshot.price_believed_for


def _severity(distance: Decimal, ladder: RiskLadder, alert: OpenAlert | None) -> str | None:
    """Return the severity of the distance's band; that of an open alert while its band is not left."""
    severity = SEVERITY.get(risk_band(distance_pct=distance, ladder=ladder) or RiskBand.SAFE)
    if alert is None or (severity is not None and not more_severe(alert.severity, severity)):
        return severity
    nearer = divide(distance, LEFT_AT) if distance > 0 else distance
    held = SEVERITY.get(risk_band(distance_pct=nearer, ladder=ladder) or RiskBand.SAFE)
    return alert.severity if held is not None and more_severe(held, alert.severity) else held


def _near(position: LeveragedPosition, distance: Decimal, severity: str) -> Condition:
    if position.notional is not None and position.notional < terms.DUST_USD:
        severity = terms.INFO
    left = percent(distance)
    at = f"{amount(position.liquidation_price)}"
    side = "long" if position.quantity > 0 else "short"
    mark = amount(position.mark_price)
    passed = distance <= 0
    way = "the price is past it" if passed else f"{left} away"
    what = f"{amount(abs(position.quantity))} {side}, mark {mark}, liquidation at {at}: {way}"
    return Condition(
        kind="liquidation_near",
        subject=_subject(position.id),
        holds=True,
        severity=severity,
        title=plain_line(f"LIQUIDATION NEAR {position.name} {position.label}: {left} left, at {at}"),
        summary=f"{what}. {usd(position.notional)} are at stake.",
        numbers={
            "distance_pct": str(distance),
            "mark_price": str(position.mark_price),
            "liquidation_price": str(position.liquidation_price),
            "quantity": str(position.quantity),
            "mark_at": None if position.mark_at is None else position.mark_at.isoformat(),
        },
        measure=divide(Decimal(100), max(distance, NEAREST)).quantize(Decimal("1e-12")),
        usd=position.notional,
        account=position.account,
        instrument=position.instrument,
        position=position.id,
    )


def _recovered(position: LeveragedPosition, distance: Decimal) -> Condition:
    return Condition(
        kind="liquidation_near",
        subject=_subject(position.id),
        holds=False,
        account=position.account,
        numbers={"distance_pct": str(distance), "mark_price": str(position.mark_price)},
        healed=f"Liquidation is {percent(distance)} away again, at mark {amount(position.mark_price)}.",
    )


def _unmeasured(position: LeveragedPosition, alert: OpenAlert, snapshot: Snapshot) -> Condition:
    healed = position.no_liquidation and _is_fresh(position, snapshot)
    why = "the venue states no liquidation price"
    if not _is_believed(position, snapshot) or not _is_fresh(position, snapshot):
        mark_at, stated_at = clock(position.mark_at), clock(position.stated_at)
        why = f"its last price is of {mark_at}, the venue's word of {stated_at}"
    return Condition(
        kind="liquidation_near",
        subject=alert.subject,
        holds=False if healed else None,
        account=position.account,
        summary=why,
        healed="No price liquidates it at this equity, the venue says.",
        judged_at=position.mark_at,
    )


def liquidated(snapshot: Snapshot) -> Iterator[Condition]:
    """Yield the legs that a venue closed by force within the last day."""
    open_alerts = snapshot.open_of("liquidated")
    for fill in snapshot.liquidations:
        subject = f"{account_subject(fill.account)}/{fill.place}"
        open_alerts.pop(subject, None)
        yield _liquidated(subject, fill)
    for subject, alert in open_alerts.items():
        yield Condition(
            kind="liquidated",
            subject=subject,
            holds=False,
            account=alert.account,
            healed="A day has passed without another one. It cannot be undone.",
        )


def _liquidated(subject: str, fill: LiquidationFill) -> Condition:
    size, price = amount(abs(fill.quantity)), amount(fill.price)
    word = CAUSES.get(fill.cause, "LIQUIDATED")
    return Condition(
        kind="liquidated",
        subject=subject,
        holds=True,
        severity=terms.CRITICAL,
        title=plain_line(f"{word} {fill.name} {fill.label}: {size} at {price}"),
        summary=f"The venue closed {size} {fill.name} at {price}, last at {clock(fill.at)}: {usd(fill.usd)}.",
        numbers={"quantity": str(fill.quantity), "price": str(fill.price), "at": fill.at.isoformat(),
                 "cause": fill.cause},
        measure=abs(fill.quantity),
        usd=fill.usd,
        account=fill.account,
        instrument=fill.instrument,
        position=fill.position,
    )  # fmt: skip


def limits(snapshot: Snapshot) -> Iterator[Condition]:
    """Yield the portfolio's limits that are exceeded."""
    yield from _breaches("limit", snapshot.limits, snapshot, unread="limits" in snapshot.unread)


def allocations(snapshot: Snapshot) -> Iterator[Condition]:
    """Yield the shares that are further from their target than they may be."""
    yield from _breaches("allocation", snapshot.allocations, snapshot, unread=False)


def _breaches(
    kind: str, breaches: Iterable[Breach], snapshot: Snapshot, *, unread: bool
) -> Iterator[Condition]:
    """What is not among the breaches is within its bounds: whoever finds them ends only what is known."""
    open_alerts = snapshot.open_of(kind)
    for breach in breaches:
        open_alerts.pop(breach.subject, None)
        yield Condition(
            kind=kind,
            subject=breach.subject,
            holds=breach.holds,
            severity=breach.severity,
            title=plain_line(breach.title),
            summary=breach.summary,
            numbers=breach.numbers,
            measure=breach.measure,
            usd=breach.usd,
            account=breach.account,
            healed="It is within its bounds again.",
            judged_at=breach.judged_at,
        )
    for subject, alert in open_alerts.items():
        yield Condition(
            kind=kind,
            subject=subject,
            holds=None if unread else False,
            account=alert.account,
            summary="limits could not be read",
            healed="It is within its bounds again.",
        )


def share_measure(drift: Decimal) -> Decimal:
    """Return the measure of a share's drift: percentage points."""
    return multiply(abs(drift), Decimal(100))
