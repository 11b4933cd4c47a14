"""PURE: rows of the board and how accounts stand -> totals, one set per environment. They never mix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, localcontext
from operator import itemgetter
from typing import Any

from positions.book.money import CONTEXT, plain
from positions.labels import ENVIRONMENTS
from reconciliation.labels import VERDICTS

GOOD_FEEDS = ("live", "polled")
FEED_WORDS = ("down", "stale", "backfilling", "live", "polled")
"""The worst first."""

PROOF_ORDER = ("FAILED", "DRIFT", "SYNCED", "PENDING")
"""What needs a person, then what is proven: what is merely not proven yet is no headline."""

UNKNOWN = "not known now"

Row = Mapping[str, Any]
Standing = Mapping[str, Any]


def totals(
    *, rows: Iterable[Row], environments: Iterable[str] = (), accounts: Iterable[Standing] | None = None
) -> dict[str, dict[str, Any]]:
    """Return {environment: totals} for every environment named or held, in the order of ENVIRONMENTS.

    `rows` are `portfolio.live.rows` facts of open positions (amounts as text or Decimal), `accounts` those of
    `portfolio.account_summaries`; None is not known (yet, or as Redis is away). Amounts add up only where
    their currency counts as par (`in_par`); what is unknown or in another currency is left out of the sum
    and counted in its note. A sum of nothing known is None; a sum over no positions is 0. Equity = cash,
    coins included, + what derivatives have not realized yet.
    """
    held: dict[str, list[Row]] = {name: [] for name in environments}
    standing: dict[str, list[Standing]] = {}
    for row in rows:
        held.setdefault(row["environment"], []).append(row)
    for account in accounts or ():
        standing.setdefault(account["environment"], []).append(account)
    with localcontext(CONTEXT):
        return {
            name: _totals(name, held[name], None if accounts is None else standing.get(name, ()))
            for name in ENVIRONMENTS
            if name in held
        }


def nothing() -> dict[str, Any]:
    """Totals of a book without any account."""
    return _totals("", [], [])


def _totals(environment: str, rows: Sequence[Row], accounts: Sequence[Standing] | None) -> dict[str, Any]:
    unrealized, unrealized_left = _sum(rows, "unrealized")
    realized, realized_left = _sum(rows, "realized")
    gross, gross_left = _sum(rows, "notional")
    short, _ = _sum([row for row in rows if row["side"] == "short"], "notional")
    net = None if gross is None else gross - 2 * (short or Decimal(0))
    distances = [(Decimal(row["distance_pct"]), row) for row in rows if row["distance_pct"] is not None]
    distance, nearest = min(distances, key=itemgetter(0), default=(None, None))
    return {
        "environment": environment,
        "environment_label": ENVIRONMENTS.get(environment, ""),
        "positions": len(rows),
        **_equity(rows, accounts),
        "unrealized": _text(unrealized),
        "unrealized_note": _count(len(rows)) + _left_out(unrealized_left),
        "realized": _text(realized),
        "realized_note": ("before fees and funding" if rows else "") + _left_out(realized_left),
        "gross": _text(gross),
        "net": _text(net),
        "gross_note": _left_out(gross_left),
        "nearest": _text(distance),
        **_nearest(nearest, sum(row["risk"] == "unknown" for row in rows)),
        **_proof(rows),
        **_feeds(accounts),
        **_oldest(rows),
    }


def _nearest(row: Row | None, unknown: int) -> dict[str, str]:
    """Of whom a distance to liquidation is known; one that is not may be the nearest."""
    if row is None:
        note = f"{unknown} leveraged, not known" if unknown else "no leveraged position"
        return {"nearest_note": note, "nearest_risk": "watch" if unknown else "none"}
    return {
        "nearest_note": f"{row['name']} · {row['account']}{_left_out(unknown)}",
        "nearest_risk": row["risk"],
    }


def _equity(rows: Sequence[Row], accounts: Sequence[Standing] | None) -> dict[str, str | None]:
    """Only accounts whose cash is known count, with their derivatives: half an account is no equity."""
    if accounts is None:
        return {"equity": None, "equity_note": UNKNOWN}
    known = {one["id"]: one for one in accounts if one["cash"] is not None}
    counted = [row for row in rows if row["account_id"] in known and row["kind"] != "spot"]
    moving, unknown = _sum(counted, "unrealized")
    unknown += sum(one["cash_unknown"] for one in known.values()) + len(accounts) - len(known)
    if not known:
        return {"equity": None, "equity_note": "not known yet" if accounts else ""}
    cash = sum((Decimal(one["cash"]) for one in known.values()), Decimal(0))
    number = "1 account" if len(known) == 1 else f"{len(known)} accounts"
    return {"equity": _text(cash + (moving or Decimal(0))), "equity_note": number + _left_out(unknown)}


def _feeds(accounts: Sequence[Standing] | None) -> dict[str, str]:
    if accounts is None:
        return {"feeds": "—", "feeds_note": UNKNOWN, "feeds_level": "watch"}
    count = Counter(one["feed"] for one in accounts)
    said = [f"{count[word]} {word}" for word in FEED_WORDS if count[word]] or ["none"]
    good = all(one["feed"] in (*GOOD_FEEDS, "none") for one in accounts)
    return {"feeds": said[0], "feeds_note": " · ".join(said[1:]), "feeds_level": "" if good else "watch"}


def _oldest(rows: Sequence[Row]) -> dict[str, Any]:
    """When the price was observed that is the oldest of those that the sums rest on."""
    priced = [row["at"] for row in rows if row["mark"] is not None]
    return {"oldest_mark_at": min(priced, default=None), "unpriced": len(rows) - len(priced)}


def _sum(rows: Sequence[Row], name: str) -> tuple[Decimal | None, int]:
    """Sum of what is known, and how many are left out; None when nothing at all is known."""
    known = [Decimal(row[name]) for row in rows if row[name] is not None and row["in_par"]]
    left_out = len(rows) - len(known)
    return (None if rows and not known else sum(known, Decimal(0))), left_out


def _proof(rows: Sequence[Row]) -> dict[str, str]:
    count = Counter(row["proof"] if row["proof"] in VERDICTS else "PENDING" for row in rows)
    words = [f"{count[proof]} {VERDICTS[proof].lower()}" for proof in PROOF_ORDER if count[proof]]
    words = words or ["nothing to prove"]
    level = "act" if count["FAILED"] or count["DRIFT"] else ""
    return {"proof": words[0], "proof_note": " · ".join(words[1:]), "proof_level": level}


def _count(positions: int) -> str:
    if not positions:
        return "no open positions"
    return "1 position" if positions == 1 else f"{positions} positions"


def _left_out(number: int) -> str:
    return f", {number} unknown" if number else ""


def _text(value: Decimal | None) -> str | None:
    return None if value is None else plain(value)
