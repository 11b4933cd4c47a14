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
    heading="Nothing has been compared yet",
    text="A connected account is compared with its venue within a minute, then every minute. You will see:",
    lines=(
        "each leg: does the book agree with the venue, and how old is that proof",
        "each difference: what the book says, what the venue says",
        "each run: what it could see, what it booked, what stood in its way",
    ),
    until="Until then positions read “Not proven yet”. Accounts kept by hand have no venue and stay so.",
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
