"""Why book and venue may differ: causes ranked by evidence. Pure.

Each rule looks at the facts around a difference and says a cause, how sure it is (0 to 1) and on what entries
and venue records that rests. The more particular the trace, the higher the score: a fill that repeats another
to the last digit says more than a hole in the sizes, which says more than "somebody traded". Nothing fits:
"unknown". A rule never guesses beyond its evidence.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from reconciliation.rules import diagnose_cash as of_cash
from reconciliation.rules.causes import (
    ZERO,
    DriftCause,
    DriftEntry,
    DriftRecord,
    Finding,
    OtherBalance,
    finding_of,
)
from reconciliation.rules.compare import CENT, Family

__all__ = ["DriftCause", "DriftEntry", "DriftRecord", "Finding", "OtherBalance", "diagnose"]

# A report that does not count what is this old is no late one.
LAG = timedelta(minutes=2)
SAME_FILL = timedelta(seconds=2)
HOUR = timedelta(hours=1)
# A close this far from the mark was no order of a trader's: venues take positions at prices of their own.
FORCED_BEYOND = Decimal("0.01")


def diagnose(facts: DriftRecord) -> list[Finding]:
    """Return the causes that the facts bear out, the likeliest first and each once; at least UNKNOWN."""
    rules = _RULES[facts.difference.family]
    ranked = sorted((finding for rule in rules for finding in rule(facts)), key=lambda one: -one.score)
    best = {finding.cause: finding for finding in reversed(ranked)}
    record = (facts.record,) if facts.record else ()
    unknown = Finding(DriftCause.UNKNOWN, Decimal("0.1"), "no entry and no record explains it", record)
    return [*sorted(best.values(), key=lambda one: -one.score), unknown]


def _manual(facts: DriftRecord) -> Iterator[Finding]:
    """Something booked by hand, or a correction of ours, is exactly what the venue lacks."""
    name = "amount" if facts.difference.family is Family.CASH else "quantity"
    by_hand = [
        line for line in facts.suspects() if line.cause in ("manual", "inferred") or line.kind == "adjustment"
    ]
    stated = [(line, value) for line in by_hand if (value := getattr(line, name)) is not None]
    for line, value in stated:
        if value == -facts.missing:
            text = "booked by hand, and unknown to the venue"
            if line.cause == "inferred":
                text = "a correction of ours, and the venue does not have it"
            yield finding_of(DriftCause.MANUAL_CORRECTION, "0.98", text, line.ref)
            return
    if len(stated) > 1 and sum((value for _, value in stated), ZERO) == -facts.missing:
        refs = (line.ref for line, _ in stated)
        yield finding_of(DriftCause.MANUAL_CORRECTION, "0.96", "booked by hand together", *refs)


def _doubled(facts: DriftRecord) -> Iterator[Finding]:
    """Two fills of one size and price at one time, and the venue has one less."""
    fills = [line for line in facts.lines if line.kind == "fill" and line.quantity]
    for one in (line for line in facts.suspects() if line.kind == "fill"):
        if one.quantity != -facts.missing:
            continue
        for other in fills:
            alike = (one.quantity, one.price) == (other.quantity, other.price)
            if other is one or not alike or abs(other.at - one.at) > SAME_FILL:
                continue
            # Real twins, of one order, lead on from each other's size; a repeat starts from the same one.
            again = one.before == other.before
            score, text = (
                ("0.97", "the same fill under two references")
                if again
                else ("0.45", "two fills are alike, each after another size")
            )
            yield finding_of(DriftCause.FILL_DOUBLED, score, text, one.ref, other.ref)
            if again:
                return


def _lag(facts: DriftRecord) -> Iterator[Finding]:
    """The venue's size is the book's before its newest fills, and its cash does not contradict that.

    What shows again after all facts were asked for is no lag.
    """
    if facts.persists:
        return
    total, refs, fills = ZERO, [], []
    for line in reversed(facts.lines):
        if line.quantity is None or line.cause in ("manual", "inferred", "opening") or line.kind != "fill":
            continue
        if facts.seen_at - line.at > LAG:
            return
        total += line.quantity
        refs.append(line.ref)
        fills.append(line)
        if total == -facts.missing:
            if _cash_contradicts(facts, fills):
                return
            text = "the report does not count the newest fills yet"
            yield finding_of(DriftCause.VENUE_LAG, "0.9", text, *refs)
            return


def _cash_contradicts(facts: DriftRecord, fills: Sequence[DriftEntry]) -> bool:
    """Return whether the wallet is off by something else than the fees of fills that it did not count yet.

    Only fills that grew the leg: they realize nothing.
    """
    ours = facts.difference.book or ZERO
    grew = all((line.quantity or ZERO) * ours > 0 for line in fills)
    if facts.cash is None or not grew or any(line.fee is None for line in fills):
        return False
    fees = sum((line.fee or ZERO for line in fills), ZERO)
    return abs(facts.cash - fees) > max(CENT, abs(fees) / 10)


def _units(facts: DriftRecord) -> Iterator[Finding]:
    """One side counts contracts, the other units: a power of ten between them, or in one fill."""
    for fills in _orders(facts):
        size = sum((line.quantity or ZERO for line in fills), ZERO)
        if size and _power_of_ten((size + facts.missing) / size):
            text = "one fill is off by a power of ten"
            yield finding_of(DriftCause.UNIT_MISTAKE, "0.96", text, *(line.ref for line in fills))
            return
    ours, theirs = facts.difference.book, facts.difference.venue
    if ours and theirs and _power_of_ten(theirs / ours):
        # Once the leg was proven its older fills are right: that both sides stand so may be chance.
        score = "0.92" if facts.proven_at is None else "0.5"
        text = f"the venue says {theirs / ours:f} times as much"
        yield finding_of(DriftCause.UNIT_MISTAKE, score, text, *(line.ref for line in facts.lines[-3:]))


def _orders(facts: DriftRecord) -> Iterator[list[DriftEntry]]:
    """The new fills, each by itself; and those of one moment, which are one order's, together."""
    moments: dict[datetime, list[DriftEntry]] = defaultdict(list)
    for line in facts.suspects():
        if line.kind == "fill" and line.cause != "opening":
            moments[line.at].append(line)
            yield [line]
    yield from (fills for fills in moments.values() if len(fills) > 1)


