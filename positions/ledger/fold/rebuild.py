"""The book folded again from its first entry on, and how what is stored differs from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson

from positions.book import Entry, PositionState, cash_legs, plain
from positions.book.money import ZERO, add, subtract
from positions.ledger import instruments as catalogues
from positions.ledger import serialise, sql
from positions.ledger.admission import effective_entry
from positions.ledger.fold.book_update import BookUpdate
from positions.ledger.fold.effective import EffectiveEntries
from positions.ledger.fold.refold import Refolding
from positions.ledger.fold.rules import counts, legs_of
from positions.ledger.hash_chain import trusted
from positions.ledger.history import PostgresHistory
from positions.ledger.instruments import Catalogue, CatalogueItem, contract_of, par_currencies
from positions.ledger.rows import (
    BalanceAmounts,
    CountedCash,
    Episode,
    EpisodeChange,
    LedgerExcerpt,
    LockedHead,
    PositionKey,
    StateCheckpoint,
)
from positions.models import Account, Balance, Status
from positions.models import Position as Row

CHUNK = 5_000
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class LedgerDiscrepancy:
    """Something stored that the entries do not bear out: what it is, its field, as stored and as folded."""

    account: str
    what: str
    field: str
    stored: str
    folded: str

    def __str__(self) -> str:
        return f"{self.account}: {self.what}: {self.field} is {self.stored}, the entries give {self.folded}"


@dataclass(frozen=True, slots=True)
class RebuildReport:
    """What a rebuild found, and what would put it right."""

    differences: list[LedgerDiscrepancy]
    changes: list[EpisodeChange]
    balances: BalanceAmounts


_ALL = """
SELECT content, sequence, source, trace_id FROM positions_entry
WHERE account_id = %(account)s AND sequence > %(after)s ORDER BY sequence LIMIT %(limit)s
"""
_CORRECTIONS = """
SELECT content, sequence FROM positions_entry WHERE account_id = %(account)s AND target_ref IS NOT NULL
"""
_INSTRUMENTS = """
SELECT DISTINCT e.instrument_id FROM positions_entry e
JOIN positions_instrument i ON i.id = e.instrument_id AND i.kind <> 'spot'
WHERE e.account_id = %(account)s
UNION SELECT instrument_id FROM positions_position WHERE account_id = %(account)s
UNION SELECT coin.id FROM (SELECT DISTINCT unnest(coins) AS name FROM positions_entry
                           WHERE account_id = %(account)s AND coins IS NOT NULL) AS named
JOIN positions_instrument coin ON coin.kind = 'asset' AND coin.venue = %(venue)s
    AND coin.environment = %(environment)s AND coin.base_url = %(base_url)s
    AND coin.base = split_part(named.name, '/', 2)
