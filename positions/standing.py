"""The facts of an account that stand, as each instrument or coin whose position they move sees them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from positions.admission import Effect
from positions.book import Contract, ContractKind, Entry, by_asset
from positions.book.resolve import resolve
from positions.catalogue import Catalogue, Traded
from positions.ledger_rows import Checkpoint, Episode, Key


class History(Protocol):
    """What a refold asks Postgres for."""

    def episodes(self, key: Key, *, opened: datetime | None = None) -> list[Episode]:
        """All episodes of a key that are not VOID, in order, or those opened at a time or later."""

    def checkpoint(self, key: Key, *, before: datetime) -> Checkpoint | None:
        """The last checkpoint of a key before a time."""

    def checkpoints(self, key: Key) -> list[Checkpoint]:
        """All checkpoints of a key, in order."""

    def voided(self, key: Key, openings: Iterable[str]) -> list[Episode]:
        """VOID episodes of a key that these entries once opened."""

    def has_legless(self, traded: Traded) -> bool:
        """Whether facts of an instrument name no leg."""

    def facts(self, traded: Traded, after: datetime | None) -> list[Entry]:
        """Facts of an instrument or coin whose time may be later, and all corrections of them."""


@dataclass(slots=True)
class Standing:
    """What is booked (`history`) and what is being booked (`facts`), names resolved by the catalogue."""

    catalogue: Catalogue
    par: frozenset[str]
    history: History
    facts: list[Entry] = field(default_factory=list)

    def contract(self, entry: Entry) -> Contract | None:
        """Return the terms of the market that an entry names, if it names one."""
        market = self.catalogue.instrument(entry.instrument) if entry.instrument else None
        return market.contract if market else None

    def parts(self, entry: Entry | None) -> dict[Traded, Entry]:
        """Return what an entry is to each instrument or coin whose position it moves."""
        if entry is None:
            return {}
        market = self.catalogue.instrument(entry.instrument) if entry.instrument else None
        if market is not None and market.contract.kind is not ContractKind.SPOT:
            return {market: entry}
        found = {}
        for part in by_asset(entry, market.contract if market else None, par=self.par):
            coin = self.catalogue.coin(part.instrument or "")
            if coin is not None:
                found[coin] = part
        return found

    def parts_of(self, effect: Effect) -> Iterable[tuple[Traded, Effect]]:
        """Yield the same of an effect."""
        before, after = self.parts(effect.before), self.parts(effect.after)
        for traded in {**before, **after}:
            yield traded, Effect(before.get(traded), after.get(traded))

    def of(self, traded: Traded, *, after: datetime | None) -> list[Entry]:
        """The facts of an instrument or coin that stand, later than a time, those being booked included.

        Corrections that waited for one of those are among `facts`.
        """
        known = {entry.venue_ref: entry for entry in self.history.facts(traded, after)}
        self.catalogue.load_for(known.values(), par=self.par)
        known.update((entry.venue_ref, entry) for entry in self.facts)
        parts = (self.parts(entry).get(traded) for entry in resolve(known.values()).effective)
        return [part for part in parts if part is not None and (after is None or part.time > after)]

    def shares(self, traded: Traded) -> bool:
        """Whether an instrument has facts without a leg, so that its legs' folds depend on each other."""
        return self.history.has_legless(traded) or any(
            part.leg is None for entry in self.facts if (part := self.parts(entry).get(traded)) is not None
        )
