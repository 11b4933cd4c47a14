"""The board in memory of one web process: open positions, moved by what the live log says.

Book frames, what venues say of legs, verdicts and prices are applied here without asking anybody: a frame is
absolute, and of each part of a row the newest wins (`version`, `revision`, time). Postgres is asked for what
is not known here (another instrument, account or leg), after a gap, and now and then for everything, as
labels and terms are on no log. Lives in one event loop; a read may end while frames were applied meanwhile.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar, cast

from portfolio.live import board_position, board_reads, rows
from portfolio.live.board_position import (
    UNPRICED,
    BoardPosition,
    Judged,
    Market,
    Owner,
    Price,
    Quoted,
    Row,
    Said,
)
from portfolio.live.board_reads import Leg, Pulse, Read
from portfolio.rollup import AccountSummary
from portfolio.totals_store import PortfolioTotals
from positions.models import OPEN_STATUSES
from reconciliation.models import Verdict

Shared = TypeVar("Shared", Owner, Market)

_FIGURES = ("quantity", "open_cost", "entry_price", "net_pnl")
KEEP_ENDED = 10_000


class RowChange(NamedTuple):
    """A position that is not as it was. `only_price`: nothing else of it moved. `left`: its last row."""

    position: int
    account: int
    only_price: bool
    left: Row | None = None


@dataclass(frozen=True, slots=True)
class _Sums:
    """The fold as a book frame tells it: what a row shows of it."""

    realized_pnl: Decimal
    adjustment_pnl: Decimal
    fees: Mapping[str, Decimal]
    funding: Mapping[str, Decimal]
    fees_value: Decimal
    funding_value: Decimal
    interest_value: Decimal
    unknown_pnl: int
    unknown_fees: int
    incomplete: int

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> _Sums:
        sums = told["sums"]
        return cls(
            realized_pnl=Decimal(told["realized_pnl"]),
            adjustment_pnl=Decimal(told["adjustment_pnl"]),
            fees={name: Decimal(amount) for name, amount in told["fees"].items()},
            funding={name: Decimal(amount) for name, amount in told["funding"].items()},
            fees_value=Decimal(sums["fees_value"]),
            funding_value=Decimal(sums["funding_value"]),
            interest_value=Decimal(sums["interest_value"]),
            unknown_pnl=sums["unknown_pnl"],
            unknown_fees=sums["unknown_fees"],
            incomplete=told["unknown_count"],
        )


class LiveBoard:
    """Open positions by id, and the newest that is known of prices, legs and proofs."""

    def __init__(self) -> None:
        self.environments: tuple[str, ...] = ()
        # Of the last refresh; None: it is too long ago.
        self.account_summaries: list[AccountSummary] | None = None
        self.refreshed: PortfolioTotals | None = None
        self.sequences: dict[int, int] = {}  # of accounts: the last change that is here
        self.changed_at: datetime | None = None  # but for prices
        self._held: dict[int, BoardPosition] = {}
        self._ended: dict[int, int] = {}  # versions with which positions left: older news does not bring back
        self._flat: dict[Leg, tuple[Said, Judged]] = {}  # legs that were held here
        self._touched: set[int] | None = None  # what changed while everything is read
        self._by_instrument: dict[int, set[int]] = {}
        self._prices: dict[int, Price] = {}
        self._quoted: dict[int, Quoted] = {}
        self._owners: dict[int, Owner] = {}
        self._markets: dict[int, Market] = {}
        self._behind: dict[int, int] = {}

    # What is shown ------------------------------------------------------------------------------------------

    def rows(self, accounts: Collection[int] | None = None) -> list[Row]:
        """Return the rows of these accounts, or of all, as they are now."""
        return [board_position.row_of(one, price=self._quote(one)) for one in self._of(accounts)]

    def summed(self, accounts: Collection[int] | None = None) -> list[Row]:
        """Return what totals need of the rows of these accounts, or of all."""
        return [board_position.summed(one, price=self._quote(one)) for one in self._of(accounts)]

    def row(self, position: int) -> Row | None:
        """Return one row, if the position is open."""
        held = self._held.get(position)
        return board_position.row_of(held, price=self._quote(held)) if held else None

    def priced(self, position: int) -> tuple[BoardPosition, Quoted]:
        """Return an open position and the price that it was valued at."""
        held = self._held[position]
        return held, self._quote(held)

    def account_of(self, position: int) -> int | None:
        """Return the account of a position, if it is open."""
        held = self._held.get(position)
        return held.owner.id if held else None

    def keys(self, accounts: Collection[int] | None = None) -> list[int]:
        """Return the open positions of these accounts, or of all."""
        return [one.id for one in self._of(accounts)]

    def _of(self, accounts: Collection[int] | None) -> list[BoardPosition]:
        if accounts is None:
            return list(self._held.values())
        return [one for one in self._held.values() if one.owner.id in accounts]

    def _quote(self, held: BoardPosition) -> Quoted:
        return self._quoted.get(held.market.id, UNPRICED)

    # From Postgres ------------------------------------------------------------------------------------------

    async def refresh(self, *, now: datetime) -> list[RowChange]:
        """Read everything. Raises DatabaseError; then nothing has changed here."""
        self._touched = set()
        try:
            read = await board_reads.everything()
            gone = self._held.keys() - {one.id for one in read.positions} - self._touched
        finally:
            self._touched = None
        self.environments = read.environments
        self._behind.clear()
        return self._take(read, gone=gone, now=now)

    async def refresh_some(
        self, *, positions: Collection[int] = (), accounts: Collection[int] = (), now: datetime
    ) -> list[RowChange]:
        """Read these positions, and all of these accounts. Raises DatabaseError."""
        asked = set(positions) | set(self.keys(accounts))
        before = {key: self._held[key].version for key in asked & self._held.keys()}
        read = await board_reads.some(positions, accounts)
        found = {one.id for one in read.positions}
        gone = [
            key
            for key, version in before.items()
            if key not in found and key in self._held and self._held[key].version == version
        ]
        return self._take(read, gone=gone, now=now)

    async def pulse(self, *, now: datetime) -> tuple[list[RowChange], set[int]]:
        """Take the prices that are in Postgres, and what has grown too old to be believed.

        Returns also the accounts of which the log has told less than was committed, the second time that is
        so: read them. Raises DatabaseError.
        """
        read: Pulse = await board_reads.pulse(list(self._by_instrument))
        changes = self._take_prices(read.prices, now=now) + self._expire(now)
        missed = {
            account
            for account, expected in self._behind.items()
            if self.sequences.get(account, 0) < expected <= read.sequences.get(account, 0)
        }
        self._behind = {
            account: last
            for account, last in read.sequences.items()
            if last > self.sequences.get(account, 0) and account not in missed
        }
        return changes, missed

    def _take(self, read: Read, *, gone: Iterable[int], now: datetime) -> list[RowChange]:
        for account, last in read.sequences.items():
            self.sequences[account] = max(last, self.sequences.get(account, 0))
        changes = [self._remove(key) for key in gone]
        changes += self._take_prices(read.prices, now=now)
        for found in read.positions:
            changes += self._read(found, now)
        return changes

    def _read(self, found: BoardPosition, now: datetime) -> list[RowChange]:
        """A position as Postgres has it, unless a frame has told of a later version."""
        found.owner = _same(self._owners, found.owner)
        found.market = _same(self._markets, found.market)
        held = self._held.get(found.id)
        if held is None:
            return self._put(found, now) if found.version > self._ended.get(found.id, 0) else []
        if found.version < held.version:
            return []
        if held.said.revision > found.said.revision:
            found.said = held.said
        found.judged = max(found.judged, held.judged, key=_newness)
        held.judged = found.judged
        same = (found.version, found.owner, found.market, found.said) == (
            held.version, held.owner, held.market, held.said,
        )  # fmt: skip
        if same and self._proof(held, now) == held.proof:
            return []
        return self._put(found, now)

    # From the live log --------------------------------------------------------------------------------------

    def take_positions(
        self, told: Iterable[Mapping[str, Any]], *, account: int, sequence: int, now: datetime
    ) -> tuple[list[RowChange], set[int]]:
        """Apply the rows of a book frame; returns also the positions that cannot be shown without reading."""
        if sequence == self.sequences.get(account, sequence - 1) + 1:
            self.sequences[account] = sequence
        changes: list[RowChange] = []
        unknown: set[int] = set()
        for one in told:
            key, version = one["id"], one["version"]
            held = self._held.get(key)
            if version <= (held.version if held else self._ended.get(key, 0)):
                continue
            is_open = one["status"] in OPEN_STATUSES
            if held is None and not is_open:
                self._note_end(key, version)  # it was never shown here
                continue
            moved = held or self._known(one)
            if moved is None:
                unknown.add(key)
                continue
            _fold(moved, one)
            changes += self._put(moved, now) if is_open else [self._remove(key)]
        return changes, unknown

    def take_states(
        self, told: Iterable[Mapping[str, Any]], *, account: int, now: datetime
    ) -> list[RowChange]:
        """What the venue says of legs."""
        changes: list[RowChange] = []
        for one in told:
            if one["instrument_id"] is None:
                continue
            leg, said = (account, one["instrument_id"], one["leg"]), board_position.said_of(one)
            if leg in self._flat:
                before, judged = self._flat[leg]
                self._flat[leg] = max(before, said, key=lambda each: each.revision), judged
            for held in self._on(leg):
                if said.revision > held.said.revision:
                    held.said = said
                    changes += self._put(held, now)
        return changes

    def take_verdicts(
        self, told: Iterable[Mapping[str, Any]], *, account: int, now: datetime
    ) -> list[RowChange]:
        """What reconciliation concludes of legs."""
        changes: list[RowChange] = []
        for one in told:
            leg = account, one["instrument_id"], one["leg"]
            as_of = one["as_of"] and datetime.fromisoformat(one["as_of"])
            judged = Judged(one["revision"], one["status"], as_of)
            if leg in self._flat:
                said, before = self._flat[leg]
                self._flat[leg] = said, max(before, judged, key=_newness)
            for held in self._on(leg):
                held.judged = max(held.judged, judged, key=_newness)
                changes += self._put(held, now) if self._proof(held, now) != held.proof else []
        return changes

    def take_marks(self, marks: Iterable[Mapping[str, Any]], *, now: datetime) -> list[RowChange]:
        """Revalue what is held of instruments whose price is newer than the one known."""
        prices: dict[int, Price] = {}
        for mark in marks:
            if mark["at"] is not None:
                price = None if mark["price"] is None else Decimal(mark["price"])
                prices[mark["instrument"]] = price, datetime.fromisoformat(mark["at"])
        return self._take_prices(prices, now=now)

    # Parts --------------------------------------------------------------------------------------------------

    def _take_prices(self, prices: Mapping[int, Price], *, now: datetime) -> list[RowChange]:
        changes: list[RowChange] = []
        for instrument, price in prices.items():
            if self._is_news(instrument, price):
                self._prices[instrument] = price
                changes += self._revalue(instrument, now)
        return changes

    def _is_news(self, instrument: int, told: Price) -> bool:
        """Newer; or of the same time, and told that it is no longer believed."""
        known = self._prices.get(instrument)
        if known is None or told[1] > known[1]:
            return True
        return told[1] == known[1] and told[0] != known[0] and known[0] is not None

    def _revalue(self, instrument: int, now: datetime) -> list[RowChange]:
        quoted = board_position.quoted(rows.believed(self._prices[instrument], now=now))
        self._quoted[instrument] = quoted
        changes = []
        for key in self._by_instrument.get(instrument, ()):
            held = self._held[key]
            risk = held.risk
            board_position.value(held, price=quoted)
            changes.append(RowChange(key, held.owner.id, held.risk == risk))
        return changes

    def _expire(self, now: datetime) -> list[RowChange]:
        """Prices that nobody can believe any more, proofs that have grown old."""
        changes: list[RowChange] = []
        for instrument, price in self._prices.items():
            shown = self._quoted[instrument].mark
            if shown is not None and rows.believed(price, now=now) != price:
                changes += self._revalue(instrument, now)
        for held in list(self._held.values()):
            if self._proof(held, now) != held.proof:
                changes += self._put(held, now)
        return changes

    def _proof(self, held: BoardPosition, now: datetime) -> str:
        return str(Verdict.status_now(cast(Verdict, held.judged), now=now))

    def _on(self, leg: Leg) -> list[BoardPosition]:
        account, instrument, side = leg
        held = [self._held[key] for key in self._by_instrument.get(instrument, ())]
        return [one for one in held if one.owner.id == account and one.leg == side]

    def _known(self, told: Mapping[str, Any]) -> BoardPosition | None:
        """A position that opens on a leg that was held here; else it must be read."""
        leg: Leg = told["account"], told["instrument_id"], told["leg"]
        there = next(((one.said, one.judged) for one in self._on(leg)), self._flat.get(leg))
        if there is None:
            return None
        said, judged = there
        return BoardPosition(
            id=told["id"], version=0, status="", leg=leg[2], quantity=Decimal(0), open_cost=None,
            entry_price=None, net_pnl=Decimal(0), results=(), owner=self._owners[leg[0]],
            market=self._markets[leg[1]], said=said, judged=judged,
        )  # fmt: skip

    def _put(self, one: BoardPosition, now: datetime) -> list[RowChange]:
        """Show a position as it is now."""
        self.changed_at = now
        one.proof = self._proof(one, now)
        board_position.value(one, price=self._quote(one))
        self._held[one.id] = one
        self._by_instrument.setdefault(one.market.id, set()).add(one.id)
        if self._touched is not None:
            self._touched.add(one.id)
        return [RowChange(one.id, one.owner.id, only_price=False)]

    def _remove(self, key: int) -> RowChange:
        """It is flat now, or void, or not in the book any more."""
        one = self._held.pop(key)
        self._by_instrument[one.market.id].discard(key)
        self._flat[one.owner.id, one.market.id, one.leg] = one.said, one.judged
        self._note_end(key, one.version)
        board_position.value(one, price=self._quote(one))
        row = board_position.row_of(one, price=self._quote(one)) | {"open": False}
        return RowChange(key, one.owner.id, only_price=False, left=row)

    def _note_end(self, key: int, version: int) -> None:
        self._ended.pop(key, None)
        self._ended[key] = version
        if len(self._ended) > KEEP_ENDED:
            del self._ended[next(iter(self._ended))]


def _fold(one: BoardPosition, told: Mapping[str, Any]) -> None:
    """Take over the fold's part of a row as a book frame tells it."""
    one.version, one.status = told["version"], told["status"]
    for name in _FIGURES:
        setattr(one, name, None if told[name] is None else Decimal(told[name]))
    one.results = board_position.results_of(_Sums.of(told))


def _newness(judged: Judged) -> tuple[int, float]:
    return judged.revision, judged.as_of.timestamp() if judged.as_of else 0.0


def _same(known: dict[int, Shared], found: Shared) -> Shared:
    """The one that all share, as long as nothing of it changes."""
    if known.get(found.id) != found:
        known[found.id] = found
    return known[found.id]
