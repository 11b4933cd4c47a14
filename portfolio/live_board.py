"""The board in memory of one web process: open positions as rows, moved by what the live log says.

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
from typing import Any

from portfolio import board_reads, rows
from portfolio.board_reads import Leg, Pulse, Read
from portfolio.rows import Fold, Price, Row
from portfolio.standing import Standing
from positions import state
from positions.catalogue import contract_of
from positions.models import OPEN_STATUSES, Account, Instrument, Position
from reconciliation.models import Status, Verdict

PRICED = frozenset({"mark", "at", "notional", "unrealized", "unrealized_pct", "net", "distance_pct"})
"""What a price alone changes in a row; the band of risk is not among them, as somebody should see it move."""

_FIGURES = ("quantity", "open_cost", "entry_price", "exit_price", "realized_pnl", "adjustment_pnl", "net_pnl")
KEEP_ENDED = 10_000


@dataclass(frozen=True, slots=True)
class Change:
    """A row as it is now. `only_price`: nothing else of it moved. A row that left has `open` False."""

    row: Row
    only_price: bool


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


@dataclass(slots=True)
class _Held:
    position: Position
    fold: Fold
    row: Row

    @property
    def leg(self) -> Leg:
        """Account, instrument and leg."""
        return self.position.account_id, self.position.instrument_id, self.position.leg


class LiveBoard:
    """Open positions by id, and the newest that is known of prices, legs and proofs."""

    def __init__(self) -> None:
        self.environments: tuple[str, ...] = ()
        self.standing: list[Standing] | None = (
            None  # how accounts stand, as the pipeline last told; None: unknown
        )
        self._held: dict[int, _Held] = {}
        self._ended: dict[int, int] = {}  # versions with which positions left: older news does not bring back
        self._touched: set[int] | None = None  # what frames moved while everything is read
        self._legs: dict[Leg, set[int]] = {}
        self._by_instrument: dict[int, set[int]] = {}
        self._prices: dict[int, Price] = {}
        self._stated: dict[Leg, dict[str, Any] | None] = {}
        self._verdicts: dict[Leg, Verdict] = {}
        self._accounts: dict[int, Account] = {}
        self._instruments: dict[int, Instrument] = {}
        self._sequences: dict[int, int] = {}
        self._behind: dict[int, int] = {}

    @property
    def rows(self) -> list[Row]:
        """The rows as they are now."""
        return [held.row for held in self._held.values()]

    def row(self, position: int) -> Row | None:
        """One row, if the position is open."""
        held = self._held.get(position)
        return held.row if held else None

    # From Postgres ------------------------------------------------------------------------------------------

    async def refresh(self, *, now: datetime) -> list[Change]:
        """Read everything. Raises DatabaseError; then nothing has changed here."""
        self._touched = set()
        try:
            read = await board_reads.everything()
            gone = self._held.keys() - {one.pk for one in read.positions} - self._touched
        finally:
            self._touched = None
        self.environments = read.environments
        self._behind.clear()
        return self._take(read, gone=gone, now=now)

    async def refresh_some(
        self, *, positions: Collection[int] = (), accounts: Collection[int] = (), now: datetime
    ) -> list[Change]:
        """Read these positions, and all of these accounts. Raises DatabaseError."""
        asked = {key for key, held in self._held.items() if held.position.account_id in accounts}
        asked |= set(positions)
        before = {key: self._held[key].position.version for key in asked & self._held.keys()}
        read = await board_reads.some(positions, accounts)
        found = {one.pk for one in read.positions}
        gone = {
            key
            for key, version in before.items()
            if key not in found and key in self._held and self._held[key].position.version == version
        }
        return self._take(read, gone=gone, now=now)

    async def pulse(self, *, now: datetime) -> tuple[list[Change], set[int]]:
        """Take the prices that are in Postgres, and what has grown too old to be believed.

        Returns also the accounts of which the log has told less than was committed, the second time that is
        so: read them. Raises DatabaseError.
        """
        read: Pulse = await board_reads.pulse(list(self._by_instrument))
        changes = self._take_prices(read.prices, now=now) + self._expire(now)
        missed = {
            account
            for account, expected in self._behind.items()
            if self._sequences.get(account, 0) < expected <= read.sequences.get(account, 0)
        }
        self._behind = {
            account: last
            for account, last in read.sequences.items()
            if last > self._sequences.get(account, 0) and account not in missed
        }
        return changes, missed

    def _take(self, read: Read, *, gone: Iterable[int], now: datetime) -> list[Change]:
        for account, last in read.sequences.items():
            self._sequences[account] = max(last, self._sequences.get(account, 0))
        for leg, verdict in read.verdicts.items():
            self._judge(leg, verdict)
        changes = [change for key in gone for change in self._remove(key)]
        for position in read.positions:
            price = read.prices.get(position.pk)
            if price is not None and self._is_news(position.instrument_id, price):
                self._prices[position.instrument_id] = price
                changes += self._revalue(position.instrument_id, now)
            changes += self._read(position, now)
        return changes

    def _read(self, position: Position, now: datetime) -> list[Change]:
        """A position as Postgres has it, unless a frame has told of a later version."""
        held = self._held.get(position.pk)
        known = held.position.version if held else self._ended.get(position.pk, 0)
        leg = position.account_id, position.instrument_id, position.leg
        self._accounts[position.account_id] = position.account
        self._instruments[position.instrument_id] = position.instrument
        stated = getattr(position, "venue_state", None)
        if leg not in self._stated or _revision(stated) > _revision(self._stated[leg]):
            self._stated[leg] = stated
        if position.version < known or (held is None and known == position.version):
            return []
        _state(position, self._stated[leg])
        if (
            held is not None
            and held.position.version == position.version
            and _looks(held.position) == _looks(position)
        ):
            return self._put(held.position, held.fold, now) if self._is_judged_anew(held, now) else []
        fold = held.fold if held is not None and held.position.version == position.version else None
        return self._put(
            position, fold or state.loads(position.state, contract=contract_of(position.instrument)), now
        )

    # From the live log --------------------------------------------------------------------------------------

    def take_positions(
        self, told: Iterable[Mapping[str, Any]], *, account: int, sequence: int, now: datetime
    ) -> tuple[list[Change], set[int]]:
        """Apply the rows of a book frame; returns also the positions that cannot be shown without reading."""
        known = self._sequences.get(account, 0)
        if sequence == known + 1 or account not in self._sequences:
            self._sequences[account] = sequence
        changes: list[Change] = []
        unknown: set[int] = set()
        for one in told:
            key, version = one["id"], one["version"]
            held = self._held.get(key)
            if version <= (held.position.version if held else self._ended.get(key, 0)):
                continue
            position = held.position if held else self._known(one)
            if one["status"] not in OPEN_STATUSES:
                changes += self._end(held, one, now)
            elif position is None:
                unknown.add(key)
            else:
                changes += self._put(_folded(position, one), _Sums.of(one), now)
        return changes, unknown

    def take_states(self, told: Iterable[Mapping[str, Any]], *, account: int, now: datetime) -> list[Change]:
        """What the venue says of legs."""
        changes: list[Change] = []
        for one in told:
            leg = account, one["instrument_id"], one["leg"]
            if one["instrument_id"] is None or one["revision"] <= _revision(self._stated.get(leg)):
                continue
            self._stated[leg] = dict(one)
            for held in self._of(leg):
                _state(held.position, self._stated[leg])
                changes += self._put(held.position, held.fold, now)
        return changes

    def take_verdicts(
        self, told: Iterable[Mapping[str, Any]], *, account: int, now: datetime
    ) -> list[Change]:
        """What reconciliation concludes of legs."""
        changes: list[Change] = []
        for one in told:
            leg = account, one["instrument_id"], one["leg"]
            as_of = one["as_of"] and datetime.fromisoformat(one["as_of"])
            self._judge(leg, Verdict(status=one["status"], as_of=as_of, revision=one["revision"]))
            for held in self._of(leg):
                changes += self._put(held.position, held.fold, now)
        return changes

    def take_marks(self, marks: Iterable[Mapping[str, Any]], *, now: datetime) -> list[Change]:
        """Revalue the rows of instruments whose price is newer than the one known."""
        prices: dict[int, Price] = {}
        for mark in marks:
            if mark["at"] is not None:
                price = None if mark["price"] is None else Decimal(mark["price"])
                prices[mark["instrument"]] = price, datetime.fromisoformat(mark["at"])
        return self._take_prices(prices, now=now)

    # Parts --------------------------------------------------------------------------------------------------

    def _take_prices(self, prices: Mapping[int, Price], *, now: datetime) -> list[Change]:
        changes: list[Change] = []
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

    def _revalue(self, instrument: int, now: datetime) -> list[Change]:
        price = rows.believed(self._prices.get(instrument), now=now)
        changes = []
        for key in self._by_instrument.get(instrument, ()):
            held = self._held[key]
            before = held.row
            held.row = before | rows.priced(held.position, price=price)
            if held.row != before:
                changes.append(Change(held.row, only_price=held.row["risk"] == before["risk"]))
        return changes

    def _expire(self, now: datetime) -> list[Change]:
        """Prices that nobody can believe any more, proofs that have grown old."""
        changes: list[Change] = []
        for instrument, price in self._prices.items():
            if price[0] is not None and rows.believed(price, now=now) != price:
                changes += self._revalue(instrument, now)
        for held in list(self._held.values()):
            if self._is_judged_anew(held, now):
                changes += self._put(held.position, held.fold, now)
        return changes

    def _judge(self, leg: Leg, verdict: Verdict) -> None:
        known = self._verdicts.get(leg)
        if known is None or _newness(verdict) > _newness(known):
            self._verdicts[leg] = verdict

    def _proof(self, leg: Leg, now: datetime) -> str:
        verdict = self._verdicts.get(leg)
        return Status.PENDING if verdict is None else verdict.status_now(now=now)

    def _is_judged_anew(self, held: _Held, now: datetime) -> bool:
        return str(held.row["proof"]) != self._proof(held.leg, now)

    def _of(self, leg: Leg) -> list[_Held]:
        return [self._held[key] for key in self._legs.get(leg, ())]

    def _known(self, told: Mapping[str, Any]) -> Position | None:
        """A position that opens on a leg that is known here; else it must be read."""
        leg: tuple[int, int, str] = told["account"], told["instrument_id"], told["leg"]
        account, instrument = self._accounts.get(leg[0]), self._instruments.get(leg[1])
        if leg not in self._stated or account is None or instrument is None:
            return None
        position = Position(pk=told["id"], account=account, instrument=instrument, leg=leg[2])
        _state(position, self._stated[leg])
        return position

    def _put(self, position: Position, fold: Fold, now: datetime) -> list[Change]:
        leg = position.account_id, position.instrument_id, position.leg
        price = rows.believed(self._prices.get(position.instrument_id), now=now)
        row = rows.row(position, price=price, proof=self._proof(leg, now), fold=fold)
        known = self._held.get(position.pk)
        self._held[position.pk] = _Held(position, fold, row)
        if self._touched is not None:
            self._touched.add(position.pk)
        if known is None:
            self._by_instrument.setdefault(position.instrument_id, set()).add(position.pk)
            self._legs.setdefault(leg, set()).add(position.pk)
            return [Change(row, only_price=False)]
        if known.row == row:
            return []
        moved = {name for name, value in row.items() if known.row[name] != value}
        return [Change(row, only_price=moved <= PRICED)]

    def _end(self, held: _Held | None, told: Mapping[str, Any], now: datetime) -> list[Change]:
        """It is flat now, or void; one that was never shown here is not told of."""
        key: int = told["id"]
        if held is None:
            self._note_end(key, told["version"])
            return []
        position = _folded(held.position, told)
        self._put(position, _Sums.of(told), now)
        return self._remove(key)

    def _remove(self, key: int) -> list[Change]:
        held = self._held.pop(key)
        self._by_instrument[held.position.instrument_id].discard(key)
        self._legs[held.leg].discard(key)
        self._note_end(key, held.position.version)
        return [Change(held.row | {"open": False}, only_price=False)]

    def _note_end(self, key: int, version: int) -> None:
        self._ended.pop(key, None)
        self._ended[key] = version
        if len(self._ended) > KEEP_ENDED:
            del self._ended[next(iter(self._ended))]


def _folded(position: Position, told: Mapping[str, Any]) -> Position:
    """The position with the fold's part as a book frame tells it."""
    position.version, position.status = told["version"], told["status"]
    for name in _FIGURES:
        setattr(position, name, None if told[name] is None else Decimal(told[name]))
    return position


def _looks(position: Position) -> tuple[Any, ...]:
    """What a row shows and no version counts."""
    account, instrument = position.account, position.instrument
    return (
        account.label, account.venue, account.environment, instrument.symbol, instrument.base,
        instrument.quote, instrument.underlying, instrument.quantity_step, instrument.price_tick,
        instrument.expires_at, position.status, _revision(getattr(position, "venue_state", None)),
    )  # fmt: skip


def _revision(stated: Mapping[str, Any] | None) -> int:
    return int(stated["revision"]) if stated else 0


def _newness(verdict: Verdict) -> tuple[int, float]:
    return verdict.revision, verdict.as_of.timestamp() if verdict.as_of else 0.0


def _state(position: Position, stated: Mapping[str, Any] | None) -> None:
    position.venue_state = stated  # type: ignore[attr-defined]  # as `queries.board()` annotates it
