"""Texts of pages that have no contents yet: what they will show, and where to look until then."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Placeholder:
    """The text of one page that has no contents yet."""

    title: str
    icon: str
    heading: str
    text: str
    lines: tuple[str, ...]
    until: str


PORTFOLIO = Placeholder(
    title="Portfolio",
    icon="portfolio",
    heading="The portfolio over time is not built yet",
    text="This page will add up what you hold, now and over time, never mixing live with simulated money:",
    lines=(
        "equity and profit by day, week and month, with fees and funding apart",
        "exposure by coin, venue, account and strategy; what hedges what",
        "limits, and how far each is used",
    ),
    until="Until then: the strip above has today's totals, the board each position.",
)
NO_ENTRIES = (
    "Nothing is booked yet. "
    "The first fill, fee, funding payment or transfer of a connected account appears here."
)
