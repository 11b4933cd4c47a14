"""What a refold reads back from Postgres: the facts and episodes of one key."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import psycopg

from positions.book import Contract, Entry
from positions.ledger import serialise
from positions.ledger.hash_chain import trusted
from positions.ledger.instruments import CatalogueItem
from positions.ledger.rows import Episode, PositionKey, StateCheckpoint
from positions.ledger.sql import EPISODE, cash, episodes, pipeline

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
END = datetime.max.replace(tzinfo=UTC)

# A fact whose amend gave it another time is found by that time too. Corrections come with their targets.
_FACTS = """
WITH RECURSIVE facts AS (
    SELECT venue_ref, content, sequence FROM positions_entry
    WHERE account_id = %(account)s AND {where} AND at > %(after)s AND at <= %(until)s
  UNION
    SELECT e.venue_ref, e.content, e.sequence FROM positions_entry a
    JOIN positions_entry e ON e.account_id = a.account_id AND e.venue_ref = a.target_ref
    WHERE a.account_id = %(account)s AND a.amended_at > %(after)s AND a.amended_at <= %(until)s AND {e_where}
    {more}
), corrections AS (
    SELECT c.venue_ref, c.content, c.sequence FROM positions_entry c
    WHERE c.account_id = %(account)s AND c.target_ref IS NOT NULL
      AND c.target_ref IN (SELECT venue_ref FROM facts)
  UNION
    SELECT c.venue_ref, c.content, c.sequence FROM corrections
    JOIN positions_entry c ON c.account_id = %(account)s AND c.target_ref = corrections.venue_ref
)
SELECT content, sequence FROM facts UNION ALL
SELECT content, sequence FROM corrections WHERE venue_ref NOT IN (SELECT venue_ref FROM facts)
"""
_BY_INSTRUMENT = _FACTS.format(
    where="instrument_id = %(instrument)s", e_where="e.instrument_id = %(instrument)s", more=""
)
# An amend may bring a coin in that the fact itself did not name: a fee that turns out to be paid in BNB.
_AMENDED_INTO = """
  UNION
    SELECT e.venue_ref, e.content, e.sequence FROM positions_entry a
    JOIN positions_entry e ON e.account_id = a.account_id AND e.venue_ref = a.target_ref
    WHERE a.account_id = %(account)s AND a.target_ref IS NOT NULL AND a.coins @> ARRAY[%(coin)s]
"""
_BY_COIN = _FACTS.format(
    where="coins @> ARRAY[%(coin)s]", e_where="e.coins @> ARRAY[%(coin)s]", more=_AMENDED_INTO
)
_OF_ALL = _FACTS.format(where="TRUE", e_where="TRUE", more="")


_CHECKPOINTS = """
SELECT cash, state FROM positions_checkpoint WHERE account_id = %s AND instrument_id = %s AND leg = %s
"""


def coin_key(account: int, coin: str) -> str:
    """Return how Entry.coins names a coin of an account: an index over it serves one account's coin."""
    return f"{account}/{coin}"


class PostgresHistory:
    """The history of one account, in Postgres. It is read under the account's lock."""

    def __init__(self, account: int, contracts: dict[int, Contract]) -> None:
        self.account = account
        self.contracts = contracts

    def episodes(self, key: PositionKey, *, opened: datetime | None = None) -> list[Episode]:
        """Return a key's episodes that are not VOID, in order: all, or those opened at a time or later."""
        return self._episodes(key, "status <> 'VOID' AND opened_at >= %s", [opened or BEGINNING])

    def opened_before(self, key: PositionKey, *, time: datetime, back: int) -> datetime | None:
        """Return when the n-th last episode that opened before a time did; None if there are fewer."""
        sql = b"""SELECT opened_at FROM positions_position
            WHERE account_id = %s AND instrument_id = %s AND leg = %s AND status <> 'VOID' AND opened_at < %s
            ORDER BY opened_at DESC OFFSET %s LIMIT 1"""
        with pipeline() as raw:
            found = psycopg.Cursor(raw).execute(sql, [self.account, *key, time, back])
        row = found.fetchone()
        return row[0] if row else None

    def checkpoint(self, key: PositionKey, *, before: datetime) -> StateCheckpoint | None:
        """Return the last checkpoint of a key before a time."""
        sql = f"{_CHECKPOINTS} AND at < %s ORDER BY at DESC LIMIT 1"
        return next(iter(self._checkpoints(key, sql, [before])), None)

    def checkpoints(self, key: PositionKey) -> list[StateCheckpoint]:
        """Return all checkpoints of a key, in order."""
        return self._checkpoints(key, f"{_CHECKPOINTS} ORDER BY at", [])

    def _checkpoints(self, key: PositionKey, sql: str, values: list[object]) -> list[StateCheckpoint]:
        with pipeline() as raw:
            rows = psycopg.Cursor(raw).execute(sql.encode(), [self.account, *key, *values])
        contract = self.contracts[key.instrument]
        return [
            StateCheckpoint(key, serialise.loads(text, contract=contract), cash(counted))
            for counted, text in rows.fetchall()
        ]

    def voided(self, key: PositionKey, openings: Iterable[str]) -> list[Episode]:
        """Return the VOID episodes of a key that these entries once opened."""
        wanted = list(openings)
        if not wanted:
            return []
        return self._episodes(key, "status = 'VOID' AND opening_ref = ANY(%s)", [wanted])

    def _episodes(self, key: PositionKey, condition: str, values: list[object]) -> list[Episode]:
        sql = f"""SELECT {EPISODE} FROM positions_position p
            WHERE account_id = %s AND instrument_id = %s AND leg = %s AND {condition}
            ORDER BY opened_at, closed_at NULLS LAST, id"""
        with pipeline() as raw:
            rows = psycopg.Cursor(raw).execute(sql.encode(), [self.account, *key, *values])
        return episodes(rows.fetchall(), self.contracts)

    def has_legless(self, item: CatalogueItem) -> bool:
        """Return whether facts of an instrument name no leg."""
        sql = b"""SELECT EXISTS (SELECT FROM positions_entry WHERE account_id = %s AND instrument_id = %s
            AND leg IS NULL AND kind NOT IN ('bust', 'amend'))"""
        with pipeline() as raw:
            found = psycopg.Cursor(raw).execute(sql, [self.account, item.id])
        row = found.fetchone()
        return bool(row and row[0])

    def facts(self, item: CatalogueItem, after: datetime | None) -> list[Entry]:
        """Return the facts of an instrument or coin that may be later than a time, and their corrections."""
        return self.between(item, after, END)

    def between(self, item: CatalogueItem, after: datetime | None, until: datetime) -> list[Entry]:
        """Return the facts that may be later than one time and not than another, and their corrections."""
        sql = _BY_COIN if item.is_coin else _BY_INSTRUMENT
        coin = coin_key(self.account, item.symbol)
        return self._facts(sql, after or BEGINNING, until, instrument=item.id, coin=coin)

    def later(self, after: datetime, until: datetime | None) -> list[Entry]:
        """Return the facts of the account that may be later than one time and not than another, and their
        corrections.
        """
        return self._facts(_OF_ALL, after, until or END)

    def _facts(self, sql: str, after: datetime, until: datetime, **named: object) -> list[Entry]:
        values = {"account": self.account, "after": after, "until": until, **named}
        with pipeline() as raw:
            # Planned anew, about 1 ms: by a plan made when the table was small it reads all of the account.
            rows = psycopg.Cursor(raw).execute(sql.encode(), values, prepare=False)
        return [trusted(content, sequence) for content, sequence in rows.fetchall()]
