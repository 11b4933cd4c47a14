"""Comparing the book with a venue's report: differences by leg and by wallet. Pure; verdicts are others'.

What a report did not observe gives UNKNOWN, never a difference: not observed is not flat, and no balance.
Amounts are in units, price or the wallet's currency; quantities are signed (short is negative); None is
unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from positions.book import plain

ZERO = Decimal(0)
CENT = Decimal("0.01")
CRUMBS = Decimal("0.001")


class DifferenceKind(StrEnum):
    """What differs. BALANCE is a coin in a wallet; EQUITY a par currency: opening + all cash legs; VALUE what
    the account was worth on a past day, by the venue's own history.
    """

    MISSING_IN_BOOK = "missing_in_book"
    MISSING_AT_VENUE = "missing_at_venue"
    QUANTITY = "quantity"
    ENTRY_PRICE = "entry_price"
    BALANCE = "balance"
    EQUITY = "equity"
    LEVERAGE = "leverage"
    MARGIN = "margin"
    LIQUIDATION_PRICE = "liquidation_price"
    REALIZED = "realized"
    UNREALIZED = "unrealized"
    VALUE = "value"


NOTES = (
    DifferenceKind.LEVERAGE,
    DifferenceKind.MARGIN,
    DifferenceKind.LIQUIDATION_PRICE,
    DifferenceKind.REALIZED,
    DifferenceKind.UNREALIZED,
)
"""Recorded and never judged: conventions differ by venue, or the figure is the venue's alone."""

OF_SIZE = (DifferenceKind.MISSING_IN_BOOK, DifferenceKind.MISSING_AT_VENUE, DifferenceKind.QUANTITY)
OF_CASH = (DifferenceKind.BALANCE, DifferenceKind.EQUITY)


class Family(StrEnum):
    """Kinds that turn into each other as a leg trades on: one difference, one case."""

    SIZE = "size"
    ENTRY_PRICE = "entry_price"
    CASH = "cash"
    NOTE = "note"
    VALUE = "value"


def family_of(kind: DifferenceKind) -> Family:
    if kind in OF_SIZE:
        return Family.SIZE
    if kind in OF_CASH:
        return Family.CASH
    if kind is DifferenceKind.VALUE:
        return Family.VALUE
    return Family.ENTRY_PRICE if kind is DifferenceKind.ENTRY_PRICE else Family.NOTE


class LegKey(NamedTuple):
    """One leg of one account: the venue's symbol, and net, long or short."""

    venue_symbol: str
    leg: str


class LegFigures(Protocol):
    """What is judged of a leg: signed quantity in units, average entry price (None: unknown)."""

    @property
    def quantity(self) -> Decimal: ...

    @property
    def entry_price(self) -> Decimal | None: ...


@dataclass(frozen=True, slots=True)
class LegState:
    """A leg as one side has it: the figures that are judged, and those that are only noted."""

    quantity: Decimal
    entry_price: Decimal | None = None
    leverage: Decimal | None = None
    margin: Decimal | None = None
    liquidation_price: Decimal | None = None
    realized: Decimal | None = None
    unrealized: Decimal | None = None


class Tolerance(NamedTuple):
    """What quantities and entry prices of one instrument may differ by before it is a drift.

    Quantity: less than half a step, or no more than `size_share` of the larger side. Entry price: the larger
    of a tick and `entry_price_share` of it; `same_average` False where the venue computes its average by
    another convention (then it is only noted).
    """

    quantity_step: Decimal | None
    price_tick: Decimal | None
    entry_price_share: Decimal = Decimal("0.001")
    size_share: Decimal = ZERO
    same_average: bool = True


