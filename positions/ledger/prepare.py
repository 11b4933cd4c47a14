"""What happens to a batch before the lock: parse, resolve names, fix par values, set offenders aside."""

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
from positions.ledger.instruments import Catalogue
from positions.models import Account, QuarantineReason

FUTURE = timedelta(minutes=5)  # clocks differ; a fact further ahead is a mistake
PAR_WINDOW = timedelta(seconds=60)
LIMIT = Decimal(10) ** 20  # what numeric(38,18) can hold
MAX_NAME = 40  # characters of a wallet's name


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
        """Return the batch with indexes that count from the beginning of an earlier batch."""
        return PreparedBatch(
            entries=[(index + by, entry) for index, entry in self.entries],
            offenders=[replace(offender, index=offender.index + by) for offender in self.offenders],
        )


def prepare(
    *,
    account: Account,
    entries: Sequence[Entry | Mapping[str, str]],
    catalogue: Catalogue,
    par: frozenset[str],
    now: datetime,
) -> PreparedBatch:
    """Parse, check and complete a batch; nothing is written. An entry may come in its plain form.

    `par` are the par currencies.
    """
    offenders: list[Offender] = []
    parsed: list[tuple[int, Entry]] = []
    for index, given in enumerate(entries):
        try:
            parsed.append((index, given if isinstance(given, Entry) else Entry.from_plain(given)))
        except InvalidEntry as error:
            offenders.append(_unreadable(index, given, error))
    catalogue.load_for((entry for _, entry in parsed), par=par)
    bookable = []
    for index, entry in parsed:
        problem = _problem(entry, catalogue, par, now)
        if problem is None:
            bookable.append((index, entry))
        else:
            reason, detail = problem
            offenders.append(Offender(index, entry.venue_ref, reason, detail, payload(entry)))
    lacking = {index: values for index, entry in bookable if (values := _lacking(entry, catalogue, par))}
    if lacking:
        bookable = _with_par_values(bookable, lacking, offenders, account=account)
    return PreparedBatch(bookable, offenders)


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


def _problem(
    entry: Entry, catalogue: Catalogue, par: frozenset[str], now: datetime
) -> tuple[QuarantineReason, str] | None:
    """Return why an entry cannot be booked; None if it can."""
    reference = entry.venue_ref
    if entry.time > now + FUTURE:
        return QuarantineReason.FUTURE, f"{reference}: {entry.time.isoformat()} lies in the future"
    if (wrong := _unwritable(entry)) is not None:
        return QuarantineReason.INVALID, f"{reference}: {wrong}"
    if entry.kind in TARGETED_KINDS and (wrong := _undoes_replacement(entry)) is not None:
        return QuarantineReason.INVALID, f"{reference}: {wrong}"
    contract = None
    if entry.instrument is not None:
        market = catalogue.instrument(entry.instrument)
        if market is None:
            detail = f"{reference}: the venue's list has no instrument {entry.instrument}"
            return QuarantineReason.UNKNOWN_INSTRUMENT, detail
        contract = market.contract
    currency = _unknown_currency(entry, contract, catalogue, par)
    if currency is not None:
        detail = f"{reference}: the venue's list has no currency {currency}"
        return QuarantineReason.UNKNOWN_CURRENCY, detail
    if contract is None or entry.quantity is None or entry.price is None:
        return None
    if abs(contract.notional(entry.quantity, entry.price)) >= LIMIT:
        return QuarantineReason.INVALID, f"{reference}: quantity × price is too large to be true"
    return None


def _unwritable(entry: Entry) -> str | None:
    """Return what Postgres could not keep as text."""
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
    """Return why the book's own bust may not be busted or amended: a trade would then count twice."""
    fill = replacing_fill(entry.target or "")
    if fill is None:
        return None
    return f"{entry.target} was booked because {fill} arrived; if that is wrong, bust {fill}"


def _unknown_currency(
    entry: Entry, contract: Contract | None, catalogue: Catalogue, par: frozenset[str]
) -> str | None:
    """Return the first currency of an entry that the venue's list does not have."""
    names = [entry.currency, entry.fee_currency]
    if contract is not None and contract.kind is ContractKind.SPOT:
        names += [contract.base, contract.quote]
    settle = contract.settle if contract is not None else None
    for name in names:
        if name is not None and name not in par and name != settle and catalogue.coin(name) is None:
            return name
    return None


ParAmount = tuple[str, str, Decimal]
"""A par value that an entry lacks: the coin, the entry's field (par, fee_par), the amount of the coin."""


def _with_par_values(
    entries: list[tuple[int, Entry]],
    lacking: Mapping[int, list[ParAmount]],
    offenders: list[Offender],
    *,
    account: Account,
) -> list[tuple[int, Entry]]:
    """Return the entries with their par values, from marks within 60 s of the entry's time.

    An entry that its par value makes invalid is added to the offenders.
    """
    coins = {coin for amounts in lacking.values() for coin, _, _ in amounts}
    prices = coin_prices(world=account.world, coins=coins)
    completed = []
    for index, entry in entries:
        values: dict[str, ParValue] = {}
        for coin, name, amount in lacking.get(index, ()):
            price = prices.get(coin)
            if price is not None and abs(price.at - entry.time) <= PAR_WINDOW:
                worth = rounded(multiply(amount.copy_abs(), price.price))
                values[name] = ParValue(amount=worth, source=price.source, time=price.at)
        try:
            completed.append((index, replace(entry, **values) if values else entry))  # type: ignore[arg-type]
        except InvalidEntry as error:
            invalid = QuarantineReason.INVALID
            offenders.append(Offender(index, entry.venue_ref, invalid, str(error), payload(entry)))
    return completed


def _lacking(entry: Entry, catalogue: Catalogue, par: frozenset[str]) -> list[ParAmount]:
    """Return the par values that an entry needs and does not carry."""
    if entry.kind in TARGETED_KINDS:
        return []
    market = catalogue.instrument(entry.instrument) if entry.instrument else None
    contract = market.contract if market else None
    pair = contract if contract is not None and contract.kind is ContractKind.SPOT else None
    own = {pair.base, pair.quote} if pair else {contract.settle} if contract else set()
    lacking = []
    if entry.par is None and entry.amount and entry.currency not in par and entry.currency not in own:
        lacking.append((entry.currency or "", "par", entry.amount))
    if pair and pair.quote not in par and entry.par is None and entry.price and entry.quantity:
        lacking.append((pair.quote, "par", pair.notional(entry.quantity, entry.price)))
    if entry.fee_par is None and entry.fee and entry.fee_currency not in {*par, *own}:
        lacking.append((entry.fee_currency or "", "fee_par", entry.fee))
    return lacking
