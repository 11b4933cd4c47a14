"""Pages whose contents come with a later release: what will be there, and where to look until then."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Room:
    """One honest, empty page."""

    title: str
    icon: str
    heading: str
    text: str
    lines: tuple[str, ...]
    until: str


PORTFOLIO = Room(
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
RECONCILIATION = Room(
    title="Proof",
    icon="proof",
    heading="Nothing has been proven here yet",
    text="This page will show whether the book agrees with the venues, leg by leg:",
    lines=(
        "each run as a certificate: what was asked, what was covered, what was found",
        "each difference as a case, with its likely cause and the entries that show it",
        "what to do about it, previewed before anything is changed",
    ),
    until="Until then every position reads “Not proven yet”: the book is exact about what it was told, "
    "and nobody has compared it with the venue.",
)
ALERTS = Room(
    title="Alerts",
    icon="alerts",
    heading="No alert rules yet",
    text="This page will tell you, by e-mail too, when something starts and when it is over:",
    lines=(
        "liquidation comes near",
        "book and venue disagree",
        "a feed has gone silent",
        "a limit is reached",
    ),
    until="Until then nobody is called: keep the board in sight. It says by itself when its numbers are old.",
)