def _power_of_ten(ratio: Decimal) -> bool:
    if ratio <= 0 or ratio == 1:
        return False
    return ratio.normalize().as_tuple().digits == (1,)


def _liquidation(facts: DriftRecord) -> Iterator[Finding]:
    """The venue took (part of) the position off: at its liquidation price, or at a price of the venue's."""
    ours, theirs = facts.difference.book or ZERO, facts.difference.venue or ZERO
    shrunk = ours and abs(theirs) < abs(ours) and ours * theirs >= 0
    if not shrunk or not facts.mark:
        return
    limit = facts.liquidation_price
    if limit is not None and (limit - facts.mark) * (1 if ours > 0 else -1) >= -limit / 100:
        text = f"the mark {facts.mark:f} reached the liquidation price {limit:f}"
        yield finding_of(DriftCause.LIQUIDATION_UNSEEN, "0.94", text, facts.record)
    closed_at = _closed_at(facts)
    if closed_at is not None and abs(closed_at - facts.mark) > facts.mark * FORCED_BEYOND:
        text = f"its cash says that it was closed at {closed_at:.6g}; the mark is {facts.mark:f}"
        yield finding_of(DriftCause.LIQUIDATION_UNSEEN, "0.88", text, facts.record)


def _closed_at(facts: DriftRecord) -> Decimal | None:
    """The price at which the missing close was, going by its cash, fee included; None: not known."""
    if not facts.cash or facts.entry_price is None or not facts.missing:
        return None  # without any cash it was no trade
    price = facts.entry_price - facts.cash / facts.missing
    return price if price > 0 else None


def _chain_gap(facts: DriftRecord) -> Iterator[Finding]:
    """The venue's own sizes before its fills leave a hole of that size."""
    gap, refs = _gap(facts)
    if refs and gap == facts.missing:
        text = "the venue's sizes before these fills skip one"
        yield finding_of(DriftCause.FILL_MISSED, "0.95", text, *refs)


def _gap(facts: DriftRecord) -> tuple[Decimal, list[str]]:
    size, gap = None, ZERO
    refs: list[str] = []
    for line in facts.lines:
        if line.kind != "fill" or line.quantity is None or line.before is None:
            continue
        if size is not None and line.before != size:
            gap += line.before - size
            refs.append(line.ref)
        size = line.before + line.quantity
    return gap, refs


