"""Our book held against the simulated venues' own ledgers, and which facts make the difference."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from datetime import timedelta
from decimal import Decimal
from typing import Any

from benchmarks._simulator_server import Server
from positions.venues.hyperliquid.rows import fill_ref

Row = dict[str, Any]
TOLERANCE = Decimal("0.01")
NEAR = timedelta(seconds=2)


class Sim:
    """A simulated venue and its control."""

    def __init__(self, *options: str, venue: str) -> None:
        self.server = Server("--allow-control", *options, venue=venue)
        self.server.wait()
        self.users: list[str] = [row["user"] for row in self.ask("users")]

    def ask(self, path: str, body: Row | None = None, method: str | None = None) -> Any:
        """A request to /sim."""
        data = None if body is None else json.dumps(body).encode()
        url = f"{self.server.base}/sim/{path}"
        with urllib.request.urlopen(urllib.request.Request(url, data, method=method), timeout=30) as reply:
            return json.load(reply)

    def cause(self, spec: Row) -> bool:
        """Whether the venue could do it: nobody can withdraw from nothing."""
        try:
            self.ask("faults", spec)
        except urllib.error.HTTPError:
            return False
        return True

    def truth(self, user: str) -> Row:
        """The venue's own ledger of a user."""
        found: Row = self.ask(f"truth?user={user}")
        return found

    def fills(self, user: str) -> list[Row]:
        """All fills that the venue lists of a user, oldest first, each once."""
        found: dict[str, Row] = {}
        start = 0
        while True:
            body = json.dumps({"type": "userFillsByTime", "user": user, "startTime": start}).encode()
            headers = {"Content-Type": "application/json"}
            request = urllib.request.Request(f"{self.server.base}/info", body, headers)
            with urllib.request.urlopen(request, timeout=30) as reply:
                page = json.load(reply)
            fresh = {fill_ref(row): row for row in page}
            if fresh.keys() <= found.keys():
                return list(found.values())
            found |= fresh
            start = max(row["time"] for row in page)


def differences(hyperliquid: Sim, coinbase: Sim, accounts: dict[str, int]) -> Row:
    found = {}
    for user in hyperliquid.users:
        if gaps := _perp_gaps(hyperliquid.truth(user), accounts[user]):
            found[user] = gaps | _strangers(hyperliquid, user, accounts[user])
    for user in coinbase.users:
        truth = coinbase.truth(user)
        said = {("", asset): Decimal(amount) for asset, amount in truth["wallets"].items()}
        if gaps := _gaps(fills=(truth["fills"], _fills(accounts[user]))) | _wallet_gaps(
            said, accounts[user], by_asset=True
        ):
            found[user] = gaps | {"around_t0": _around_opening(accounts[user])}
    return found


def _perp_gaps(truth: Row, account: int) -> Row:
    from positions.models import Position

    held = Position.objects.filter(account=account).exclude(quantity=0).exclude(instrument__kind="asset")
    sizes = dict(held.values_list("instrument__venue_symbol", "quantity"))
    said = {coin: Decimal(one["size"]) for coin, one in truth["positions"].items()}
    totals = truth["totals"]
    fees = {token: Decimal(fee) for token, fee in totals["fees"].items() if Decimal(fee)}
    return _gaps(
        sizes=(said, sizes),
        fills=(totals["fills"], _fills(account)),
        fees=(fees, _fees(account)),
        funding=(Decimal(totals["funding"]), _sum(account, "funding")),
    ) | _wallet_gaps(_wallets(truth), account)


def _gaps(**pairs: tuple[Any, Any]) -> Row:
    return {name: [str(said), str(ours)] for name, (said, ours) in pairs.items() if said != ours}


def _fills(account: int) -> int:
    from positions.models import Entry

    return Entry.objects.filter(account=account, kind="fill").count()


