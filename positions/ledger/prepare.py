"""Before the lock: entries parsed, their names resolved, their par values fixed, offenders set aside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

import orjson

from positions.book import Contract, ContractKind, Entry, InvalidEntry, ParValue
from positions.book.entries import TARGETED_KINDS
from positions.book.money import multiply, rounded
from positions.ledger.coin_prices import coin_prices
from positions.ledger.hash_chain import canonical, replacing_fill
from positions.ledger.instruments import Catalogue, par_currencies
from positions.models import Account, QuarantineReason

FUTURE = timedelta(minutes=5)  # clocks differ; a fact further ahead is a mistake
PAR_WINDOW = timedelta(seconds=60)
LIMIT = Decimal(10) ** 20  # what numeric(38,18) can hold
MAX_NAME = 40


@dataclass(frozen=True, slots=True)
class Offender:
    """An entry that is not booked: why, and its payload."""

    index: int
    venue_ref: str
    reason: QuarantineReason
    detail: str
    content: str
    conflicts_with: str | None = None


@dataclass(slots=True)
class PreparedBatch:
    """What may be booked, by index, and what may not."""

    entries: list[tuple[int, Entry]] = field(default_factory=list)
    offenders: list[Offender] = field(default_factory=list)

    def shifted(self, by: int) -> PreparedBatch:
        """Return the same with indexes that count from an earlier batch's beginning."""
        return PreparedBatch(
            entries=[(index + by, entry) for index, entry in self.entries],
            offenders=[replace(offender, index=offender.index + by) for offender in self.offenders],
        )


def prepare(
    *, account: Account, entries: Sequence[Entry | Mapping[str, str]], catalogue: Catalogue, now: datetime
) -> PreparedBatch:
    """Parse, check and complete a batch; nothing is written. An entry may come in its plain form."""
    prepared = PreparedBatch()
    for index, given in enumerate(entries):
        try:
            entry = given if isinstance(given, Entry) else Entry.from_plain(given)
        except InvalidEntry as error:
            prepared.offenders.append(_unreadable(index, given, error))
        else:
            prepared.entries.append((index, entry))
    catalogue.load_for((entry for _, entry in prepared.entries), par=par_currencies())
    good = []
    for index, entry in prepared.entries:
        problem = _problem(entry, catalogue, now)
        if problem is None:
            good.append((index, entry))
        else:
            reason, detail = problem
            prepared.offenders.append(Offender(index, entry.venue_ref, reason, detail, payload(entry)))
    prepared.entries = _with_par(good, prepared.offenders, account=account, catalogue=catalogue)
    return prepared


def payload(entry: Entry) -> str:
    """Return the content of an entry, also of one whose text no database can hold."""
    try:
        return canonical(entry)
    except TypeError:
        return repr(entry.to_plain())


def _unreadable(index: int, given: object, error: InvalidEntry) -> Offender:
    options = orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS
    try:
        content = orjson.dumps(given, default=str, option=options).decode()
    except TypeError:
        content = repr(given)
    return Offender(index, error.entry or f"row {index}", QuarantineReason.INVALID, str(error), content)


def _problem(entry: Entry, catalogue: Catalogue, now: datetime) -> tuple[QuarantineReason, str] | None:
    if entry.time > now + FUTURE:
        return QuarantineReason.FUTURE, f"{entry.venue_ref}: {entry.time.isoformat()} lies in the future"
    if (wrong := _unwritable(entry) or _undoes_replacement(entry)) is not None:
        return QuarantineReason.INVALID, f"{entry.venue_ref}: {wrong}"
    contract = None
    if entry.instrument is not None:
        market = catalogue.instrument(entry.instrument)
        if market is None:
            detail = f"{entry.venue_ref}: the venue's list has no instrument {entry.instrument}"
            return QuarantineReason.UNKNOWN_INSTRUMENT, detail
        contract = market.contract
    unknown = _unknown_currency(entry, contract, catalogue)
    if unknown is not None:
        return (
            QuarantineReason.UNKNOWN_CURRENCY,
            f"{entry.venue_ref}: the venue's list has no currency {unknown}",
        )
    if (
        contract is not None
        and entry.quantity is not None
        and entry.price is not None
        and abs(contract.notional(entry.quantity, entry.price)) >= LIMIT
    ):
        return QuarantineReason.INVALID, f"{entry.venue_ref}: quantity × price is too large to be true"
    return None


