"""PURE: rows of the board -> totals, one set per environment. Environments never mix."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

ENVIRONMENTS = {"live": "Live", "testnet": "Testnet", "simulated": "Simulated", "manual": "Manual"}

Row = Mapping[str, Any]


def totals(*, rows: Iterable[Row], environments: Iterable[str] = ()) -> dict[str, dict[str, Any]]:
    """Return {environment: totals} for every environment named or held, in the order of ENVIRONMENTS.

    `rows` are `portfolio.rows` facts of open positions. Amounts add up only where their currency counts as
    par (`in_par`); what is unknown or in another currency is left out of the sum and counted in its note.
    A sum of nothing known is None; a sum over no positions is 0.
    """
    held: dict[str, list[Row]] = {name: [] for name in environments}
    for row in rows:
        held.setdefault(row["environment"], []).append(row)
    return {name: _totals(name, held[name]) for name in ENVIRONMENTS if name in held}


def nothing() -> dict[str, Any]:
    """Totals of a book without any account."""
    return _totals("", [])


def _totals(environment: str, rows: Sequence[Row]) -> dict[str, Any]:
    unrealized, unrealized_left = _sum(rows, "unrealized")
    realized, realized_left = _sum(rows, "realized")
    gross, gross_left = _sum(rows, "notional")
    net, _ = _sum([{**row, "notional": _by_side(row)} for row in rows], "notional")
    nearest = min(
        (row for row in rows if row["distance_pct"] is not None),
        key=lambda row: Decimal(row["distance_pct"]),
        default=None,
    )
    return {
        "environment": environment,
        "environment_label": ENVIRONMENTS.get(environment, ""),
        "positions": len(rows),
        "unrealized": _text(unrealized),
        "unrealized_note": _count(len(rows)) + _left_out(unrealized_left),
        "realized": _text(realized),
        "realized_note": ("before fees and funding" if rows else "") + _left_out(realized_left),
        "gross": _text(gross),
        "net": _text(net),
        "gross_note": _left_out(gross_left),
        "nearest": None if nearest is None else nearest["distance_pct"],
        "nearest_note": f"{nearest['name']} · {nearest['account']}" if nearest else "no leveraged position",
        "nearest_risk": nearest["risk"] if nearest else "none",
        **_proof(rows),
    }


def _sum(rows: Sequence[Row], name: str) -> tuple[Decimal | None, int]:
    """Sum of what is known, and how many are left out; None when nothing at all is known."""
    known = [Decimal(row[name]) for row in rows if row[name] is not None and row["in_par"]]
    left_out = len(rows) - len(known)
    return (None if rows and not known else sum(known, Decimal(0))), left_out


def _by_side(row: Row) -> str | None:
    notional = row["notional"]
    if notional is None or row["side"] != "short":
        return None if notional is None else str(notional)
    return f"{Decimal(notional).copy_negate():f}"


def _proof(rows: Sequence[Row]) -> dict[str, str]:
    count = {proof: sum(row["proof"] == proof for row in rows) for proof in ("DRIFT", "FAILED", "SYNCED")}
    pending = len(rows) - sum(count.values())
    words = [
        (count["FAILED"], f"{count['FAILED']} failed"),
        (count["DRIFT"], f"{count['DRIFT']} drift"),
        (count["SYNCED"], f"{count['SYNCED']} synced"),
        (pending, f"{pending} not proven yet"),
    ]
    said = [word for number, word in words if number] or ["nothing to prove"]
    level = "act" if count["FAILED"] or count["DRIFT"] else ""
    return {"proof": said[0], "proof_note": " · ".join(said[1:]), "proof_level": level}


def _count(positions: int) -> str:
    if not positions:
        return "no open positions"
    return "1 position" if positions == 1 else f"{positions} positions"


def _left_out(number: int) -> str:
    return f", {number} unknown" if number else ""


def _text(value: Decimal | None) -> str | None:
    return None if value is None else f"{value:f}"
