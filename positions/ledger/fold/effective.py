"""The facts of an account that count, and what each is to the instruments or coins that it moves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from positions.book import Contract, ContractKind, Entry, by_asset
from positions.book.resolve import resolve
from positions.ledger.admission import Effect
from positions.ledger.instruments import Catalogue, CatalogueItem
from positions.ledger.rows import Episode, PositionKey, StateCheckpoint


class History(Protocol):
    """What a refold reads from Postgres."""

    def episodes(self, key: PositionKey, *, opened: datetime | None = None) -> list[Episode]:
        """Return a key's episodes that are not VOID, in order: all, or those opened at a time or later."""

    def opened_before(self, key: PositionKey, *, time: datetime, back: int) -> datetime | None:
        """Return when the n-th last episode that opened before a time did; None if there are fewer."""

    def checkpoint(self, key: PositionKey, *, before: datetime) -> StateCheckpoint | None:
        """Return the last checkpoint of a key before a time."""

    def checkpoints(self, key: PositionKey) -> list[StateCheckpoint]:
        """Return all checkpoints of a key, in order."""

    def voided(self, key: PositionKey, openings: Iterable[str]) -> list[Episode]:
        """Return the VOID episodes of a key that these entries once opened."""

    def has_legless(self, item: CatalogueItem) -> bool:
        """Return whether facts of an instrument name no leg."""

    def facts(self, item: CatalogueItem, after: datetime | None) -> list[Entry]:
        """Return the facts of an instrument or coin that may be later than a time, and their corrections."""

    def between(self, item: CatalogueItem, after: datetime | None, until: datetime) -> list[Entry]:
        """Return the facts that may be later than one time and not than another, and their corrections."""

    def later(self, after: datetime, until: datetime | None) -> list[Entry]:
        """Return the facts of the account that may be later than one time and not than another, and their
        corrections.
        """


@dataclass(slots=True)
class EffectiveEntries:
    """What is booked (`history`) and what is being booked (`facts`), names resolved by the catalogue."""

    catalogue: Catalogue
    par: frozenset[str]
    history: History
    facts: list[Entry] = field(default_factory=list)
    _parts: dict[int, tuple[Entry, dict[CatalogueItem, Entry]]] = field(default_factory=dict, repr=False)
    """By identity, with the entry, so that no other one takes its identity."""

    def contract(self, entry: Entry) -> Contract | None:
        """Return the terms of the market that an entry names, if it names one."""
        market = self.catalogue.instrument(entry.instrument) if entry.instrument else None
        return market.contract if market else None

    def parts(self, entry: Entry | None) -> dict[CatalogueItem, Entry]:
        """Return what an entry is to each instrument or coin whose position it moves.

        This is worked out once per entry, as long as this object lives.
        """
        if entry is None:
            return {}
        known = self._parts.get(id(entry))
        if known is None:
            known = self._parts[id(entry)] = entry, self._split(entry)
        return known[1]

    def _split(self, entry: Entry) -> dict[CatalogueItem, Entry]:
        market = self.catalogue.instrument(entry.instrument) if entry.instrument else None
        if market is not None and market.contract.kind is not ContractKind.SPOT:
            return {market: entry}
        found = {}
        for part in by_asset(entry, market.contract if market else None, par=self.par):
            coin = self.catalogue.coin(part.instrument or "")
            if coin is not None:
                found[coin] = part
        return found

    def by_item(self, effects: Iterable[Effect]) -> dict[CatalogueItem, list[Effect]]:
        """Return what effects change for each instrument or coin: of each effect its part."""
        found: dict[CatalogueItem, list[Effect]] = defaultdict(list)
        for effect in effects:
            before, after = self.parts(effect.before), self.parts(effect.after)
            for item in {**before, **after}:
                found[item].append(Effect(before.get(item), after.get(item)))
        return found

    def of(self, item: CatalogueItem, *, after: datetime | None) -> list[Entry]:
        """Return the facts of an item that count and are later than a time, those being booked included.

        Corrections that waited for one of those are among `facts`.
        """
        found = self._parts_of(item, self.history.facts(item, after))
        return [part for part in found if after is None or part.time > after]

    def between(self, item: CatalogueItem, *, after: datetime | None, until: datetime) -> list[Entry]:
        """Return the facts of an item that count, later than one time and not than another."""
        found = self._parts_of(item, self.history.between(item, after, until))
        return [part for part in found if part.time <= until and (after is None or part.time > after)]

    def later(self, *, after: datetime, until: datetime | None = None) -> list[Entry]:
        """Return the facts of the whole account that count, later than one time and not than another."""
        found = self._effective(self.history.later(after, until))
        return [one for one in found if one.time > after and (until is None or one.time <= until)]

    def _parts_of(self, item: CatalogueItem, known: Iterable[Entry]) -> list[Entry]:
        # Read once and let go: an account's whole history is not kept with its parts.
        parts = (self._split(entry).get(item) for entry in self._effective(known))
        return [part for part in parts if part is not None]

    def _effective(self, booked: Iterable[Entry]) -> Iterable[Entry]:
        known = {entry.venue_ref: entry for entry in booked}
        self.catalogue.load_for(known.values(), par=self.par)
        known.update((entry.venue_ref, entry) for entry in self.facts)
        return resolve(known.values()).effective

    def shares(self, item: CatalogueItem) -> bool:
        """Return whether an instrument has facts without a leg: then its legs depend on each other."""
        return self.history.has_legless(item) or any(
            part.leg is None for entry in self.facts if (part := self.parts(entry).get(item)) is not None
        )
