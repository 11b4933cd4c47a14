"""Counts the proofs: on what our reading of each venue's methods rests, from the suite itself.

`python -m tests.positions.venues.evidence` writes positions/venues/evidence.py's table and docs/venues.md's.
"""

from __future__ import annotations

import json
from pathlib import Path

from positions.venues.base import Evidence, Method
from positions.venues.registry import VENUES

from .replay import DATA

ROOT = Path(__file__).resolve().parents[3]
BEGIN, END = "BEGIN GENERATED", "END GENERATED"
CALLS = {
    "fetchPositions": Method.POSITIONS,
    "fetchPosition": Method.POSITIONS,
    "fetchPositionsRisk": Method.POSITIONS,
    "fetchBalance": Method.BALANCES,
    "fetchMyTrades": Method.FILLS,
    "fetchFundingHistory": Method.FUNDING,
    "fetchLedger": Method.TRANSFERS,
    "fetchDeposits": Method.TRANSFERS,
    "fetchWithdrawals": Method.TRANSFERS,
}
# What test_<venue>_simulated.py asks of a local server, each by at least one test.
SIMULATED = {
    "hyperliquid": set(Method),
    "coinbase": set(Method) - {Method.POSITIONS, Method.FUNDING, Method.STREAMS},
}
# What a venue does not have, so that there is nothing to prove.
ABSENT = {
    "coinbase": {Method.FUNDING, Method.STREAMS},
    "binance": {Method.POSITIONS, Method.FUNDING},
}
# Whose adapter reads what an account was worth in the past.
WITNESSES = {"hyperliquid"}


def recorded(venue: str) -> set[Method]:
    """Methods with at least one recorded answer in which there was something to read, and which we read."""
    found = set()
    for path in (DATA / venue).glob("*.json"):
        case = json.loads(path.read_text())
        if "expected" not in case:
            continue
        expected = case["expected"]
        rows = expected.get("positions") or expected.get("balances") or expected.get("entries")
        if rows or expected.get("count"):
            found.add(CALLS[case["method"]])
    return found


def table() -> dict[str, dict[Method, Evidence]]:
    """Venue × method: the best proof there is."""
    result = {}
    for venue in VENUES:
        proofs = recorded(venue)
        result[venue] = {
            method: Evidence.UNSUPPORTED
            if method in ABSENT.get(venue, ()) or (method is Method.VALUES and venue not in WITNESSES)
            else Evidence.RECORDED
            if method in proofs
            else Evidence.SIMULATED
            if method in SIMULATED.get(venue, ())
            else Evidence.UNPROVEN
            for method in Method
        }
    return result


def as_code() -> str:
    """The table as the literal of positions/venues/evidence.py."""
    lines = ["PROVEN: Mapping[str, Mapping[Method, Evidence]] = {"]
    for venue, methods in table().items():
        lines.append(f'    "{venue}": {{')
        lines += [f"        Method.{m.name}: Evidence.{e.name}," for m, e in methods.items()]
        lines.append("    },")
    return "\n".join([*lines, "}"])


def as_markdown() -> str:
    """The table of docs/venues.md."""
    lines = ["| venue | " + " | ".join(Method) + " |", "| --- " * (len(Method) + 1) + "|"]
    for venue, methods in table().items():
        lines.append(f"| {venue} | " + " | ".join(methods[method] for method in Method) + " |")
    lines.append("| any other ccxt exchange | " + " | ".join("unproven" for _ in Method) + " |")
    return "\n".join(lines)


def replaced(text: str, content: str) -> str:
    """The text with what stands between the markers exchanged."""
    head, _, rest = text.partition(BEGIN)
    line, _, rest = rest.partition("\n")
    _, _, tail = rest.partition(END)
    last = ("\n" + rest[: rest.index(END)]).rsplit("\n", 1)[1]
    return f"{head}{BEGIN}{line}\n{content}\n{last}{END}{tail}"


FILES = {ROOT / "positions/venues/evidence.py": as_code, ROOT / "docs/venues.md": as_markdown}

if __name__ == "__main__":
    for path, make in FILES.items():
        path.write_text(replaced(path.read_text(), make()))
