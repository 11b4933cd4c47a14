"""Why a balance may differ: the rules for cash. Pure; see diagnose.py."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal

from reconciliation.rules.causes import ZERO, DriftCause, DriftEntry, DriftRecord, Finding, finding_of

CENT = Decimal("0.01")
# No venue takes more of a trade; and this near to the rate of other fills a fee is recognised.
HIGHEST_FEE = Decimal("0.002")
SAME_RATE = Decimal("0.02")
# Of the notional, in one payment: usual, and conceivable.
USUAL_FUNDING, HIGH_FUNDING = Decimal("0.0005"), Decimal("0.005")
MANY_TIMES = 5


def of_sizes(facts: DriftRecord) -> Iterator[Finding]:
    """A leg of the account differs too: what happened to it moved this cash."""
    for cause, name in facts.of_legs[:1]:
        text = "a leg differs too: what happened to it moved this cash"
        yield finding_of(DriftCause(cause), "0.93", text, name)


def between_wallets(facts: DriftRecord) -> Iterator[Finding]:
    """Another wallet has just what this one lacks."""
    for other in facts.others:
        if other.amount == -facts.missing:
            text = f"{other.name} differs by the same amount the other way"
            yield finding_of(DriftCause.TRANSFER_UNSEEN, "0.95", text, facts.record)


def transfer(facts: DriftRecord) -> Iterator[Finding]:
    """A round amount, or more than legs and their funding explain."""
    amount = abs(facts.missing)
    if facts.of_legs:
        return
    if facts.coin:
        yield finding_of(
            DriftCause.TRANSFER_UNSEEN, "0.7", "a coin moved, and nothing was traded", facts.record
        )
    elif amount >= 1 and amount == amount.quantize(CENT):
        yield finding_of(
            DriftCause.TRANSFER_UNSEEN, "0.85", "a round amount moved, and no leg did", facts.record
        )
    elif amount >= 1 and amount > _most_funding(facts):
        yield finding_of(DriftCause.TRANSFER_UNSEEN, "0.7", "more than funding or fees explain", facts.record)


def _payments(facts: DriftRecord) -> dict[object, list[DriftEntry]]:
    """Funding entries by their time: what one payment was."""
    rounds: dict[object, list[DriftEntry]] = defaultdict(list)
    for line in facts.lines:
        if line.kind == "funding" and line.amount is not None:
            rounds[line.at].append(line)
    return rounds


def _most_funding(facts: DriftRecord) -> Decimal:
    """The most that one payment can plausibly be: a few times the largest known, else a share of the legs."""
    known = [sum((abs(line.amount or ZERO) for line in one), ZERO) for one in _payments(facts).values()]
    share = (facts.notional or ZERO) * HIGH_FUNDING
    return min(share, max(known) * MANY_TIMES) if known else share


def funding(facts: DriftRecord) -> Iterator[Finding]:
    """A leg went without its part of a payment; or the size of a payment is missing beside open legs."""
    if facts.of_legs or facts.coin or not facts.notional:
        return
    amount = abs(facts.missing)
    rounds = _payments(facts)
    if rounds:
        last = rounds[max(rounds, key=str)]
        told = {line.symbol for line in last}
        left_out = [symbol for symbol in facts.legs if symbol not in told]
        if left_out and all(facts.is_new(line) for line in last) and amount <= _most_funding(facts):
            text = f"{', '.join(left_out)} went without the funding that other legs had"
            yield finding_of(DriftCause.FUNDING_MISSING, "0.92", text, *(line.ref for line in last))
            return
    refs = [line.ref for one in rounds.values() for line in one][-2:] or [facts.record]
    if amount <= min(facts.notional * USUAL_FUNDING, _most_funding(facts)):
        text = "the size of a funding payment that is not booked"
        yield finding_of(DriftCause.FUNDING_MISSING, "0.8", text, *refs)
    elif amount <= facts.notional * HIGH_FUNDING:
        yield finding_of(DriftCause.FUNDING_MISSING, "0.5", "it could be a high funding payment", *refs)


def fee(facts: DriftRecord) -> Iterator[Finding]:
    """A new fill without a fee, and what the venue took is one of it, at the rate of other fills or less."""
    taken = -facts.missing
    if facts.of_legs or taken <= 0:
        return
    rates = [_rate(line, line.fee) for line in facts.lines if line.kind == "fill" and line.fee]
    for line in reversed(facts.suspects()):
        if line.kind != "fill" or line.fee or line.cause in ("opening", "dust") or not line.quantity:
            continue
        rate = _rate(line, taken)
        if rate is None or rate > HIGHEST_FEE:
            continue
        usual = any(known and abs(rate - known) <= known * SAME_RATE for known in rates)
        text = "this fill has no fee, and the venue took one"
        yield finding_of(DriftCause.FEE_MISSING, "0.96" if usual else "0.88", text, line.ref)
        return


def _rate(line: DriftEntry, taken: Decimal | None) -> Decimal | None:
    if line.quantity is None or not line.price or taken is None:
        return None
    notional = abs(line.quantity * line.price)
    return taken / notional if notional else None


def dust(facts: DriftRecord) -> Iterator[Finding]:
    """A coin worth less than a dollar is gone; or the wallet has what such a coin was worth."""
    price = facts.mark
    if facts.coin and not facts.difference.venue and price and abs(facts.missing) * price < 1:
        yield finding_of(DriftCause.DUST, "0.9", "less than 1 USD of it, and all is gone", facts.record)
    for other in facts.others if not facts.coin else ():
        if other.left or other.usd_price is None or facts.missing <= 0 or other.amount >= 0:
            continue
        worth = -other.amount * other.usd_price
        if worth < 1 and abs(worth - facts.missing) <= max(worth / 20, CENT):
            text = f"what {other.name} was worth came, and that is gone"
            yield finding_of(DriftCause.DUST, "0.9", text, facts.record)


def opening_overlap(facts: DriftRecord) -> Iterator[Finding]:
    """What is off is, to the cent, the sum of the facts next to the opening balance."""
    found = facts.overlap
    if found is None:
        return
    if found.twice:
        text = "counted twice: in the opening balance and as facts a moment after it"
        yield finding_of(DriftCause.COUNTED_TWICE, "0.97", text, *found.refs)
    else:
        text = "in neither: the opening balance does not have the facts a moment before it yet"
        yield finding_of(DriftCause.WRONG_OPENING, "0.97", text, *found.refs)


def opening_balance(facts: DriftRecord) -> Iterator[Finding]:
    """Nothing ever agreed since the opening balance was booked."""
    if facts.proven_at is None:
        lots = (line.ref for line in facts.lines if line.kind == "transfer" and line.cause == "opening")
        text = "it never agreed since the opening balance"
        yield finding_of(DriftCause.WRONG_OPENING, "0.55", text, *lots)


RULES = (opening_overlap, of_sizes, between_wallets, transfer, funding, fee, dust, opening_balance)
