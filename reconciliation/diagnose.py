"""Why book and venue may differ: causes ranked by evidence. Pure.

Each rule looks at the facts around a difference and says a cause, how sure it is (0 to 1) and on what entries
and venue records that rests. Nothing fits: "unknown". A rule never guesses beyond its evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from reconciliation.compare import Difference, Family

ZERO = Decimal(0)
LAG = timedelta(seconds=60)
SAME_FILL = timedelta(seconds=2)
HOUR = timedelta(hours=1)


class Cause(StrEnum):
    """Why; docs/reconciliation.md tells what each means."""

    FILL_MISSED = "fill_missed"
    FILL_DOUBLED = "fill_doubled"
    PLACED_ELSEWHERE = "placed_elsewhere"
    LIQUIDATION_UNSEEN = "liquidation_unseen"
    TRANSFER_UNSEEN = "transfer_unseen"
    FUNDING_MISSING = "funding_missing"
    FEE_MISSING = "fee_missing"
    WRONG_OPENING = "wrong_opening"
    MANUAL_CORRECTION = "manual_correction"
    UNIT_MISTAKE = "unit_mistake"
    DUST = "dust_conversion"
    VENUE_LAG = "venue_lag"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Line:
    """One standing entry: signed quantity (sell is negative) or signed amount; None is unknown."""

    ref: str
    kind: str
    cause: str
    at: datetime
    quantity: Decimal | None = None
    price: Decimal | None = None
    fee: Decimal | None = None
    amount: Decimal | None = None
    before: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known around a difference.

    lines       the subject's newest entries, by time
    proven_at   the last report that agreed (None: none ever did)
    seen_at     the report that shows the difference, and `record` names what it rests on at the venue
    mark        price now; `liquidation_price` as the venue last stated it
    sizes_agree of a balance: whether all legs of the account agree; `notional` what they are worth
    coin        of a balance: it is no par currency
    """

    difference: Difference
    lines: Sequence[Line]
    seen_at: datetime
    record: str = ""
    proven_at: datetime | None = None
    step: Decimal | None = None
    mark: Decimal | None = None
    liquidation_price: Decimal | None = None
    sizes_agree: bool = True
    notional: Decimal | None = None
    coin: bool = False
    size_cases: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """A cause, how sure (0 to 1), why in words, and the references that say so."""

    cause: Cause
    score: Decimal
    text: str
    evidence: tuple[str, ...] = field(default=())


def diagnose(facts: Facts) -> list[Finding]:
    """Return the causes that the facts bear out, the likeliest first; at least UNKNOWN."""
    rules = _SIZE if facts.difference.family is Family.SIZE else _CASH
    if facts.difference.family is Family.ENTRY_PRICE:
        rules = _PRICE
    found = [finding for rule in rules for finding in rule(facts)]
    found.sort(key=lambda one: -one.score)
    record = (facts.record,) if facts.record else ()
    unknown = Finding(Cause.UNKNOWN, Decimal("0.1"), "no entry and no record explains it", record)
    return [*found, unknown]


def _missing(facts: Facts) -> Decimal:
    return facts.difference.amount


def _manual(facts: Facts) -> Iterator[Finding]:
    """Something booked by hand is exactly what the venue lacks."""
    by_hand = [line for line in facts.lines if line.cause == "manual" or line.kind == "adjustment"]
    for name in ("amount",) if facts.difference.family is Family.CASH else ("quantity",):
        stated = [(line, getattr(line, name)) for line in by_hand if getattr(line, name) is not None]
        for line, value in stated:
            if value == -_missing(facts):
                yield Finding(
                    Cause.MANUAL_CORRECTION,
                    Decimal("0.97"),
                    "booked by hand, and unknown to the venue",
                    (line.ref,),
                )
                return
        if len(stated) > 1 and sum((value for _, value in stated), ZERO) == -_missing(facts):
            refs = tuple(line.ref for line, _ in stated)
            yield Finding(Cause.MANUAL_CORRECTION, Decimal("0.95"), "booked by hand together", refs)