class Difference(NamedTuple):
    """One figure of the book beside the venue's; `amount` is venue − book. Only a `drift` is judged."""

    kind: DifferenceKind
    book: Decimal | None
    venue: Decimal | None
    drift: bool = True

    @property
    def amount(self) -> Decimal:
        return (self.venue or ZERO) - (self.book or ZERO)

    @property
    def family(self) -> Family:
        return family_of(self.kind)

    def to_plain(self) -> dict[str, Any]:
        """Return it as JSON types, as certificates and cases keep it."""
        return {
            "kind": self.kind.value,
            "book": None if self.book is None else plain(self.book),
            "venue": None if self.venue is None else plain(self.venue),
            "drift": self.drift,
        }

    @classmethod
    def from_plain(cls, stored: Mapping[str, Any]) -> Difference:
        """Return the difference that `to_plain` wrote."""
        book, venue = stored["book"], stored["venue"]
        return cls(
            DifferenceKind(stored["kind"]),
            None if book is None else Decimal(book),
            None if venue is None else Decimal(venue),
            drift=stored.get("drift", True),
        )

    def same_as(self, other: Difference) -> bool:
        """Return whether a second report shows the same difference.

        A leg that trades on keeps the amount that it is off by.
        """
        if self.kind in OF_SIZE and other.kind in OF_SIZE:
            return self.amount == other.amount
        if self.kind is not other.kind:
            return False
        if self.kind is DifferenceKind.ENTRY_PRICE:
            return (self.amount > 0) is (other.amount > 0)
        # Venues round every movement of cash: what is missing stays the same but for such crumbs.
        return abs(self.amount - other.amount) <= max(abs(self.amount), abs(other.amount)) * CRUMBS


@dataclass(frozen=True, slots=True)
class LegResult:
    """The comparison of one leg. `observed` False: the report does not cover it."""

    key: LegKey
    observed: bool
    differences: tuple[Difference, ...]

    @property
    def drifts(self) -> tuple[Difference, ...]:
        return tuple(one for one in self.differences if one.drift)


def compare(
    *,
    book: Mapping[LegKey, LegState],
    venue: Mapping[LegKey, LegState],
    observed: Iterable[LegKey],
    tolerances: Mapping[str, Tolerance],
) -> list[LegResult]:
    """Return one result for each leg that either side holds or the report proves, in a stable order.

    `observed` names the legs that the report proves, an absent one being flat. Raises KeyError for a venue
    symbol without a tolerance: which units it has is then unknown.
    """
    proven = set(observed)
    keys = sorted(proven | set(book) | set(venue))
    results = []
    for key in keys:
        if key not in proven:
            results.append(LegResult(key, observed=False, differences=()))
            continue
        ours, theirs = book.get(key), venue.get(key)
        found = differences(ours, theirs, tolerances[key.venue_symbol])
        if ours and theirs and ours.quantity and not any(one.drift and one.kind in OF_SIZE for one in found):
            found += _notes(ours, theirs)
        results.append(LegResult(key, observed=True, differences=tuple(found)))
    return results


def differences(book: LegFigures | None, venue: LegFigures | None, tolerance: Tolerance) -> list[Difference]:
    """Return how two views of one leg differ in size and entry price; nothing where both are flat or agree.

    This is the one comparator of book and report: runs, the stream's check and polling differ only in when
    they compare. A drift in size comes alone, as entry prices of different sizes mean nothing.
    """
    ours, theirs = book.quantity if book else ZERO, venue.quantity if venue else ZERO
    found = []
    if ours != theirs:
        size = _size_difference(ours, theirs, tolerance)
        if size.drift:
            return [size]
        found.append(size)
    if book is None or venue is None or not ours or book.entry_price == venue.entry_price:
        return found
    price = _entry_price_difference(book.entry_price, venue.entry_price, tolerance)
    if price is not None:
        found.append(price)
    return found


def _size_difference(ours: Decimal, theirs: Decimal, tolerance: Tolerance) -> Difference:
    kind = DifferenceKind.QUANTITY
    if not ours:
        kind = DifferenceKind.MISSING_IN_BOOK
    elif not theirs:
        kind = DifferenceKind.MISSING_AT_VENUE
    off = abs(theirs - ours)
    enough = off >= (tolerance.quantity_step or ZERO) / 2
    drift = enough and off > tolerance.size_share * max(abs(ours), abs(theirs))
    return Difference(kind, ours, theirs, drift=drift)


