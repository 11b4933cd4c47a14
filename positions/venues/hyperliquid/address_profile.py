"""What processes tell each other of a Hyperliquid address, so that each need not ask for it again.

Which dexes it uses, when all of them were last looked at, and its mode: 8 builder dexes cost 16 of the budget
at each look, the mode 20.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from positions.venues.base import Cache

KEPT = timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of an address. `looked_at`: when every dex answered; None is never."""

    dexes: frozenset[str] = frozenset()
    looked_at: datetime | None = None
    mode: str | None = None
    mode_at: datetime | None = None

    def joined(self, other: Known) -> Known:
        """Both: every dex that either saw in use, and of the rest the newer."""
        mode, mode_at = max((self.mode_at, self.mode), (other.mode_at, other.mode), key=_when)[::-1]
        looks = [at for at in (self.looked_at, other.looked_at) if at is not None]
        return Known(self.dexes | other.dexes, max(looks, default=None), mode, mode_at)


def _when(dated: tuple[datetime | None, str | None]) -> float:
    return dated[0].timestamp() if dated[0] is not None else float("-inf")


class Shared:
    """What is known of one address, here and in the shared cache."""

    def __init__(self, cache: Cache, key: str) -> None:
        self._cache = cache
        self._key = f"venues:hyperliquid:1:{key}"
        self._told = Known()

    async def recall(self, mine: Known) -> Known:
        """What I know and what others told. Raises Transient."""
        self._told = _read(await self._cache.get(self._key))
        return mine.joined(self._told)

    async def tell(self, mine: Known) -> None:
        """Tell others, where it is news to them. Raises Transient."""
        news = self._told.joined(mine)
        if news != self._told:
            await self._cache.set(self._key, _written(news), KEPT)
            self._told = news


def _written(known: Known) -> bytes:
    return json.dumps(
        {
            "dexes": sorted(known.dexes),
            "looked_at": known.looked_at and known.looked_at.isoformat(),
            "mode": known.mode,
            "mode_at": known.mode_at and known.mode_at.isoformat(),
        }
    ).encode()


def _read(raw: bytes | None) -> Known:
    try:
        plain = json.loads(raw or b"{}")
        return Known(
            dexes=frozenset(map(str, plain["dexes"])),
            looked_at=_moment(plain["looked_at"]),
            mode=plain["mode"],
            mode_at=_moment(plain["mode_at"]),
        )
    except (ValueError, TypeError, KeyError):
        return Known()


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