def _doubled(facts: Facts) -> Iterator[Finding]:
    """Two fills of one size and price at one time, and the venue has one less."""
    fills = [line for line in facts.lines if line.kind == "fill" and line.quantity]
    for index, one in enumerate(fills):
        for other in fills[index + 1 :]:
            twins = (one.quantity, one.price) == (other.quantity, other.price)
            if twins and abs(other.at - one.at) <= SAME_FILL and one.quantity == -_missing(facts):
                yield Finding(
                    Cause.FILL_DOUBLED,
                    Decimal("0.93"),
                    "the same fill under two references",
                    (one.ref, other.ref),
                )
                return


def _lag(facts: Facts) -> Iterator[Finding]:
    """The venue's size is the book's before its newest fills."""
    total, refs = ZERO, []
    for line in reversed(facts.lines):
        if line.quantity is None or line.cause in ("manual", "inferred") or line.kind != "fill":
            continue
        if facts.seen_at - line.at > LAG:
            return
        total += line.quantity
        refs.append(line.ref)
        if total == -_missing(facts):
            yield Finding(
                Cause.VENUE_LAG, Decimal("0.9"), "the report does not count the newest fills yet", tuple(refs)
            )
            return


def _units(facts: Facts) -> Iterator[Finding]:
    """One side counts contracts, the other units: a power of ten between them, or in one fill."""
    ours, theirs = facts.difference.book, facts.difference.venue
    if ours and theirs and _power_of_ten(theirs / ours):
        refs = tuple(line.ref for line in facts.lines[-3:])
        yield Finding(
            Cause.UNIT_MISTAKE, Decimal("0.92"), f"the venue says {theirs / ours:f} times as much", refs
        )
        return
    for line in facts.lines:
        if (
            line.kind == "fill"
            and line.quantity
            and _power_of_ten((line.quantity + _missing(facts)) / line.quantity)
        ):
            yield Finding(
                Cause.UNIT_MISTAKE, Decimal("0.85"), "one fill is off by a power of ten", (line.ref,)
            )
            return


def _power_of_ten(ratio: Decimal) -> bool:
    if ratio <= 0 or ratio == 1:
        return False
    return ratio.normalize().as_tuple().digits == (1,)


def _liquidation(facts: Facts) -> Iterator[Finding]:
    """The venue took (part of) the position off, and the price was at its liquidation price."""
    ours, theirs = facts.difference.book or ZERO, facts.difference.venue or ZERO
    shrunk = ours and abs(theirs) < abs(ours) and ours * theirs >= 0
    if not shrunk or facts.mark is None or facts.liquidation_price is None:
        return
    beyond = (facts.liquidation_price - facts.mark) * (1 if ours > 0 else -1)
    if beyond >= -facts.liquidation_price / 100:
        text = f"the mark {facts.mark:f} reached the liquidation price {facts.liquidation_price:f}"
        yield Finding(Cause.LIQUIDATION_UNSEEN, Decimal("0.9"), text, (facts.record,))


def _chain_gap(facts: Facts) -> Iterator[Finding]:
    """The venue's own sizes before its fills leave a hole of that size."""
    size = None
    gap = ZERO
    refs: list[str] = []
    for line in facts.lines:
        if line.kind != "fill" or line.quantity is None or line.before is None:
            continue
        if size is not None and line.before != size:
            gap += line.before - size
            refs.append(line.ref)
        size = line.before + line.quantity
    if refs and gap == _missing(facts):
        yield Finding(
            Cause.FILL_MISSED, Decimal("0.95"), "the venue's sizes before these fills skip one", tuple(refs)
        )


def _missed(facts: Facts) -> Iterator[Finding]:
    """Agreed once, and now whole steps are missing: a fill that nobody delivered, ours or somebody's."""
    if facts.proven_at is None:
        return
    whole = facts.step is None or not _missing(facts) % facts.step
    if not whole:
        return
    newest = tuple(line.ref for line in facts.lines[-1:]) + ((facts.record,) if facts.record else ())
    traded = any(line.kind == "fill" and facts.proven_at - HOUR <= line.at for line in facts.lines)
    if traded:
        yield Finding(
            Cause.FILL_MISSED, Decimal("0.6"), "it agreed before, and a fill since is unseen", newest
        )
        yield Finding(Cause.PLACED_ELSEWHERE, Decimal("0.4"), "or an order placed elsewhere filled", newest)
    else:
        yield Finding(
            Cause.PLACED_ELSEWHERE, Decimal("0.6"), "nothing traded here, and the venue's size moved", newest
        )
        yield Finding(Cause.FILL_MISSED, Decimal("0.5"), "or a fill since is unseen", newest)


