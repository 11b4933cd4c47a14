"""The board in memory of one web process: open positions, kept up to date from the live log.

Book frames, venues' states of legs, verdicts and prices are applied here without a query: a frame is
absolute, and of each part of a row the newest wins (`version`, `revision`, time). Postgres is read for what
is not known here (another instrument, account or leg), after a gap, and now and then for everything, as
labels and contract terms are on no log. The board lives in one event loop; frames may be applied while a read
is under way.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar, cast

from portfolio.live import board_position, board_reads, rows
from portfolio.live.board_position import (
    UNPRICED,
    BoardAccount,
    BoardMarket,
    BoardPosition,
    BoardPrice,
    LegVerdict,
    PriceAt,
    Row,
    VenueTerms,
)
from portfolio.live.board_reads import BookExtract, Leg
from portfolio.live.frame_rows import apply_frame_row, newness, prices_of
from portfolio.rollup import AccountSummary
from portfolio.totals.totals_store import PortfolioTotals
from positions.models import OPEN_STATUSES
from reconciliation.models import Verdict

Shared = TypeVar("Shared", BoardAccount, BoardMarket)

KEEP_ENDED = 10_000


class RowChange(NamedTuple):
    """A position that changed. `only_price`: only its price moved. `left`: its last row, if it left."""

    position: int
    account: int
    only_price: bool
    left: Row | None = None


class LiveBoard:
    """Open positions by id, and the newest that is known of prices, legs and proofs."""

    def __init__(self) -> None:
        self.environments: tuple[str, ...] = ()
        # Of the last refresh; None: it is too long ago.
        self.account_summaries: list[AccountSummary] | None = None
        self.refreshed: PortfolioTotals | None = None
        self.sequences: dict[int, int] = {}  # of accounts: the last change that is here
        self.changed_at: datetime | None = None  # but for prices
        self._open: dict[int, BoardPosition] = {}
        self._ended: dict[int, int] = {}  # id → version with which it left: older news does not bring it back
        self._flat_legs: dict[Leg, tuple[VenueTerms, LegVerdict]] = {}  # legs that were open here
        self._touched: set[int] | None = None  # what changed while everything is read
        self._by_instrument: dict[int, set[int]] = {}
        self._prices: dict[int, PriceAt] = {}
        self._board_prices: dict[int, BoardPrice] = {}
        self._accounts: dict[int, BoardAccount] = {}
        self._markets: dict[int, BoardMarket] = {}
        self._behind: dict[int, int] = {}
        self._feeds: dict[int, str] = {}  # of accounts

    # What is shown ------------------------------------------------------------------------------------------

    def rows(self, accounts: Collection[int] | None = None) -> list[Row]:
        """Return the rows of these accounts, or of all, as they are now."""
        return [board_position.row_of(one, price=self._price(one)) for one in self._of(accounts)]

    def totals_rows(self, accounts: Collection[int] | None = None) -> list[Row]:
        """Return what totals need of the rows of these accounts, or of all."""
        rates = {} if self.refreshed is None else self.refreshed.conversions
        found = [board_position.totals_row(one, price=self._price(one)) for one in self._of(accounts)]
        return [rows.converted(row, rates) for row in found]

    def row(self, key: int) -> Row | None:
        """Return one row, if the position is open."""
        position = self._open.get(key)
        return board_position.row_of(position, price=self._price(position)) if position else None

    def priced(self, key: int) -> tuple[BoardPosition, BoardPrice]:
        """Return an open position and the price that it was valued at."""
        position = self._open[key]
        return position, self._price(position)

    def account_of(self, key: int) -> int | None:
        """Return the account of a position, if it is open."""
        position = self._open.get(key)
        return position.account.id if position else None

    def accounts(self) -> dict[int, bool]:
        """Return the accounts that have or had open positions: {id: it is kept by hand}."""
        return {account.id: account.is_by_hand for account in self._accounts.values()}

    def keys(self, accounts: Collection[int] | None = None) -> list[int]:
        """Return the open positions of these accounts, or of all."""
        return [one.id for one in self._of(accounts)]

    def _of(self, accounts: Collection[int] | None) -> list[BoardPosition]:
        if accounts is None:
            return list(self._open.values())
        return [one for one in self._open.values() if one.account.id in accounts]

    def _price(self, position: BoardPosition) -> BoardPrice:
        return self._board_prices.get(position.market.id, UNPRICED)

    # From Postgres ------------------------------------------------------------------------------------------

    async def refresh(self, *, now: datetime) -> list[RowChange]:
        """Read everything. Raises DatabaseError; then nothing has changed here.

        What Postgres has wins over what frames have said before, whatever version they gave: whoever can
        write into Redis could otherwise keep a false row on the screen. Only what frames brought while
        everything was read is newer.
        """
        self._touched, sequences = set(), dict(self.sequences)
        try:
            extract = await board_reads.everything()
            touched = frozenset(self._touched)
        finally:
            self._touched = None
        gone = self._open.keys() - {one.id for one in extract.positions} - touched
        for account, last in extract.sequences.items():
            if self.sequences.get(account) == sequences.get(account):
                self.sequences[account] = last
        self.environments = extract.environments
        self._behind.clear()
        return self._take(extract, gone=gone, now=now, newer=touched)

    async def refresh_some(
        self, *, positions: Collection[int] = (), accounts: Collection[int] = (), now: datetime
    ) -> list[RowChange]:
        """Read these positions, and all of these accounts. Raises DatabaseError."""
        wanted = set(positions) | set(self.keys(accounts))
        before = {key: self._open[key].version for key in wanted & self._open.keys()}
        extract = await board_reads.some(positions, accounts)
        still_open = {one.id for one in extract.positions}
        gone = [
            key
            for key, version in before.items()
            if key not in still_open and key in self._open and self._open[key].version == version
        ]
        return self._take(extract, gone=gone, now=now)

    async def check_postgres(self, *, now: datetime) -> tuple[list[RowChange], set[int]]:
        """Take the marks that are in Postgres, and expire what has grown too old to be believed.

        Returns also the accounts to read: those whose last committed change was missing from the log twice in
        a row. Raises DatabaseError.
        """
        newest = await board_reads.heads_and_marks(list(self._by_instrument))
        changes = self._take_prices(newest.prices, now=now) + self._expire(now)
        missed = {
            account
            for account, expected in self._behind.items()
            if self.sequences.get(account, 0) < expected <= newest.sequences.get(account, 0)
        }
        self._behind = {
            account: last
            for account, last in newest.sequences.items()
            if last > self.sequences.get(account, 0) and account not in missed
        }
        return changes, missed

    def _take(
        self,
        extract: BookExtract,
        *,
        gone: Iterable[int],
        now: datetime,
        newer: Collection[int] | None = None,
    ) -> list[RowChange]:
        """Take what was read; of a full read Postgres wins, except over what frames made `newer`."""
        for account, last in extract.sequences.items():
            self.sequences[account] = max(last, self.sequences.get(account, 0))
        changes = [self._remove(key) for key in gone] + self.take_feeds(extract.feeds, now=now)
        changes += self._take_prices(extract.prices, now=now)
        for position in extract.positions:
            wins = newer is not None and position.id not in newer
            changes += self._take_from_postgres(position, now, wins=wins)
        return changes

    def _take_from_postgres(self, position: BoardPosition, now: datetime, *, wins: bool) -> list[RowChange]:
        """Take a position as Postgres has it: if that `wins`, or no frame has brought a later version."""
        position.account = _shared(self._accounts, position.account)
        position.market = _shared(self._markets, position.market)
        known = self._open.get(position.id)
        if known is None:
            is_news = wins or position.version > self._ended.get(position.id, 0)
            return self._put(position, now) if is_news else []
        if not wins:
            if position.version < known.version:
                return []
            if known.terms.revision > position.terms.revision:
                position.terms = known.terms
            position.verdict = max(position.verdict, known.verdict, key=newness)
        known.verdict = position.verdict
        if _shown(position) == _shown(known) and not self._proof_moved(known, now):
            return []
        return self._put(position, now)

    # From the live log --------------------------------------------------------------------------------------

    def take_positions(
        self, frame_rows: Iterable[Mapping[str, Any]], *, account: int, sequence: int, now: datetime
    ) -> tuple[list[RowChange], set[int]]:
        """Apply the rows of a book frame; returns also the positions that cannot be shown without reading."""
        if sequence == self.sequences.get(account, sequence - 1) + 1:
            self.sequences[account] = sequence
        changes: list[RowChange] = []
        unknown: set[int] = set()
        for row in frame_rows:
            key, version = row["id"], row["version"]
            known = self._open.get(key)
            if version <= (known.version if known else self._ended.get(key, 0)):
                continue
            is_open = row["status"] in OPEN_STATUSES
            if known is None and not is_open:
                self._note_end(key, version)  # it was never shown here
                continue
            position = known or self._opened_on_known_leg(row)
            if position is None:
                unknown.add(key)
                continue
            apply_frame_row(position, row)
            changes += self._put(position, now) if is_open else [self._remove(key)]
        return changes, unknown

    def take_states(
        self, states: Iterable[Mapping[str, Any]], *, account: int, now: datetime
    ) -> list[RowChange]:
        """Apply what the venue states for legs."""
        changes: list[RowChange] = []
        for state in states:
            if state["instrument_id"] is None:
                continue
            leg, terms = (account, state["instrument_id"], state["leg"]), board_position.venue_terms(state)
            if leg in self._flat_legs:
                before, verdict = self._flat_legs[leg]
                self._flat_legs[leg] = max(before, terms, key=lambda each: each.revision), verdict
            for position in self._on(leg):
                if terms.revision > position.terms.revision:
                    position.terms = terms
                    changes += self._put(position, now)
        return changes

    def take_verdicts(
        self, verdicts: Iterable[tuple[int, str, LegVerdict]], *, account: int, now: datetime
    ) -> list[RowChange]:
        """Apply what reconciliation concluded about legs."""
        changes: list[RowChange] = []
        for instrument, side, verdict in verdicts:
            leg = account, instrument, side
            if leg in self._flat_legs:
                terms, before = self._flat_legs[leg]
                self._flat_legs[leg] = terms, max(before, verdict, key=newness)
            for position in self._on(leg):
                position.verdict = max(position.verdict, verdict, key=newness)
                self._touch(position.id)
                changes += self._put(position, now) if self._proof_moved(position, now) else []
        return changes

    def take_feeds(self, words: Mapping[int, str], *, now: datetime) -> list[RowChange]:
        """Apply how the feeds of accounts stand: while one is not live, its proofs are aged."""
        news = {account for account, word in words.items() if self._feeds.get(account) != word}
        self._feeds.update(words)
        return [change for one in self._of(news) for change in self._put(one, now)] if news else []

    def take_marks(self, marks: Iterable[Mapping[str, Any]], *, now: datetime) -> list[RowChange]:
        """Revalue the positions in instruments whose mark is newer than the one known."""
        return self._take_prices(prices_of(marks, now=now), now=now)

    # Parts --------------------------------------------------------------------------------------------------

    def _take_prices(self, prices: Mapping[int, PriceAt], *, now: datetime) -> list[RowChange]:
        changes: list[RowChange] = []
        for instrument, price in prices.items():
            if self._is_news(instrument, price):
                self._prices[instrument] = price
                changes += self._revalue(instrument, now)
        return changes

    def _is_news(self, instrument: int, price: PriceAt) -> bool:
        """Return whether a price is newer, or of the same time and no longer believed."""
        known = self._prices.get(instrument)
        if known is None or price[1] > known[1]:
            return True
        return price[1] == known[1] and price[0] != known[0] and known[0] is not None

    def _revalue(self, instrument: int, now: datetime) -> list[RowChange]:
        price = board_position.board_price(rows.believed(self._prices[instrument], now=now))
        self._board_prices[instrument] = price
        changes = []
        for key in self._by_instrument.get(instrument, ()):
            position = self._open[key]
            risk = position.risk
            board_position.value(position, price=price)
            changes.append(RowChange(key, position.account.id, position.risk == risk))
        return changes

    def _expire(self, now: datetime) -> list[RowChange]:
        """Drop prices that are too old to be believed, and proofs that have run out."""
        changes: list[RowChange] = []
        for instrument, price in self._prices.items():
            shown = self._board_prices[instrument].mark
            if shown is not None and rows.believed(price, now=now) != price:
                changes += self._revalue(instrument, now)
        for position in list(self._open.values()):
            if self._proof_moved(position, now):
                changes += self._put(position, now)
        return changes

    def _proof_moved(self, position: BoardPosition, now: datetime) -> bool:
        """Return whether a row shows another proof than is known; its time shows only where it is aged."""
        is_older = board_position.is_aged(position) and position.proof_at != position.verdict.as_of
        return is_older or _proof(position, now) != position.proof

    def _on(self, leg: Leg) -> list[BoardPosition]:
        held = [self._open[key] for key in self._by_instrument.get(leg[1], ())]
        return [one for one in held if (one.account.id, one.leg) == (leg[0], leg[2])]

    def _opened_on_known_leg(self, row: Mapping[str, Any]) -> BoardPosition | None:
        """Return a new position on a leg that was open here before; None: it must be read."""
        leg: Leg = row["account"], row["instrument_id"], row["leg"]
        known = next(((one.terms, one.verdict) for one in self._on(leg)), self._flat_legs.get(leg))
        if known is None:
            return None
        terms, verdict = known
        return BoardPosition(
            id=row["id"], version=0, status="", leg=leg[2], quantity=Decimal(0), open_cost=None,
            net_pnl=Decimal(0), kept=(), account=self._accounts[leg[0]],
            market=self._markets[leg[1]], terms=terms, verdict=verdict,
        )  # fmt: skip

    def _put(self, position: BoardPosition, now: datetime) -> list[RowChange]:
        """Show a position as it is now."""
        self.changed_at = now
        position.proof, position.proof_at = _proof(position, now), position.verdict.as_of
        position.feed = self._feeds.get(position.account.id, "down")
        board_position.value(position, price=self._price(position))
        self._open[position.id] = position
        self._by_instrument.setdefault(position.market.id, set()).add(position.id)
        self._touch(position.id)
        return [RowChange(position.id, position.account.id, only_price=False)]

    def _touch(self, key: int) -> None:
        if self._touched is not None:
            self._touched.add(key)

    def _remove(self, key: int) -> RowChange:
        """Take a position off the board: it is flat now, or void, or not in the book any more."""
        position = self._open.pop(key)
        self._by_instrument[position.market.id].discard(key)
        leg: Leg = position.account.id, position.market.id, position.leg
        self._flat_legs[leg] = position.terms, position.verdict
        self._note_end(key, position.version)
        price = self._price(position)
        board_position.value(position, price=price)
        row = board_position.row_of(position, price=price) | {"open": False}
        return RowChange(key, position.account.id, only_price=False, left=row)

    def _note_end(self, key: int, version: int) -> None:
        self._touch(key)
        self._ended.pop(key, None)
        self._ended[key] = version
        if len(self._ended) > KEEP_ENDED:
            del self._ended[next(iter(self._ended))]


def _proof(position: BoardPosition, now: datetime) -> str:
    return str(Verdict.status_now(cast(Verdict, position.verdict), now=now))  # it has what that reads


def _shown(position: BoardPosition) -> tuple[Any, ...]:
    """What differs when a row does; a false frame may carry the version that the true one will have."""
    return (
        position.version, position.status, position.quantity, position.open_cost, position.net_pnl,
        position.account, position.market, position.terms,
    )  # fmt: skip


def _shared(known: dict[int, Shared], read: Shared) -> Shared:
    """Return the one object that all positions share, as long as nothing of it changes."""
    if known.get(read.id) != read:
        known[read.id] = read
    return known[read.id]