"""


def entries_of(account: int) -> Iterator[tuple[str, int]]:
    """Yield (content, sequence) of all entries of an account in order, a chunk in memory at a time."""
    return ((content, sequence) for content, sequence, _, _ in _rows_of(account))


def exported(account: int) -> Iterator[dict[str, str]]:
    """Yield all entries of an account in order, in plain form, each with its `source` and `trace_id`."""
    for content, _, source, trace_id in _rows_of(account):
        yield {**orjson.loads(content), "source": source, "trace_id": trace_id}


def _rows_of(account: int) -> Iterator[tuple[str, int, str, str]]:
    after = 0
    while True:
        with sql.pipeline() as raw:
            rows = sql.send(raw, _ALL, account=account, after=after, limit=CHUNK)
        chunk = rows.fetchall()
        yield from chunk
        if len(chunk) < CHUNK:
            return
        after = chunk[-1][1]


def rebuild(*, account: Account, head: LockedHead, progress: Progress | None = None) -> RebuildReport:
    """Fold everything again and compare; nothing is written. Run it under the account's lock.

    One instrument's entries are in memory at a time. `progress` is called with how many entries were folded.
    """
    effective = EffectiveEntries(catalogues.of(account), par_currencies(), PostgresHistory(account.pk, {}))
    every = items_of(account, effective.catalogue)
    contracts = {item.id: item.contract for item in every}
    effective.history = PostgresHistory(account.pk, contracts)
    last = sql.last_episodes(account=account.pk, contracts=contracts)
    update = BookUpdate(dict(head.opened))
    refolding = Refolding(effective, update)
    for item in every:
        refolding.whole(item, known=legs_of(item, last))
    fixed = fixed_cash(account, effective, opened=update.opened, progress=progress)
    differences = [_of_change(account, change) for change in update.changes]
    differences += [_of_checkpoint(account, *doubt) for doubt in refolding.doubted]
    drifted, found = _drifted_rows(account, update, contracts)
    balances, moved = _balances(account, fixed, update.realized)
    return RebuildReport([*differences, *found, *moved], [*update.changes, *drifted], balances)


def items_of(account: Account, catalogue: Catalogue) -> list[CatalogueItem]:
    """Return every instrument and coin that an account has facts or positions of."""
    with sql.pipeline() as raw:
        rows = sql.send(raw, _INSTRUMENTS, account=account.pk, **account.world.lookup())
    return catalogue.load_ids(row[0] for row in rows.fetchall())


def fixed_cash(
    account: Account,
    effective: EffectiveEntries,
    *,
    opened: dict[str, datetime],
    progress: Progress | None = None,
) -> BalanceAmounts:
    """Return the counted cash that needs no fold, of every entry that counts."""
    corrections = LedgerExcerpt(head=LockedHead(0, 0, b"", {}))
    with sql.pipeline() as raw:
        rows = sql.send(raw, _CORRECTIONS, account=account.pk)
    for content, sequence in rows.fetchall():
        sql.remember(corrections, trusted(content, sequence))
    total: BalanceAmounts = {}
    for content, sequence in entries_of(account.pk):
        entry = effective_entry(trusted(content, sequence), corrections)
        if progress is not None:
            progress(1)
        if entry is not None and counts(entry, opened):
            _add_legs(total, entry, effective)
    return total


def _add_legs(total: BalanceAmounts, entry: Entry, effective: EffectiveEntries) -> None:
    effective.catalogue.load_for((entry,), par=effective.par)
    for leg in cash_legs(entry, effective.contract(entry), realized=ZERO):
        held, unknown = total.get((leg.wallet or "", leg.asset), (ZERO, 0))
        known = leg.amount if leg.amount is not None else ZERO
        total[leg.wallet or "", leg.asset] = add(held, known), unknown + (leg.amount is None)


def _of_change(account: Account, change: EpisodeChange) -> LedgerDiscrepancy:
    before, after = change.before, change.after
    known = after or (before.state if before else None)
    what = f"{known.instrument} {change.key.leg}, opened by {known.opened_by}" if known else str(change.key)
    if before is None or after is None:
        return LedgerDiscrepancy(
            account.label, what, "episode", _brief(before), "missing" if after is None else "there"
        )
    old, new = serialise.dumps(before.state), serialise.dumps(after)
    if old == new:
        return LedgerDiscrepancy(account.label, what, "cash", str(before.cash), str(change.cash))
    was, now = serialise.columns(before.state), serialise.columns(after)
    name = next((name for name in was if was[name] != now[name]), "state")
    return LedgerDiscrepancy(account.label, what, name, str(was.get(name, old)), str(now.get(name, new)))


def _of_checkpoint(
    account: Account, kept: StateCheckpoint, folded: PositionState, cash: CountedCash
) -> LedgerDiscrepancy:
    what = f"checkpoint of {kept.state.instrument} {kept.key.leg} at {kept.state.last_time}"
    if kept.state != folded:
        return LedgerDiscrepancy(
            account.label, what, "state", serialise.dumps(kept.state), serialise.dumps(folded)
        )
    return LedgerDiscrepancy(account.label, what, "cash", str(kept.cash), str(cash))


def _brief(episode: Episode | None) -> str:
    return "missing" if episode is None else f"position {episode.id}"


def _drifted_rows(
    account: Account, update: BookUpdate, contracts: dict[int, Any]
) -> tuple[list[EpisodeChange], list[LedgerDiscrepancy]]:
    """Return the rows whose columns differ from their state: somebody edited them."""
    changed = {change.before.id for change in update.changes if change.before is not None}
    changes, differences = [], []
    rows = Row.objects.filter(account=account).exclude(status=Status.VOID).exclude(pk__in=changed)
    for row in rows.order_by("pk").iterator(chunk_size=CHUNK):
        known = serialise.loads(row.state, contract=contracts[row.instrument_id])
        drift = row_drift(row)
        if not drift:
            continue
        differences += [
            LedgerDiscrepancy(account.label, f"position {row.pk}", name, stored, folded)
            for name, (stored, folded) in drift.items()
        ]
        cash = {wallet: (Decimal(amount), unknown) for wallet, (amount, unknown) in row.cash.items()}
        key = PositionKey(row.instrument_id, row.leg)
        before = Episode(row.pk, key, row.status, row.version, cash, known)
        status = known.status.value if row.status != Status.CLOSING else row.status
        changes.append(EpisodeChange(key, before, known, status, cash, True))
    return changes, differences


def row_drift(row: Row) -> dict[str, tuple[str, str]]:
    """Return the columns of a position's row that differ from its state: (stored, by state)."""
    known = serialise.loads(row.state, contract=contract_of(row.instrument))
    drift = {}
    for name, expected in serialise.columns(known).items():
        stored = getattr(row, name)
        if isinstance(stored, Decimal):
            stored = plain(stored)
        if stored != expected:
            drift[name] = str(stored), str(expected)
    if row.status not in (known.status.value, Status.CLOSING):
        drift["status"] = row.status, known.status.value
    return drift


def _balances(
    account: Account, fixed: BalanceAmounts, realized: BalanceAmounts
) -> tuple[BalanceAmounts, list[LedgerDiscrepancy]]:
    """Return what to add to each balance to make it the fold, and the discrepancies this corrects."""
    stored = {
        (row.wallet, row.asset): (row.amount, row.unknown_count)
        for row in Balance.objects.filter(account=account)
    }
    moves: BalanceAmounts = {}
    differences = []
    for key in sorted({*stored, *fixed, *realized}):
        amounts = [source.get(key, (ZERO, 0)) for source in (fixed, realized)]
        amount, unknown = add(amounts[0][0], amounts[1][0]), amounts[0][1] + amounts[1][1]
        held, counted = stored.get(key, (ZERO, 0))
        if amount == held and unknown == counted:
            continue
        moves[key] = subtract(amount, held), unknown - counted
        what = f"balance {key[0] or 'of the account'} {key[1]}"
        differences.append(
            LedgerDiscrepancy(account.label, what, "amount", _amount(held, counted), _amount(amount, unknown))
        )
    return moves, differences


def _amount(amount: Decimal, unknown: int) -> str:
    return plain(amount) + (f" with {unknown} unknown" if unknown else "")
