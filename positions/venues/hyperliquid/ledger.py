"""Hyperliquid's non-funding ledger updates as entries. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from positions.book.entries import Cause, Entry, Kind
from positions.venues.fields import InvalidField, moment, optional, required, text
from positions.venues.hyperliquid.rows import PERP, SPOT, delta_of, wallet_of

Move = tuple[Kind, Cause | None, str, str, Decimal]
"""kind, cause, wallet, asset, signed amount"""


def ledger(row: Mapping[str, Any], *, address: str) -> list[Entry]:
    """Return a non-funding ledger update as entries: one per wallet it moves and per fee; [] for a notice.

    A notice of a liquidation moves nothing: its fills do. Raises InvalidField for an unknown type.
    """
    delta = delta_of(row)
    kind = str(delta.get("type"))
    if kind == "liquidation":
        return []
    mover = _MOVERS.get(kind)
    if mover is None:
        raise InvalidField(f"ledger update of unknown type {kind!r}")
    time = moment(row.get("time"))
    stem = f"hl:ledger:{row.get('hash')}:{row.get('time')}:{kind}"
    return [
        Entry(
            kind=what,
            cause=cause,
            venue_ref=f"{stem}:{number}:{wallet}:{asset}",
            time=time,
            leg=None,
            amount=amount,
            currency=asset,
            wallet=wallet,
        )
        for number, (what, cause, wallet, asset, amount) in enumerate(mover(delta, address))
        if amount
    ]


def _in(wallet: str, asset: str, amount: Decimal) -> Move:
    return Kind.TRANSFER, Cause.DEPOSIT, wallet, asset, amount


def _out(wallet: str, asset: str, amount: Decimal) -> Move:
    return Kind.TRANSFER, Cause.WITHDRAWAL, wallet, asset, -amount


def _own(wallet: str, asset: str, amount: Decimal) -> Move:
    return Kind.TRANSFER, Cause.INTERNAL, wallet, asset, amount


def _fee(wallet: str, asset: str, amount: Decimal | None) -> list[Move]:
    return [(Kind.FEE, None, wallet, asset, -amount)] if amount else []


def _deposit(delta: Mapping[str, Any], address: str) -> list[Move]:
    return [_in(PERP, "USDC", required(delta, "usdc"))]


def _withdraw(delta: Mapping[str, Any], address: str) -> list[Move]:
    """`usdc` is what arrives; the fee is taken on top (recorded: 10 withdrawn is usdc 9.0, fee 1.0)."""
    return [_out(PERP, "USDC", required(delta, "usdc")), *_fee(PERP, "USDC", optional(delta, "fee"))]


def _class_transfer(delta: Mapping[str, Any], address: str) -> list[Move]:
    amount = required(delta, "usdc")
    signed = amount if delta.get("toPerp") is True else -amount
    if delta.get("toPerp") not in (True, False):
        raise InvalidField(f"toPerp is {delta.get('toPerp')!r}")
    return [_own(PERP, "USDC", signed), _own(SPOT, "USDC", -signed)]


def _dex_transfer(delta: Mapping[str, Any], address: str) -> list[Move]:
    amount, asset = required(delta, "amount"), text(delta, "token")
    signed = amount if delta.get("toPerp") is True else -amount
    if delta.get("toPerp") not in (True, False):
        raise InvalidField(f"toPerp is {delta.get('toPerp')!r}")
    return [_own(wallet_of(str(delta.get("dex") or "")), asset, signed), _own(SPOT, asset, -signed)]


def _usd_transfer(delta: Mapping[str, Any], address: str) -> list[Move]:
    amount = required(delta, "usdc")
    if _sent(delta, address):
        return [_out(PERP, "USDC", amount), *_fee(PERP, "USDC", optional(delta, "fee"))]
    return [_in(PERP, "USDC", amount)]


def _sent(delta: Mapping[str, Any], address: str) -> bool:
    """Return whether the account is the sender. Raises InvalidField when it is neither side."""
    if _is(delta, "user", address):
        return True
    if _is(delta, "destination", address):
        return False
    raise InvalidField("a transfer between two other addresses")


def _spot_transfer(delta: Mapping[str, Any], address: str) -> list[Move]:
    amount, asset = required(delta, "amount"), text(delta, "token")
    if not _sent(delta, address):
        return [_in(SPOT, asset, amount)]
    return [_out(SPOT, asset, amount), *_transfer_fees(delta, SPOT)]


def _send(delta: Mapping[str, Any], address: str) -> list[Move]:
    amount, asset = required(delta, "amount"), text(delta, "token")
    source, target = _place(delta, "sourceDex"), _place(delta, "destinationDex")
    sent, arrived = _sent(delta, address), _is(delta, "destination", address)
    if sent and arrived:
        return [_own(source, asset, -amount), _own(target, asset, amount), *_transfer_fees(delta, source)]
    if sent:
        return [_out(source, asset, amount), *_transfer_fees(delta, source)]
    return [_in(target, asset, amount)]


def _place(delta: Mapping[str, Any], field: str) -> str:
    dex = delta.get(field)
    if not isinstance(dex, str):
        raise InvalidField(f"{field} is {dex!r}")
    return wallet_of(dex)


def _transfer_fees(delta: Mapping[str, Any], wallet: str) -> list[Move]:
    """fee is in feeToken (empty: USDC); nativeTokenFee in HYPE."""
    asset = delta.get("feeToken") or "USDC"
    return [
        *_fee(wallet, str(asset), optional(delta, "fee")),
        *_fee(SPOT, "HYPE", optional(delta, "nativeTokenFee")),
    ]


def _vault_in(delta: Mapping[str, Any], address: str) -> list[Move]:
    return [_out(PERP, "USDC", required(delta, "usdc")), *_fee(PERP, "USDC", optional(delta, "fee"))]


def _vault_out(delta: Mapping[str, Any], address: str) -> list[Move]:
    return [_in(PERP, "USDC", required(delta, "netWithdrawnUsd"))]


def _genesis(delta: Mapping[str, Any], address: str) -> list[Move]:
    return [_in(SPOT, text(delta, "token"), required(delta, "amount"))]


def _reward(delta: Mapping[str, Any], address: str) -> list[Move]:
    token = delta.get("token")
    where, asset = (SPOT, str(token)) if token else (PERP, "USDC")
    return [(Kind.INTEREST, None, where, asset, required(delta, "amount"))]


def _gas(delta: Mapping[str, Any], address: str) -> list[Move]:
    return _fee(SPOT, text(delta, "token"), required(delta, "amount"))


def _staking(delta: Mapping[str, Any], address: str) -> list[Move]:
    amount, asset = required(delta, "amount"), text(delta, "token")
    return [_out(SPOT, asset, amount) if delta.get("isDeposit") is True else _in(SPOT, asset, amount)]


def _is(delta: Mapping[str, Any], field: str, address: str) -> bool:
    return str(delta.get(field, "")).lower() == address


_MOVERS: dict[str, Callable[[Mapping[str, Any], str], list[Move]]] = {
    "deposit": _deposit,
    "withdraw": _withdraw,
    "accountClassTransfer": _class_transfer,
    "perpDexClassTransfer": _dex_transfer,
    "internalTransfer": _usd_transfer,
    "subAccountTransfer": _usd_transfer,
    "spotTransfer": _spot_transfer,
    "send": _send,
    "vaultCreate": _vault_in,
    "vaultDeposit": _vault_in,
    "vaultWithdraw": _vault_out,
    "vaultDistribution": _deposit,
    "spotGenesis": _genesis,
    "rewardsClaim": _reward,
    "accountActivationGas": _gas,
    "deployGasAuction": _gas,
    "cStakingTransfer": _staking,
}
