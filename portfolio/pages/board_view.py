"""How one looks at the board: order, groups, words searched, columns. All of it is in the page's address.

The same rules live in static/js/view.js; one table tests both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.http import QueryDict

from portfolio.rollup import PositionSums
from positions.book import money
from positions.labels import ENVIRONMENTS

Row = Mapping[str, Any]

COLUMNS = {
    "account": "Venue · account", "side": "Side", "size": "Size", "entry": "Entry", "mark": "Mark",
    "notional": "Notional", "unrealized": "Unrealized", "pct": "%", "realized": "Realized", "fees": "Fees",
    "funding": "Funding", "liquidation": "Liquidation", "distance": "Distance", "status": "Status",
    "proof": "Proof", "age": "Age",
}  # fmt: skip
"""What the table shows beside the instrument: {name: heading}."""

NUMBERS = {
    "size": "quantity", "entry": "entry_price", "mark": "mark_price", "notional": "notional",
    "unrealized": "unrealized_pnl", "pct": "unrealized_pnl_pct", "realized": "realized_pnl", "fees": "fees",
    "funding": "funding", "liquidation": "liquidation_price", "distance": "liquidation_distance_pct",
}  # fmt: skip
"""{column: fact} of the columns that are ordered as numbers; an unknown one comes last, either way."""

TEXTS = {
    "instrument": ("name", "order"), "account": ("venue", "account", "order"), "side": ("side", "order"),
    "status": ("status_label", "order"), "proof": ("proof_label", "order"), "age": ("mark_at", "order"),
}  # fmt: skip
GROUPS = {
    "asset": ("Asset", "underlying", ("underlying",)),
    "venue": ("Venue", "venue", ("venue",)),
    "account": ("Account", "account_id", ("venue", "account")),
}
"""{name: (label, fact that rows of a group share, facts that name it)}."""

SEARCHED = ("name", "symbol", "venue", "account", "side_label", "status_label", "proof_label")
PROOFS_FIRST = ("FAILED", "DRIFT")
RISKS_FIRST = ("critical", "danger", "watch")
AT_RISK = " at risk"
LONGEST_SEARCH = 200


@dataclass(frozen=True, slots=True)
class BoardView:
    """What somebody wants to see. `sort` is a column, "" what needs attention first; `hidden` are columns."""

    sort: str = ""
    descending: bool = False
    group: str = ""
    search: str = ""
    hidden: frozenset[str] = frozenset()
    compact: bool = False
    environment: str = ""

    def query(self, **changes: str) -> str:
        """Return the address's query of this view, with `changes` to its parameters ("": without it)."""
        parameters = {
            "q": self.search,
            "sort": f"-{self.sort}" if self.descending else self.sort,
            "group": self.group,
            "hide": ",".join(name for name in COLUMNS if name in self.hidden),
            "rows": "compact" if self.compact else "",
            "environment": self.environment,
        } | changes
        return urlencode({name: value for name, value in parameters.items() if value})


class Heading(NamedTuple):
    """A column's heading: its link orders by it, then the other way, then as the board does by itself."""

    name: str
    label: str
    title: str
    is_number: bool
    aria_sort: str
    query: str


class Group(NamedTuple):
    """Rows under one heading with what they add up to; without groups, all rows and no heading."""

    key: str
    label: str
    rows: list[Row]
    sums: PositionSums

    @property
    def totals(self) -> dict[str, Any]:
        """Return what the heading of the group shows, as `sumsOf` of static/js/view.js."""
        sums = self.sums
        return {
            "count": sums.positions,
            "gross": sums.notional.amount,
            "net": sums.net,
            "unrealized": sums.unrealized.amount,
            "realized": sums.realized.amount,
            "left_out": max(s.left_out for s in (sums.notional, sums.unrealized, sums.realized, sums.shorts)),
            "hedged_pct": hedged_pct(sums),
        }


