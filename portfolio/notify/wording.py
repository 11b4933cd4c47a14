"""What a mail says about each kind of alert beside its figures: what to do, what it does not mean. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reconciliation.labels import KINDS


@dataclass(frozen=True, slots=True)
class Advice:
    """The words of one kind. `sentence` says what is wrong without any figure; `cause` is used where no
    better one is known.
    """

    sentence: str
    cause: str
    todo: str
    not_meaning: str


ADVICE: Mapping[str, Advice] = {
    "liquidated": Advice(
        "The venue closed a position by force.",
        "The margin fell below what the venue demands, or another trader's liquidation took the other side.",
        "Look at the account at the venue first: other positions there may be near liquidation too. "
        "Then compare the fills with the book.",
        "It does not mean that the book is wrong: the venue's fills are booked as they came.",
    ),
    "liquidation_near": Advice(
        "The mark price has come near the price at which the venue closes the position.",
        "The price moved against the position, or margin left the account.",
        "Add margin or reduce the position, at the venue. Nothing is done for you: no orders are sent.",
        "It does not mean that anything was closed. The liquidation price is the venue's own statement, or "
        "computed by its formula where the mail says so.",
    ),
    "drift": Advice(
        "Book and venue differ: the same difference stood in two reports.",
        "Not diagnosed yet: the case ranks the causes.",
        "Open the case. It shows both sides and a preview of each way to settle it. Do not trade on the "
        "difference.",
        "It does not mean that money is lost: one of two records is wrong or late. Nothing was corrected "
        "unless this mail says so.",
    ),
    "unresolved": Advice(
        "Book and venue still differ after all facts were asked for again.",
        "Not diagnosed yet: the case ranks the causes.",
        "Open the case and decide: adopt what the venue says, adjust, or keep the book.",
        "It does not mean that the venue is right. Both sides are kept until somebody decides.",
    ),
    "proof_old": Advice(
        "It was too long ago that the venue's report was compared with the book.",
        "The venue does not answer, answers in part, or runs are paused.",
        "Open the account and look at why its runs prove nothing. Press Sync now when the venue is back.",
        "It does not mean that book and venue differ: nobody knows. Figures of this account are as old as "
        "their proof.",
    ),
    "feed_silent": Advice(
        "Nothing comes from the venue any more.",
        "The venue, the network between, or the key.",
        "Look at the venue's own status page, then at the account's feed. Until it is back, do not rely on "
        "prices and fills of this account.",
        "It does not mean that nothing happened there: fills are read again from where they stopped.",
    ),
    "limit": Advice(
        "A limit that you set is reached.",
        "Prices or positions moved.",
        "Reduce what the limit is about, or change the limit if it is no longer what you want.",
        "It does not mean that trading was stopped: Plumbline sends no orders.",
    ),
    "allocation": Advice(
        "A venue or account holds more or less of all equity than it is meant to.",
        "Profits and losses differ between venues, or money was moved.",
        "Move money between venues, or change the target.",
        "It does not mean that anything is lost.",
    ),
    "key": Advice(
        "A venue's key is refused, or may do more than it should.",
        "The key was deleted, has expired, or its permissions were changed at the venue.",
        "Look at the key at the venue now. If you did not change it yourself, delete it there and make a "
        "new one.",
        "It does not mean that somebody used it. Nothing of this account is read until the key is right.",
    ),
    "quarantine": Advice(
        "Facts of a venue could not be booked and wait for somebody.",
        "The venue sent something that contradicts what is booked, or that nobody can read.",
        "Open the quarantine: each fact stands there with its reason.",
        "It does not mean that they are lost: each is kept as it came, but no figure includes it.",
    ),
    "automation_halted": Advice(
        "Automatic corrections were halted.",
        "More corrections within an hour than the policy allows.",
        "Look at the cases behind them before you allow it again: many corrections have one cause.",
        "It does not mean that something was booked wrongly: each correction can be taken back in its case.",
    ),
    "component_down": Advice(
        "A part of Plumbline does not work.",
        "The process ended, hangs, or cannot reach what it needs.",
        "Look at /health and at the logs of that part, then start it again.",
        "It does not mean that facts are lost: what was missed is read again when the part is back. Until "
        "then other alerts may be late.",
    ),
    "test": Advice(
        "This is a test.",
        "Somebody asked for it.",
        "Nothing. If this reached you where you wanted it, you are set.",
        "It does not mean that anything is wrong.",
    ),
}
STATES: Mapping[str, str] = {
    "raised": "Raised",
    "worsened": "Worse",
    "repeated": "Still so",
    "unjudged": "Cannot be judged any more",
    "flapping": "Comes and goes",
    "acknowledged": "Acknowledged",
    "escalated": "Nobody has acknowledged this yet",
    "cleared": "Recovered",
}
"""The first line of a mail, by the kind of the transition."""
UNJUDGED = "Its inputs are too old to say whether it is still so. It counts as open until then."
FIGURES: Mapping[str, str] = {
    "book": "Book",
    "venue": "Venue",
    "amount": "Difference",
    "difference": "Difference",
    "mark": "Mark price",
    "mark_price": "Mark price",
    "liquidation_price": KINDS["liquidation_price"],
    "distance_pct": "Distance to liquidation",
    "liquidation_distance_pct": "Distance to liquidation",
    "quantity": "Size",
    "size": "Size",
    "notional": "Notional",
    "as_of": "Venue's report of",
    "mark_at": "Mark price of",
    "proven_at": "Last proof",
    "band": "Risk band",
    "entry_price": KINDS["entry_price"],
    "usd": "Worth",
    "count": "How many",
}
"""Labels of figures; others are labelled by their name."""
NO_FIGURES = frozenset({"step", "currency", "unit", "asset", "status", "run"})
HIDDEN = "hidden, as you asked"
WORTH_MONEY = frozenset({"liquidated", "liquidation_near", "drift", "unresolved", "quarantine"})
"""Kinds of which a mail says so where nobody knows what is at stake."""
