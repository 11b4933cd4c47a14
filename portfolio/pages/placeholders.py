"""Texts of pages that have no contents yet: what they will show."""

NO_ENTRIES = (
    "Nothing is booked yet. "
    "The first fill, fee, funding payment or transfer of a connected account appears here."
)
