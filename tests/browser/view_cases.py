"""One table of how a board is ordered and grouped, for both halves of the rules of the view."""

from __future__ import annotations

from typing import Any


def row(id: int, name: str, **facts: Any) -> dict[str, Any]:
    """Return a row of the board as far as a view looks at it: a synced long of 100 USD without P&L."""
    underlying = name.partition("-")[0]
    order = f"{underlying}|{name}|{facts.get('account', 'main')}|{id:04}"
    return {
        "id": id, "order": order, "name": name, "symbol": f"{name}:USDC",
        "underlying": underlying, "environment": "live", "kind": "USDC", "venue": "Hyperliquid",
        "account": "main", "account_id": 1, "side": "long", "side_label": "Long", "status_label": "Open",
        "proof": "SYNCED", "proof_label": "Synced", "feed": "live", "risk": "safe", "in_par": True,
        "quantity": "1",
        "entry_price": "100", "mark_price": "100", "mark_at": "2026-01-15T12:00:00+00:00", "notional": "100",
        "unrealized_pnl": "0", "unrealized_pnl_pct": "0", "realized_pnl": "0", "fees": "0", "funding": "0",
        "liquidation_price": "50", "liquidation_distance_pct": "50",
    } | facts  # fmt: skip


ROWS = [
    row(1, "BTC-PERP", unrealized_pnl="-2.5", notional="300", quantity="3"),
    row(2, "BTC-PERP", account="hedge", account_id=2, side="short", side_label="Short", quantity="-2",
        notional="200", unrealized_pnl="10", realized_pnl="-1.25"),
    row(3, "ETH-PERP", proof="DRIFT", proof_label="Drift", unrealized_pnl="9.999999999999999999"),
    row(4, "DOGE-PERP", risk="critical", liquidation_distance_pct="1.5", unrealized_pnl=None),
    row(5, "AAVE", venue="Coinbase", account="spot", account_id=3, kind="spot", liquidation_price=None,
        liquidation_distance_pct=None, risk="none", unrealized_pnl="-0.000000000000000001"),
    row(6, "SOL-PERP", proof="FAILED", proof_label="Unresolved", in_par=False, mark_at=None),
    row(7, "XRP-PERP", risk="watch", liquidation_distance_pct="9", unrealized_pnl="100"),
]  # fmt: skip

ORDERS: list[tuple[str, list[list[int]]]] = [
    ("", [[6, 3, 4, 7, 5, 2, 1]]),  # unresolved, drift, at risk by band, then by name and account
    ("sort=-unrealized", [[7, 2, 3, 6, 5, 1, 4]]),  # exact: 10 is more than 9.999999999999999999
    ("sort=unrealized", [[1, 5, 6, 3, 2, 7, 4]]),  # unknown is last, either way
    ("sort=distance", [[4, 7, 2, 1, 3, 6, 5]]),
    ("sort=size", [[2, 5, 4, 3, 6, 7, 1]]),
    ("sort=instrument", [[5, 2, 1, 4, 3, 6, 7]]),
    ("sort=-instrument", [[7, 6, 3, 4, 1, 2, 5]]),
    ("sort=account", [[5, 2, 1, 4, 3, 6, 7]]),
    ("sort=-nonsense&group=nonsense", [[6, 3, 4, 7, 5, 2, 1]]),
    ("group=asset", [[5], [2, 1], [4], [3], [6], [7]]),
    ("group=venue&sort=-notional", [[5], [1, 2, 4, 3, 6, 7]]),
    ("group=account", [[5], [2], [6, 3, 4, 7, 1]]),
]  # fmt: skip
"""(query of the address, ids in order, group by group)."""

SUMS: list[tuple[list[int], dict[str, Any]]] = [
    ([1, 2], {"count": 2, "gross": "500", "net": "100", "unrealized": "7.5", "realized": "-1.25",
              "left_out": 0, "hedged_pct": "80"}),
    ([3], {"count": 1, "gross": "100", "net": "100", "unrealized": "9.999999999999999999", "realized": "0",
           "left_out": 0, "hedged_pct": None}),
    ([4], {"count": 1, "gross": "100", "net": "100", "unrealized": None, "realized": "0", "left_out": 1,
           "hedged_pct": None}),
    ([4, 5], {"count": 2, "gross": "200", "net": "200", "unrealized": "-0.000000000000000001",
              "realized": "0", "left_out": 1, "hedged_pct": None}),
    ([6], {"count": 1, "gross": None, "net": None, "unrealized": None, "realized": None, "left_out": 1,
           "hedged_pct": None}),
]  # fmt: skip
"""(ids of rows, what they add up to)."""

SEARCHES: list[tuple[str, list[int]]] = [
    ("btc", [1, 2]),
    ("BTC short", [2]),
    ("btc -short", [1]),
    ("drift", [3]),
    ("unresolved", [6]),
    ("at risk", [4, 7]),
    ("coinbase", [5]),
    ("-usdc", []),
    ("-", [1, 2, 3, 4, 6, 7]),
    ("nothing like it", []),
]