def _entry_price_difference(
    ours: Decimal | None, theirs: Decimal | None, tolerance: Tolerance
) -> Difference | None:
    """Return a difference from one tick on, as venues round to it: a drift beyond the tolerance."""
    if ours is None or theirs is None:
        return None
    tick = tolerance.price_tick or ZERO
    off = abs(theirs - ours)
    if off <= tick:
        return None
    # Beyond a tick, so only the share can still allow it.
    drift = tolerance.same_average and off > abs(ours) * tolerance.entry_price_share
    return Difference(DifferenceKind.ENTRY_PRICE, ours, theirs, drift)


_NOTED = {
    DifferenceKind.LEVERAGE: "leverage",
    DifferenceKind.MARGIN: "margin",
    DifferenceKind.LIQUIDATION_PRICE: "liquidation_price",
    DifferenceKind.REALIZED: "realized",
    DifferenceKind.UNREALIZED: "unrealized",
}
_WORTH_A_NOTE = Decimal("0.001")


def _notes(book: LegState, venue: LegState) -> Iterator[Difference]:
    """Figures that both sides know and that differ by more than a thousandth."""
    for kind, name in _NOTED.items():
        ours, theirs = getattr(book, name), getattr(venue, name)
        if ours is None or theirs is None:
            continue
        if abs(theirs - ours) > max(abs(ours), abs(theirs)) * _WORTH_A_NOTE:
            yield Difference(kind, ours, theirs, drift=False)


# Wallets ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WalletKey:
    """One currency or coin of one wallet."""

    wallet: str
    asset: str


@dataclass(frozen=True, slots=True)
class WalletState:
    """What the entries since T0 add up to, and how many of them have an unknown amount."""

    amount: Decimal
    unknown: int = 0


@dataclass(frozen=True, slots=True)
class WalletTolerance:
    """What balances of an asset may differ by: its precision, and the USD price of a unit (None: unknown)."""

    precision: Decimal | None = None
    usd_price: Decimal | None = None
    par: bool = False

    @property
    def allowed(self) -> Decimal:
        """Return 0.01 USD worth of it, or its precision where that is more; 0 where neither is known."""
        price = Decimal(1) if self.par else self.usd_price
        return max(self.precision or ZERO, CENT / price if price else ZERO)


@dataclass(frozen=True, slots=True)
class WalletResult:
    """The comparison of one balance. `unknown` entries leave the book's sum incomplete, so prove nothing."""

    key: WalletKey
    observed: bool
    differences: tuple[Difference, ...]
    unknown: int = 0
    book: Decimal = ZERO
    allowed: Decimal = CENT

    @property
    def provable(self) -> bool:
        return self.observed and not self.unknown

    @property
    def drifts(self) -> tuple[Difference, ...]:
        return tuple(one for one in self.differences if one.drift) if self.provable else ()


def compare_balances(
    *,
    book: Mapping[WalletKey, WalletState],
    venue: Mapping[WalletKey, Decimal | None],
    complete: bool,
    tolerances: Mapping[str, WalletTolerance],
) -> list[WalletResult]:
    """Compare each balance by the equity identity: opening at T0 + Σ cash legs since = the venue's balance.

    `venue` has what the report states (None: unknown); an absent one is zero only in a `complete` report.
    The account's T0 must be fixed: before that nothing says what a wallet began with.
    """
    keys = sorted({*book, *venue}, key=lambda key: (key.wallet, key.asset))
    results = []
    for key in keys:
        stated = venue.get(key, ZERO if complete else None)
        ours = book.get(key, WalletState(ZERO))
        found: tuple[Difference, ...] = ()
        tolerance = tolerances.get(key.asset, WalletTolerance())
        if stated is not None and stated != ours.amount:
            kind = DifferenceKind.EQUITY if tolerance.par else DifferenceKind.BALANCE
            off = abs(stated - ours.amount)
            found = (Difference(kind, ours.amount, stated, drift=off >= tolerance.allowed),)
        results.append(
            WalletResult(key, stated is not None, found, ours.unknown, ours.amount, tolerance.allowed)
        )
    return results