def _opening(facts: Facts) -> Iterator[Finding]:
    """Never agreed: what was held before the first fill that the venue still tells."""
    if facts.proven_at is not None:
        return
    lots = tuple(line.ref for line in facts.lines if line.cause == "opening")
    refs = lots or tuple(line.ref for line in facts.lines[:1])
    text = "the opening lot does not fit" if lots else "held since before the venue's history begins"
    yield Finding(Cause.WRONG_OPENING, Decimal("0.8"), text, (*refs, facts.record) if facts.record else refs)


def _of_sizes(facts: Facts) -> Iterator[Finding]:
    """A leg of the account differs too: its fill moved this cash."""
    if not facts.sizes_agree:
        yield Finding(
            Cause.FILL_MISSED,
            Decimal("0.9"),
            "a leg differs too: its fill moved this cash",
            tuple(facts.size_cases),
        )


def _transfer(facts: Facts) -> Iterator[Finding]:
    """A round amount of at least 1, on legs that agree."""
    amount = abs(_missing(facts))
    if facts.sizes_agree and amount >= 1 and amount == amount.quantize(Decimal("0.01")):
        yield Finding(
            Cause.TRANSFER_UNSEEN, Decimal("0.85"), "a round amount moved, and no leg did", (facts.record,)
        )
    elif facts.sizes_agree and facts.notional is not None and amount > facts.notional / 100:
        yield Finding(
            Cause.TRANSFER_UNSEEN, Decimal("0.6"), "more than funding or fees explain", (facts.record,)
        )


def _funding(facts: Facts) -> Iterator[Finding]:
    """A small amount beside open legs, a funding time after the last proof without its entry."""
    if not facts.sizes_agree or not facts.notional or facts.coin:
        return
    if abs(_missing(facts)) > facts.notional / 200:
        return
    fundings = [line for line in facts.lines if line.kind == "funding"]
    refs = tuple(line.ref for line in fundings[-2:]) or (facts.record,)
    yield Finding(
        Cause.FUNDING_MISSING, Decimal("0.75"), "the size of a funding payment that is not booked", refs
    )


def _fee(facts: Facts) -> Iterator[Finding]:
    """A fill without a fee, or one whose fee is exactly what is off."""
    for line in reversed(facts.lines):
        if line.kind != "fill" or line.quantity is None or line.price is None:
            continue
        notional = abs(line.quantity * line.price)
        free = not line.fee and line.cause not in ("opening", "dust")
        off = -_missing(facts)
        if facts.sizes_agree and free and ZERO < off <= notional / 500:
            yield Finding(
                Cause.FEE_MISSING,
                Decimal("0.88"),
                "this fill has no fee, and the venue took one",
                (line.ref,),
            )
            return


def _dust(facts: Facts) -> Iterator[Finding]:
    """A coin worth less than a dollar is gone from the wallet."""
    gone = facts.coin and not facts.difference.venue and facts.mark is not None
    if gone and abs(_missing(facts)) * (facts.mark or ZERO) < 1:
        yield Finding(Cause.DUST, Decimal("0.9"), "less than 1 USD of it, and all is gone", (facts.record,))


def _opening_balance(facts: Facts) -> Iterator[Finding]:
    lots = tuple(line.ref for line in facts.lines if line.kind == "transfer" and line.cause == "opening")
    if facts.proven_at is None:
        yield Finding(Cause.WRONG_OPENING, Decimal("0.5"), "it never agreed since the opening balance", lots)


def _price_rules(facts: Facts) -> Iterator[Finding]:
    lots = [line for line in facts.lines if line.cause in ("opening", "inferred")]
    if lots:
        text = "a lot whose price was inferred carries the average"
        yield Finding(Cause.WRONG_OPENING, Decimal("0.8"), text, tuple(line.ref for line in lots))


Rule = Callable[[Facts], Iterator[Finding]]
_SIZE: tuple[Rule, ...] = (_manual, _doubled, _lag, _units, _liquidation, _chain_gap, _missed, _opening)
_CASH: tuple[Rule, ...] = (_manual, _of_sizes, _transfer, _funding, _fee, _dust, _opening_balance)
_PRICE: tuple[Rule, ...] = (_manual, _price_rules, _chain_gap)