def _unwritable(entry: Entry) -> str | None:
    """What Postgres could not keep as text."""
    for name in ("venue_ref", "instrument", "wallet", "reason", "target"):
        text: str | None = getattr(entry, name)
        if text and not text.isprintable() and ("\0" in text or not _is_unicode(text)):
            return f"{name} is no text"
    if entry.wallet and len(entry.wallet) > MAX_NAME:
        return f"wallet has more than {MAX_NAME} letters"
    return None


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _undoes_replacement(entry: Entry) -> str | None:
    """The book's own bust stands as long as it exists: without it a trade would count twice."""
    fill = replacing_fill(entry.target or "") if entry.kind in TARGETED_KINDS else None
    if fill is None:
        return None
    return f"{entry.target} was booked because {fill} arrived; if that is wrong, bust {fill}"


def _unknown_currency(entry: Entry, contract: Contract | None, catalogue: Catalogue) -> str | None:
    par = par_currencies()
    named = [entry.currency, entry.fee_currency]
    if contract is not None and contract.kind is ContractKind.SPOT:
        named += [contract.base, contract.quote]
    own = {contract.settle} if contract is not None else set()
    for name in named:
        if name is not None and name not in par and name not in own and catalogue.coin(name) is None:
            return name
    return None


def _with_par(
    entries: list[tuple[int, Entry]], offenders: list[Offender], *, account: Account, catalogue: Catalogue
) -> list[tuple[int, Entry]]:
    """Fix par values: what amounts in other currencies were worth, from marks within 60 s of their time."""
    needs = {index: wanted for index, entry in entries if (wanted := _needs(entry, catalogue))}
    if not needs:
        return entries
    coins = {coin for wanted in needs.values() for coin, _, _ in wanted}
    prices = coin_prices(world=account.world, coins=coins)
    done = []
    for index, entry in entries:
        values: dict[str, ParValue] = {}
        for coin, name, amount in needs.get(index, ()):
            price = prices.get(coin)
            if price is not None and abs(price.at - entry.time) <= PAR_WINDOW:
                worth = rounded(multiply(amount.copy_abs(), price.price))
                values[name] = ParValue(amount=worth, source=price.source, time=price.at)
        try:
            done.append((index, replace(entry, **values) if values else entry))  # type: ignore[arg-type]
        except InvalidEntry as error:
            invalid = QuarantineReason.INVALID
            offenders.append(Offender(index, entry.venue_ref, invalid, str(error), payload(entry)))
    return done


def _needs(entry: Entry, catalogue: Catalogue) -> list[tuple[str, str, Decimal]]:
    """Which par values an entry lacks: (coin, field, amount of the coin)."""
    if entry.kind in TARGETED_KINDS:
        return []
    par = par_currencies()
    market = catalogue.instrument(entry.instrument) if entry.instrument else None
    contract = market.contract if market else None
    spot = contract is not None and contract.kind is ContractKind.SPOT
    own = {contract.base, contract.quote} if spot and contract else {contract.settle} if contract else set()
    found = []
    if entry.par is None and entry.amount and entry.currency not in par and entry.currency not in own:
        found.append((entry.currency or "", "par", entry.amount))
    if (
        entry.par is None
        and spot
        and contract
        and contract.quote not in par
        and entry.price
        and entry.quantity
    ):
        found.append((contract.quote, "par", contract.notional(entry.quantity, entry.price)))
    if entry.fee_par is None and entry.fee and entry.fee_currency not in {*par, *own}:
        found.append((entry.fee_currency or "", "fee_par", entry.fee))
    return found
