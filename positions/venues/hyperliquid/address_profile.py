"""What processes share about a Hyperliquid address, so that each need not request it again.

That is: which dexes it uses, when all of them were last read, and its account mode. Reading 8 builder dexes
costs 16 of the rate budget, reading the mode 20.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from positions.venues.base import Cache, EntryBatch
from positions.venues.hyperliquid import rows

KEPT = timedelta(hours=2)
# A dex on which the account holds nothing is read this often; one that it uses, with every report.
DEX_EVERY = timedelta(minutes=10)
DEX_AGAIN = timedelta(minutes=1)  # when one of them did not answer
MODE_EVERY = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class AddressFacts:
    """What was learned of an address. `looked_at`: when every dex last answered; None: never."""

    dexes: frozenset[str] = frozenset()
    looked_at: datetime | None = None
    mode: str | None = None
    mode_at: datetime | None = None

    def joined(self, other: AddressFacts) -> AddressFacts:
        """Both: every dex that either saw in use, and of the rest the newer."""
        mode, mode_at = max((self.mode_at, self.mode), (other.mode_at, other.mode), key=_when)[::-1]
        looks = [at for at in (self.looked_at, other.looked_at) if at is not None]
        return AddressFacts(self.dexes | other.dexes, max(looks, default=None), mode, mode_at)


def _when(dated: tuple[datetime | None, str | None]) -> float:
    return dated[0].timestamp() if dated[0] is not None else float("-inf")


class AddressProfile:
    """What is known of one address, by this process and by the others through the shared cache."""

    def __init__(self, address: str, *, cache: Cache, server: str, dexes: Iterable[str] = ()) -> None:
        self.address = address
        self._cache = cache
        self._key = f"venues:hyperliquid:1:{server}|{address}"
        self._facts = AddressFacts(dexes=frozenset(dexes))
        self._shared = AddressFacts()
        self._tried_at: datetime | None = None

    @property
    def dexes(self) -> frozenset[str]:
        """Builder dexes on which the address has or trades something, or that its account's options name."""
        return self._facts.dexes

    @property
    def mode(self) -> str | None:
        """The account mode as last read."""
        return self._facts.mode

    def mode_due(self, now: datetime) -> bool:
        """Return whether the account mode should be read again."""
        return self._facts.mode_at is None or now - self._facts.mode_at >= MODE_EVERY

    def keep_mode(self, mode: str, now: datetime) -> None:
        """Remember the account mode that was read at `now`."""
        self._facts = replace(self._facts, mode=mode, mode_at=now)

    def add_dexes(self, scopes: Iterable[str]) -> None:
        """Remember the builder dexes among `scopes` as in use."""
        used = frozenset(scopes) - {"", rows.SPOT}
        self._facts = replace(self._facts, dexes=self._facts.dexes | used)

    def add_batch(self, batch: EntryBatch) -> None:
        """Remember the dexes of entries newer than the last look at every dex: later reports include them."""
        looked_at = self._facts.looked_at
        recent = [entry for entry in batch.entries if looked_at and entry.time >= looked_at]
        traded = {entry.instrument or "" for entry in recent}
        self.add_dexes(symbol.partition(":")[0] for symbol in traded if ":" in symbol)
        self.add_dexes(rows.scope_of(entry.wallet or "") for entry in recent)

    def all_dexes_due(self, now: datetime) -> bool:
        """Return whether every dex should be read now, and count this as a try."""
        for at, every in ((self._facts.looked_at, DEX_EVERY), (self._tried_at, DEX_AGAIN)):
            if at is not None and now - at < every:
                return False
        self._tried_at = now
        return True

    def keep_look(self, now: datetime) -> None:
        """Remember that every dex answered a report at `now`."""
        self._facts = replace(self._facts, looked_at=now)

    async def recall(self) -> None:
        """Add what other processes know. Raises Transient."""
        self._shared = _read(await self._cache.get(self._key))
        self._facts = self._facts.joined(self._shared)

    async def share(self) -> None:
        """Give the other processes what they do not know yet. Raises Transient."""
        joined = self._shared.joined(self._facts)
        if joined != self._shared:
            await self._cache.set(self._key, _written(joined), KEPT)
            self._shared = joined


def _written(known: AddressFacts) -> bytes:
    return json.dumps(
        {
            "dexes": sorted(known.dexes),
            "looked_at": known.looked_at and known.looked_at.isoformat(),
            "mode": known.mode,
            "mode_at": known.mode_at and known.mode_at.isoformat(),
        }
    ).encode()


def _read(raw: bytes | None) -> AddressFacts:
    try:
        plain = json.loads(raw or b"{}")
        return AddressFacts(
            dexes=frozenset(map(str, plain["dexes"])),
            looked_at=_moment(plain["looked_at"]),
            mode=plain["mode"],
            mode_at=_moment(plain["mode_at"]),
        )
    except (ValueError, TypeError, KeyError):
        return AddressFacts()


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