def _missed(facts: DriftRecord) -> Iterator[Finding]:
    """Agreed once, and now whole steps are missing: a fill that nobody delivered, ours or somebody's."""
    if facts.proven_at is None or (facts.step is not None and facts.missing % facts.step):
        return
    alike = [line for line in facts.lines[-1:] if (line.quantity or ZERO) * facts.missing > 0]
    newest = (*(line.ref for line in alike), facts.record)
    trades = [line for line in facts.lines if line.kind == "fill" and line.cause == "trade"]
    if any(facts.proven_at - HOUR <= line.at for line in trades):
        text = "it agreed before, and one of its fills since is unseen"
        yield finding_of(DriftCause.FILL_MISSED, "0.6", text, *newest)
        yield finding_of(DriftCause.PLACED_ELSEWHERE, "0.4", "or an order placed elsewhere filled", *newest)
    else:
        text = "nothing was traded here for an hour, and the venue's size moved"
        yield finding_of(DriftCause.PLACED_ELSEWHERE, "0.6", text, *newest)
        yield finding_of(DriftCause.FILL_MISSED, "0.5", "or a fill since is unseen", *newest)


def _opening(facts: DriftRecord) -> Iterator[Finding]:
    """Never agreed, or not since a lot was set: what was held before the first fill that the venue tells."""
    lots = [line for line in facts.suspects() if line.cause == "opening"]
    refs = tuple(line.ref for line in lots) or tuple(line.ref for line in facts.lines[:1])
    if lots:
        text = "the opening lot does not fit"
        yield finding_of(DriftCause.WRONG_OPENING, "0.93", text, *refs, facts.record)
    elif facts.proven_at is None and _held_before(facts) not in (None, facts.missing):
        text = "the venue's sizes leave no room for an older lot, so one of its newest fills is unseen"
        yield finding_of(
            DriftCause.FILL_MISSED, "0.7", text, *(line.ref for line in facts.lines[-1:]), facts.record
        )
    elif facts.proven_at is None:
        text = "held since before the venue's history begins"
        yield finding_of(DriftCause.WRONG_OPENING, "0.8", text, *refs, facts.record)


def _held_before(facts: DriftRecord) -> Decimal | None:
    """What the venue's size before the first fill that states one has beyond the book's; None: none does."""
    lines = [line for line in facts.lines if line.quantity is not None and line.at <= facts.seen_at]
    for n, line in enumerate(lines):
        if line.kind == "fill" and line.before is not None:
            after = sum((one.quantity or ZERO for one in lines[n:]), ZERO)
            return line.before - ((facts.difference.book or ZERO) - after)
    return None


def _lots_price(facts: DriftRecord) -> Iterator[Finding]:
    lots = [line for line in facts.lines if line.cause in ("opening", "inferred")]
    if lots:
        text = "a lot whose price was inferred carries the average"
        yield finding_of(DriftCause.WRONG_OPENING, "0.8", text, *(line.ref for line in lots))


def _round_trip(facts: DriftRecord) -> Iterator[Finding]:
    """Sizes agree and averages do not: fills that undo each other in size are unseen."""
    gap, refs = _gap(facts)
    if refs and not gap:
        text = "the venue's sizes before these fills skip some that undo each other"
        yield finding_of(DriftCause.FILL_MISSED, "0.9", text, *refs)


def _by_hand(facts: DriftRecord) -> Iterator[Finding]:
    lines = [line for line in facts.suspects() if line.cause == "manual" or line.kind == "adjustment"]
    if lines:
        text = "booked by hand at another price than the venue's"
        yield finding_of(DriftCause.MANUAL_CORRECTION, "0.85", text, *(line.ref for line in lines))


Rule = Callable[[DriftRecord], Iterator[Finding]]
_RULES: dict[Family, tuple[Rule, ...]] = {
    Family.SIZE: (_manual, _doubled, _lag, _units, _liquidation, _chain_gap, _missed, _opening),
    Family.CASH: (_manual, *of_cash.RULES),
    Family.ENTRY_PRICE: (_by_hand, _lots_price, _round_trip),
    Family.NOTE: (),
    Family.VALUE: (),
}
