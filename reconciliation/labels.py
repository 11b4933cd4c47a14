"""Labels of verdicts, kinds of difference, causes, actions and outcomes: one for each key. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from positions.book.money import plain

VERDICTS = {"FAILED": "Unresolved", "DRIFT": "Drift", "PENDING": "Not proven yet", "SYNCED": "Synced"}
"""The worst first: the order in which accounts and legs are listed."""
WORST_FIRST = tuple(VERDICTS)
SYNCED_UNPROVEN = "Synced, reading unproven"
"""A Synced that rests on a reading of the venue which no test proves."""
KINDS = {
    "missing_in_book": "Not in the book",
    "missing_at_venue": "Not at the venue",
    "quantity": "Size",
    "entry_price": "Entry price",
    "balance": "Balance",
    "equity": "Wallet balance",
    "leverage": "Leverage",
    "margin": "Margin",
    "liquidation_price": "Liquidation price",
    "realized": "Realized P&L",
    "unrealized": "Unrealized P&L",
    "value": "Account value",
}
FAMILIES = {
    "size": "Size",
    "entry_price": "Entry price",
    "cash": "Cash",
    "note": "Note",
    "value": "Account value",
}
RUN_STATES = {
    "running": "Running",
    "unread": "Could not check",
    "differs": "Differs",
    "complete": "Complete",
    "incomplete": "Incomplete",
}
CAUSES = {
    "fill_missed": "A fill was missed",
    "fill_doubled": "A fill is booked twice",
    "placed_elsewhere": "Traded elsewhere",
    "liquidation_unseen": "A liquidation or ADL was not seen",
    "transfer_unseen": "A transfer was not seen",
    "funding_missing": "Funding is missing",
    "fee_missing": "A fee is missing",
    "wrong_opening": "Held since before the history begins",
    "counted_twice": "Counted twice: in the opening balance and as fills",
    "manual_correction": "A correction by hand",
    "unit_mistake": "Contract size or unit mistaken",
    "dust_conversion": "Dust was converted",
    "venue_lag": "The venue lags behind",
    "unknown": "Unknown",
}
EVENTS = {
    "opened": "Opened",
    "acknowledged": "Acknowledged",
    "open": "Opened again",
    "resolved": "Resolved",
    "dismissed": "Dismissed",
    "comment": "Comment",
    "assigned": "Assigned",
    "applied": "Correction booked",
    "reversed": "Correction taken back",
    "not_automatic": "Not done automatically",
    "halted": "Automation halted",
}
DONE = {
    "adopt_venue": "Booked what the venue reports",
    "keep_book": "Kept the book",
    "book_adjustment": "Booked an adjustment",
    "set_opening_lot": "Booked an opening lot",
    "correct_opening": "Corrected the opening balance",
    "reverse_manual": "Reversed the entry made by hand",
    "dismiss": "Dismissed",
}
OUTCOMES = {
    "agrees": "The venue was read again: book and venue agree.",
    "differs": "The venue was read again: they still differ. The case stays open.",
    "unknown": "It is booked. The venue could not be read again yet.",
    "refused": "The book refused it: nothing was booked.",
    "broken_off": "It was interrupted before anything was booked.",
    "": "Kept.",
}
OUTCOME_CHIPS = {
    "agrees": ("Venue agrees", "ok"),
    "differs": ("Still differs", "act"),
    "unknown": ("Venue not read yet", "watch"),
    "refused": ("Refused", "watch"),
    "broken_off": ("Interrupted", "watch"),
}
"""What came of a correction, in a word with its colour."""


def verdict_label(status: str, *, is_proven: bool = True, at: datetime | None = None) -> str:
    """Return a verdict's label; `is_proven` says whether a test proves the reading that it rests on.

    `at`: the time of a proof that is not of now, as its account's feed has stopped since.
    """
    if status == "SYNCED" and at is not None:
        said = f"Synced at {at.astimezone(UTC):%H:%M:%S} UTC"
        return said if is_proven else f"{said}, reading unproven"
    return SYNCED_UNPROVEN if status == "SYNCED" and not is_proven else VERDICTS[status]


BUSY_BOOKING, BUSY_SAVING = "Booking, then reading the venue…", "Saving…"
"""What a button reads after it was pressed."""


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that can be done about a case: the text of its button. `priced`: it takes a price."""

    name: str
    label: str
    explanation: str
    priced: bool = False


def actions(
    *, names: list[str], family: str, unit: str, amount: Decimal, venue: str | None, in_cents: bool = False
) -> list[Action]:
    """Return a case's actions in words; `amount` is venue − book in `unit`, `venue` what the venue says.

    Amounts are written to the last digit, or (`in_cents`) to the cent.
    """
    by = f"{'+' if amount > 0 else '−'}{_grouped(abs(amount), in_cents=in_cents)} {unit}".strip()
    to = "nothing"
    if venue is not None:
        to = f"{_grouped(Decimal(venue), in_cents=in_cents)} {unit}".strip()
    found = {
        "adopt_venue": _adopt(family, to, by),
        "keep_book": Action(
            "keep_book", "Keep the book", "Books nothing. The case is acknowledged and stays in sight."
        ),
        "book_adjustment": Action(
            "book_adjustment",
            f"Adjust by {by}…" if family != "entry_price" else "Adjust the entry price",
            "Books an adjustment that stays separate in P&L."
            + (" Without a price its cost is unknown." if family == "size" else ""),
            priced=family == "size",
        ),
        "set_opening_lot": Action(
            "set_opening_lot",
            f"Set an opening lot of {by}…",
            "It was held since before the history that we have. Without a price: the venue's entry price.",
            priced=True,
        ),
        "correct_opening": Action(
            "correct_opening",
            f"Correct the opening balance by {by}",
            "What the wallet held at connection is restated: facts a moment around it were in it as well.",
        ),
        "reverse_manual": Action(
            "reverse_manual", "Reverse the entry made by hand", "Takes back what was booked by hand."
        ),
        "dismiss": Action(
            "dismiss", "Dismiss…", "Books nothing and closes the case; the same difference opens no other."
        ),
    }
    return [found[name] for name in names if name in found]


def confirm_label(*, action: str, books: bool) -> str:
    """Return the text of the button that confirms a preview; `books`: entries would be booked."""
    if books:
        return "Book it and read the venue again"
    return "Dismiss the case" if action == "dismiss" else "Keep the book"


def _adopt(family: str, to: str, by: str) -> Action:
    if family == "size":
        return Action(
            "adopt_venue",
            f"Adopt the venue's {to}",
            f"Books an inferred fill of {by}. The venue's own fill replaces it if it comes.",
        )
    if family == "entry_price":
        return Action(
            "adopt_venue",
            f"Adopt the venue's entry price {to}",
            "Books two adjustments that move the average and realize nothing.",
        )
    return Action("adopt_venue", f"Book {by} in the wallet", "Books the missing cash as an adjustment.")


def _grouped(amount: Decimal, *, in_cents: bool) -> str:
    """Return an amount with its thousands separated: every digit, or cents where a cent is left."""
    cents = amount.quantize(Decimal("0.01"))
    whole, point, rest = plain(abs(cents if in_cents and cents else amount)).partition(".")
    return f"{'−' if amount < 0 else ''}{int(whole):,}{point}{rest}"
