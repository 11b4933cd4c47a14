"""Money and tokens that move: deposits, withdrawals, between wallets, between users."""

from __future__ import annotations

from decimal import Decimal

from simulator.wire import number, usd

from .accounts import Account, add_to
from .catalogue import COLLATERAL, TOKEN_INDEX
from .exchange import Exchange

ZERO = Decimal(0)
WITHDRAWAL_FEE = Decimal(1)


class Insufficient(ValueError):
    """A wallet has less than is to leave it; the text is the venue's own."""


def deposit_spot(exchange: Exchange, account: Account, token: str, amount: Decimal, *, cost: Decimal) -> None:
    """Tokens from outside into the spot wallet, bought for `cost` USD elsewhere."""
    account.add_spot(token, amount)
    add_to(account.totals.deposits, token, amount)
    account.cost[token] = account.cost.get(token, ZERO) + cost
    delta = {
        "type": "spotTransfer",
        "token": token,
        "amount": number(amount),
        "usdcValue": usd(cost),
        "user": "0x2222222222222222222222222222222222222222",
        "destination": account.address,
        "fee": "0.0",
        "nativeTokenFee": "0.0",
        "nonce": None,
        "feeToken": "",
    }
    exchange.file_ledger(account, delta)


def withdraw(exchange: Exchange, account: Account, amount: Decimal) -> None:
    """USD out of the first dex's wallet, one USD of which is the fee. Raises Insufficient."""
    if amount <= WITHDRAWAL_FEE or amount > account.margin("").withdrawable:
        raise Insufficient("Insufficient balance for withdrawal.")
    add_to(account.cash, "", -amount)
    add_to(account.totals.withdrawals, "USDC", amount - WITHDRAWAL_FEE)
    exchange.charge(account, "USDC", WITHDRAWAL_FEE)
    delta = {
        "type": "withdraw",
        "usdc": number(amount - WITHDRAWAL_FEE),
        "nonce": exchange.now,
        "fee": number(WITHDRAWAL_FEE),
    }
    exchange.file_ledger(account, delta)


def to_class(exchange: Exchange, account: Account, amount: Decimal, *, to_perp: bool) -> None:
    """USDC between the spot wallet and the first dex's perp wallet. Raises Insufficient."""
    _check_wallets(account)
    free = account.free_spot("USDC") if to_perp else account.margin("").withdrawable
    if amount <= 0 or amount > free:
        raise Insufficient("Insufficient balance for token transfer.")
    signed = amount if to_perp else -amount
    add_to(account.cash, "", signed)
    add_to(account.spot, "USDC", -signed)
    exchange.file_ledger(account, {"type": "accountClassTransfer", "usdc": number(amount), "toPerp": to_perp})


def _check_wallets(account: Account) -> None:
    if account.is_unified:
        raise Insufficient("Action disabled when unified account is active")


def send_usd(exchange: Exchange, account: Account, other: Account, amount: Decimal) -> None:
    """USD to another user's perp wallet. Raises Insufficient."""
    if amount <= 0 or amount > account.margin("").withdrawable:
        raise Insufficient("Insufficient balance for withdrawal.")
    add_to(account.cash, "", -amount)
    add_to(other.cash, "", amount)
    delta = {
        "type": "internalTransfer",
        "usdc": number(amount),
        "user": account.address,
        "destination": other.address,
        "fee": "0.0",
    }
    exchange.file_ledger(account, delta)
    exchange.file_ledger(other, dict(delta))


def send_token(exchange: Exchange, account: Account, other: Account, token: str, amount: Decimal) -> None:
    """Spot tokens to another user; what they cost goes with them. Raises Insufficient."""
    if token not in TOKEN_INDEX or amount <= 0 or amount > account.free_spot(token):
        raise Insufficient("Insufficient balance for token transfer.")
    owned = account.spot.get(token, ZERO)
    cost = account.cost.get(token, ZERO) * amount / owned if owned else ZERO
    account.add_spot(token, -amount)
    add_to(account.cost, token, -cost)
    other.add_spot(token, amount)
    add_to(other.cost, token, cost)
    delta = {
        "type": "spotTransfer",
        "token": token,
        "amount": number(amount),
        "usdcValue": usd(cost),
        "user": account.address,
        "destination": other.address,
        "fee": "0.0",
        "nativeTokenFee": "0.0",
        "nonce": None,
        "feeToken": "",
    }
    exchange.file_ledger(account, delta)
    exchange.file_ledger(other, dict(delta))


def between_wallets(
    exchange: Exchange, account: Account, token: str, amount: Decimal, *, source: str, destination: str
) -> None:
    """Collateral between perp dexs and the spot wallet of one user ("spot"). Raises Insufficient."""
    _check_wallets(account)
    for wallet in (source, destination):
        if wallet != "spot" and token != COLLATERAL[wallet]:
            raise Insufficient("Insufficient balance for token transfer.")
    free = account.free_spot(token) if source == "spot" else account.margin(source).withdrawable
    if amount <= 0 or amount > free or source == destination:
        raise Insufficient("Insufficient balance for token transfer.")
    for wallet, signed in ((source, -amount), (destination, amount)):
        add_to(
            account.spot if wallet == "spot" else account.cash, token if wallet == "spot" else wallet, signed
        )
    delta = {
        "type": "send",
        "user": account.address,
        "destination": account.address,
        "sourceDex": source,
        "destinationDex": destination,
        "token": token,
        "amount": number(amount),
        "usdcValue": usd(amount),
        "fee": "0.0",
        "nativeTokenFee": "0.0",
        "nonce": exchange.now,
        "feeToken": "",
    }
    exchange.file_ledger(account, delta)
