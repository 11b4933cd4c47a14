"""The world an account or an instrument belongs to: instruments and prices are shared inside one only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class World:
    """A venue in one environment; a simulated one also at one base URL. Its text is a key for stores."""

    venue: str
    environment: str
    base_url: str = ""

    def __str__(self) -> str:
        return "|".join((self.venue, self.environment, self.base_url))

    def lookup(self, prefix: str = "") -> dict[str, str]:
        """Return the three values by field name, as a condition on rows; `prefix` such as "instrument__"."""
        return {
            f"{prefix}venue": self.venue,
            f"{prefix}environment": self.environment,
            f"{prefix}base_url": self.base_url,
        }