def _fees(account: int) -> dict[str, Decimal]:
    """By currency: of fills, and what a withdrawal costs."""
    from positions.models import Entry

    found: dict[str, Decimal] = {}
    rows = Entry.objects.filter(account=account, kind__in=("fill", "fee"))
    for kind, fee, fee_currency, amount, currency in rows.values_list(
        "kind", "fee", "fee_currency", "amount", "currency"
    ):
        asset, paid = (fee_currency, fee) if kind == "fill" else (currency, -(amount or 0))
        if paid:
            found[str(asset)] = found.get(str(asset), Decimal(0)) + paid
    return found


def _sum(account: int, kind: str) -> Decimal:
    from positions.models import Entry

    amounts = Entry.objects.filter(account=account, kind=kind).values_list("amount", flat=True)
    return sum((amount for amount in amounts if amount is not None), Decimal(0))


def _wallets(truth: Row) -> dict[tuple[str, str], Decimal]:
    """Our wallets out of the venue's: perp cash without what open positions have cost."""
    wallets = {("spot", token): Decimal(amount) for token, amount in truth["spot"].items()}
    for dex, cash in truth["cash"].items():
        key = (f"perp:{dex}", "USDH") if dex else ("perp", "USDC")
        wallets[key] = Decimal(cash)
    for coin, one in truth["positions"].items():
        key = (f"perp:{coin.partition(':')[0]}", "USDH") if ":" in coin else ("perp", "USDC")
        spent = Decimal(one["size"]) * Decimal(one["entry"])
        wallets[key] = wallets.get(key, Decimal(0)) + Decimal(one["cash"] or 0) + spent
    return wallets


def _wallet_gaps(
    said: dict[tuple[str, str], Decimal], account: int, *, by_asset: bool = False
) -> dict[str, list[str]]:
    from positions.models import Balance

    ours = {
        ("" if by_asset else wallet, asset): amount
        for wallet, asset, amount in Balance.objects.filter(account=account).values_list(
            "wallet", "asset", "amount"
        )
    }
    found = {}
    for key in sorted({*said, *ours}):
        there, here = said.get(key, Decimal(0)), ours.get(key, Decimal(0))
        if abs(there - here) > TOLERANCE:
            found["/".join(key)] = [str(there), str(here)]
    return found


def _strangers(venue: Sim, user: str, account: int) -> Row:
    """Fills that only one side has, and how each that is only ours was booked."""
    from positions.models import Entry

    listed = {fill_ref(row): row for row in venue.fills(user)}
    rows = Entry.objects.filter(account=account).order_by("sequence")
    fields = (
        "sequence",
        "venue_ref",
        "cause",
        "quantity",
        "price",
        "at",
        "received_at",
        "source",
        "trace_id",
    )
    ours = {row["venue_ref"]: row for row in rows.filter(kind="fill").values(*fields)}
    corrections = rows.filter(kind__in=("bust", "amend", "adjustment"))
    return {
        "only_ours": [_plain(row) for ref, row in ours.items() if ref not in listed],
        "only_theirs": [row for ref, row in listed.items() if ref not in ours],
        "corrections": [_plain(row) for row in corrections.values(*fields, "kind", "target_ref")],
        "around_t0": _around_opening(account),
    }


def _around_opening(account: int) -> list[Row]:
    """The opening balances, and what happened within 2 s of each in its wallet: which side of T0 is it on?"""
    fields = (
        "sequence",
        "kind",
        "cause",
        "venue_ref",
        "wallet",
        "at",
        "received_at",
        "quantity",
        "fee",
        "amount",
    )
    from positions.models import Entry

    rows = Entry.objects.filter(account=account)
    found: dict[int, Row] = {}
    for wallet, at in rows.filter(kind="transfer", cause="opening").values_list("wallet", "at"):
        near = rows.filter(wallet=wallet, at__gte=at - NEAR, at__lte=at + NEAR)
        found |= {row["sequence"]: row for row in near.values(*fields)}
    return [_plain(found[sequence]) for sequence in sorted(found)]


def _plain(row: Row) -> Row:
    return {name: None if value is None else str(value) for name, value in row.items()}
