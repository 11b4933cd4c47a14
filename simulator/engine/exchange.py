"""The exchange: markets, accounts, the clock, and what happened (`outbox`) for whoever listens.

Same seed and same calls at the same times give the same history, to the id.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from simulator.wire import number, usd

from .accounts import Account, add_to, wealth
from .book import Builder, Order
from .catalogue import COLLATERAL, LISTINGS, PERP
from .market import Market
from .records import Archive

ZERO = Decimal(0)
Row = dict[str, Any]
# What the liquidator vault owns (USDC) unless told otherwise: enough for every liquidation of a demo.
VAULT = Decimal(2_000_000_000)
FIRST_OID = 41_000_000_000
# Coprime to 10^15, so that a counter times it visits every trade id once.
TID_STRIDE = 618_033_988_749_897


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that a stream may tell: `kind` fill, funding, ledger, order, trade, liquidation, cancel."""

    kind: str
    key: str
    row: Row


@dataclass(slots=True)
class Withheld:
    """The next `count` rows of a kind of one user stay unseen until `until` (ms)."""

    kind: str
    user: str
    count: int
    until: int


class Exchange:
    """State of the whole venue; `now` (ms) is what its clock shows, right or wrong."""

    def __init__(
        self, *, seed: int = 1, now: int = 0, funding_every: int = 3_600_000, vault: Decimal = VAULT
    ) -> None:
        self.seed = seed
        self.now = now
        self.archive = Archive()
        self.markets = {listing.coin: Market.open(listing, seed, self.archive) for listing in LISTINGS}
        self.by_asset = {market.listing.asset: market for market in self.markets.values()}
        self.accounts: dict[str, Account] = {}
        self.agents: dict[str, str] = {}
        self.outbox: list[Happening] = []
        self.fees: dict[str, Decimal] = {}
        self.delisted: set[str] = set()
        self.unlisted: set[str] = set()
        self.withheld: list[Withheld] = []
        self.hidden: list[tuple[int, str, Account, Row]] = []
        self.regime = "calm"
        self.counter = 0
        self.funding_every = funding_every
        self.next_funding = now - now % funding_every + funding_every
        self.cooldown = 30_000
        self.backstop = self.account("0x" + "b" * 40, house=True)
        self.deposit(self.backstop, vault, silent=True)

    # -- ids -----------------------------------------------------------------------------------------

    def next_oid(self) -> int:
        """A fresh order id, growing."""
        self.counter += 1
        return FIRST_OID + self.counter

    def next_tid(self) -> int:
        """A fresh trade id, shared by both sides."""
        self.counter += 1
        return (self.counter * TID_STRIDE + self.seed) % 10**15

    def next_hash(self) -> str:
        """A fresh transaction hash."""
        self.counter += 1
        return "0x" + hashlib.blake2b(f"{self.seed}:{self.counter}".encode(), digest_size=32).hexdigest()

    # -- accounts ------------------------------------------------------------------------------------

    def account(self, address: str, *, house: bool = False) -> Account:
        """The account of an address, made when first named."""
        address = address.lower()
        if address not in self.accounts:
            self.accounts[address] = Account(address, house=house, archive=self.archive)
        return self.accounts[address]

    def known(self, address: str) -> Account | None:
        """The account of an address, or None when the venue has never seen it."""
        return self.accounts.get(address.lower())

    def deposit(self, account: Account, amount: Decimal, *, dex: str = "", silent: bool = False) -> None:
        """Money from outside into the perp wallet of a dex."""
        token = COLLATERAL[dex]
        add_to(account.cash, dex, amount)
        add_to(account.totals.deposits, token, amount)
        if silent:
            return
        if dex:
            self.file_ledger(account, arrival(account.address, token, amount, dex=dex, nonce=self.now))
        else:
            self.file_ledger(account, {"type": "deposit", "usdc": number(amount)})

    def charge(self, account: Account, token: str, fee: Decimal) -> None:
        """Note a fee that settlement took."""
        add_to(account.totals.fees, token, fee)
        add_to(self.fees, token, fee)

    def pay_builder(self, account: Account, builder: Builder, token: str, fee: Decimal) -> None:
        """Pass a builder its part of a fee."""
        add_to(account.totals.fees, token, fee)
        self.account(builder.address).add_spot(token, fee)

    def imbalance(self) -> dict[str, Decimal]:
        """Per token: what users own - deposits + withdrawals + fees to the house. Always empty."""
        missing = wealth(self.accounts.values())
        for account in self.accounts.values():
            for token, amount in account.totals.deposits.items():
                add_to(missing, token, -amount)
            for token, amount in account.totals.withdrawals.items():
                add_to(missing, token, amount)
        for token, amount in self.fees.items():
            add_to(missing, token, amount)
        return {token: amount for token, amount in missing.items() if amount != 0}

    # -- time ----------------------------------------------------------------------------------------

    def reveal(self) -> None:
        """Show the withheld rows that are due."""
        due = [one for one in self.hidden if one[0] <= self.now]
        self.hidden = [one for one in self.hidden if one[0] > self.now]
        for _, kind, account, row in due:
            self._show(kind, account, row)

    # -- records -------------------------------------------------------------------------------------

    def file_fill(self, account: Account, row: Row) -> None:
        """Keep and tell a fill."""
        self._file("fill", account, row)

    def file_ledger(self, account: Account, delta: Row) -> None:
        """Keep and tell a deposit, withdrawal, transfer, liquidation …"""
        self._file("ledger", account, {"time": self.now, "hash": self.next_hash(), "delta": delta})

    def file_funding(self, account: Account, row: Row) -> None:
        """Keep and tell a funding payment."""
        self._file("funding", account, row)

    def _file(self, kind: str, account: Account, row: Row) -> None:
        for rule in self.withheld:
            if rule.kind == kind and rule.user == account.address:
                rule.count -= 1
                if rule.count <= 0:
                    self.withheld.remove(rule)
                self.hidden.append((rule.until, kind, account, row))
                return
        self._show(kind, account, row)

    def _show(self, kind: str, account: Account, row: Row) -> None:
        kept = {"fill": account.fills, "funding": account.fundings, "ledger": account.ledger}[kind]
        kept.insert(row)
        self.outbox.append(Happening(kind, account.address, row))

    def file_order(self, order: Order, status: str) -> None:
        """Keep and tell an order's new status."""
        account = order.account
        if account.house:
            return
        account.history.append({"order": order.full(), "status": status, "statusTimestamp": self.now})
        row = {"order": order.basic(), "status": status, "statusTimestamp": self.now}
        self.outbox.append(Happening("order", account.address, row))

    def file_trade(self, *, taker: Order, maker: Order, size: Decimal, tid: int, digest: str) -> None:
        """Keep and tell a public trade."""
        buyer, seller = (taker, maker) if taker.is_buy else (maker, taker)
        row = {
            "coin": maker.market.listing.coin,
            "side": "B" if taker.is_buy else "A",
            "px": number(maker.price),
            "sz": number(size),
            "time": self.now,
            "hash": digest,
            "tid": tid,
            "users": [buyer.account.address, seller.account.address],
        }
        maker.market.trades.append(row)
        self.outbox.append(Happening("trade", maker.market.listing.coin, row))

    def note_liquidation(self, account: Account, delta: Row) -> None:
        """Tell a user that it is being liquidated, as userEvents does."""
        self.counter += 1
        row = {
            "lid": self.counter,
            "liquidator": self.backstop.address,
            "liquidated_user": account.address,
            "liquidated_ntl_pos": delta["liquidatedNtlPos"],
            "liquidated_account_value": delta["accountValue"],
        }
        self.outbox.append(Happening("liquidation", account.address, row))

    def drain(self) -> list[Happening]:
        """What happened since last asked."""
        happened, self.outbox = self.outbox, []
        return happened


def arrival(address: str, token: str, amount: Decimal, *, dex: str, nonce: int) -> Row:
    """The ledger row of collateral that somebody else sent to an account's wallet on a builder's dex."""
    return {
        "type": "send",
        "user": "0x2222222222222222222222222222222222222222",
        "destination": address,
        "sourceDex": "spot",
        "destinationDex": dex,
        "token": token,
        "amount": number(amount),
        "usdcValue": usd(amount),
        "fee": "0.0",
        "nativeTokenFee": "0.0",
        "nonce": nonce,
        "feeToken": "",
    }


def perps(exchange: Exchange, dex: str) -> list[Market]:
    """The perpetuals of one dex, in the order of their ids."""
    return [m for m in exchange.markets.values() if m.listing.kind == PERP and m.listing.dex == dex]