def view_of(query: QueryDict) -> BoardView:
    """Return the view that an address asks for. Unknown names are ignored: old links still work."""
    sort = query.get("sort", "")
    column = sort.removeprefix("-")
    if column not in NUMBERS and column not in TEXTS:
        sort = column = ""
    group, environment = query.get("group", ""), query.get("environment", "")
    hidden = set(query.get("hide", "").split(","))
    if "shown" in query:  # the form of columns, without scripts, sends those that are ticked
        hidden = COLUMNS.keys() - set(query.getlist("show"))
    return BoardView(
        sort=column,
        descending=sort.startswith("-"),
        group=group if group in GROUPS else "",
        search=query.get("q", "")[:LONGEST_SEARCH],
        hidden=frozenset(hidden & COLUMNS.keys()),
        compact=query.get("rows") == "compact",
        environment=environment if environment in ENVIRONMENTS else "",
    )


def headings(view: BoardView) -> list[Heading]:
    """Return the headings of the table, the instrument's first."""
    return [_heading(name, label, view) for name, label in {"instrument": "Instrument", **COLUMNS}.items()]


def _heading(name: str, label: str, view: BoardView) -> Heading:
    is_number = name in NUMBERS
    first, second = (f"-{name}", name) if is_number else (name, f"-{name}")
    current = (f"-{name}" if view.descending else name) if view.sort == name else ""
    following = {"": first, first: second, second: ""}[current]
    aria_sort = "" if not current else "descending" if view.descending else "ascending"
    title = "Time since the mark price was observed" if name == "age" else ""
    return Heading(name, label, title, is_number or name == "age", aria_sort, view.query(sort=following))


def arrange(rows: Iterable[Row], view: BoardView) -> list[Group]:
    """Return the rows that match, in order and by group; groups stand in the order of their names."""
    found = ordered([row for row in rows if matches(row, view.search)], view)
    groups: dict[str, Group] = {}
    for row in found:
        key, label = group_of(row, view.group)
        if key not in groups:
            groups[key] = Group(key, label, [], PositionSums(row["environment"]))
        groups[key].rows.append(row)
        groups[key].sums.add_row(row)
    return sorted(groups.values(), key=lambda group: (group.label.lower(), group.key))


def ordered(rows: Iterable[Row], view: BoardView) -> list[Row]:
    """Return rows in the order of the view. Rows that are equal in it keep the board's own order."""
    found = sorted(rows, key=lambda row: str(row["order"]))
    if view.sort in NUMBERS:
        fact = NUMBERS[view.sort]
        known = [row for row in found if row[fact] is not None]
        known.sort(key=lambda row: Decimal(row[fact]), reverse=view.descending)
        return known + [row for row in found if row[fact] is None]
    key: Callable[[Row], Any] = attention
    if view.sort:
        facts = TEXTS[view.sort]
        key = lambda row: [str(row[fact] or "").lower() for fact in facts]  # noqa: E731
    return sorted(found, key=key, reverse=view.descending)


def attention(row: Row) -> int:
    """Return how soon a row needs a person, 0 first: unresolved, drift, at risk by band, then the rest."""
    if row["proof"] in PROOFS_FIRST:
        return PROOFS_FIRST.index(row["proof"])
    if row["risk"] in RISKS_FIRST:
        return len(PROOFS_FIRST) + RISKS_FIRST.index(row["risk"])
    return len(PROOFS_FIRST) + len(RISKS_FIRST)


def matches(row: Row, search: str) -> bool:
    """Return whether a row has every word of a search, and none that follows a minus."""
    text = searched(row)
    words = search.lower().split()
    return all((word[1:] not in text) if word[:1] == "-" and word[1:] else word in text for word in words)


def searched(row: Row) -> str:
    """Return what a search looks through."""
    facts = " ".join(str(row[fact] or "") for fact in SEARCHED)
    return (facts + (AT_RISK if row["risk"] in RISKS_FIRST else "")).lower()


def group_of(row: Row, group: str) -> tuple[str, str]:
    """Return the key and the name of a row's group; ("", "") without groups."""
    if not group:
        return "", ""
    _, key, names = GROUPS[group]
    return str(row[key]), " · ".join(str(row[name]) for name in names)


def hedged_pct(sums: PositionSums) -> Decimal | None:
    """Return the share of the exposure that the other side offsets, in percent; None: nothing, or unknown."""
    gross, net = sums.notional.whole, sums.net
    if gross is None or net is None or not gross or len(+sums.sides) < 2:
        return None
    return money.share(Decimal(100), money.subtract(gross, abs(net)), gross)
