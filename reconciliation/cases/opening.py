"""Opening balances set right, where facts near T0 are in them and booked as well, or in neither."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from django.db.models import QuerySet

from positions import ingest
from positions import queries as ledger
from positions.book import Cause, Entry, Kind
from positions.models import Account
from positions.models import Entry as Row
from reconciliation.queries import effective_entries
from reconciliation.rules.compare import WalletKey, WalletResult
from reconciliation.rules.opening import NEAR, OpeningOverlap, opening_overlap


def overlap(
    *,
    account: Account,
    wallet: WalletKey,
    missing: Decimal,
    allowed: Decimal,
    proven_at: datetime | None,
) -> OpeningOverlap | None:
    """Return the facts near a wallet's T0 that explain what its book lacks; None: none do.

    A wallet that was proven (`proven_at`) later than the facts near T0 was opened rightly.
    """
    opened_at = _opened_at(account, wallet)
    if opened_at is None or (proven_at is not None and proven_at > opened_at + NEAR):
        return None
    moves = ledger.cash_moves(
        account=account,
        wallet=wallet.wallet,
        asset=wallet.asset,
        since=opened_at - NEAR,
        until=opened_at + NEAR,
    )
    return opening_overlap(missing=missing, moves=moves, opened_at=opened_at, allowed=allowed)


def correction(*, account: Account, wallet: WalletKey, missing: Decimal, ref: str, now: datetime) -> Entry:
    """Return the fact that makes an opening balance more by `missing`, or opens a wallet that had none.

    Raises LookupError for an account whose T0 is not fixed.
    """
    opening = _opening(account, wallet)
    if opening is not None:
        return Entry(
            kind=Kind.AMEND,
            venue_ref=ref,
            time=now,
            target=opening.venue_ref,
            amount=_amount(account, opening) + missing,
            currency=wallet.asset,
            leg=None,
        )
    opened_at = _opened_at(account, wallet)
    if opened_at is None:
        raise LookupError(f"account {account.pk} has no opening balance")
    return Entry(
        kind=Kind.TRANSFER,
        cause=Cause.OPENING,
        venue_ref=ref,
        time=opened_at,
        leg=None,
        amount=missing,
        currency=wallet.asset,
        wallet=wallet.wallet or None,
    )


def settle(
    *,
    account: Account,
    differing: Iterable[tuple[WalletResult, datetime | None]],
    trace_id: str,
    now: datetime,
) -> list[OpeningOverlap]:
    """Correct the opening balances of wallets whose difference facts near T0 explain; return what explained.

    `differing` are the wallets, each with the time when it was last proven. Raises ingest.BatchRejection.
    """
    entries, reasons, found = [], [], []
    for one, proven_at in differing:
        missing = sum((drift.amount for drift in one.drifts), Decimal(0))
        explained = overlap(
            account=account, wallet=one.key, missing=missing, allowed=one.allowed, proven_at=proven_at
        )
        if explained is None:
            continue
        ref = f"{_stem(one.key)}{_nth(account, one.key)}"
        entries.append(correction(account=account, wallet=one.key, missing=missing, ref=ref, now=now))
        reasons.append(words(explained))
        found.append(explained)
    if entries:
        ingest.record(
            account=account,
            entries=entries,
            source="connection",
            trace_id=trace_id,
            now=now,
            on_error="reject",
            who="connection",
            reason="; ".join(dict.fromkeys(reasons)),
        )
    return found


def words(explained: OpeningOverlap) -> str:
    """Return why an opening balance was wrong, in words."""
    facts = "one fact" if len(explained.refs) == 1 else f"{len(explained.refs)} facts"
    if explained.twice:
        return f"counted twice: in the opening balance and as {facts}"
    return f"{facts} up to the opening balance were not in it yet"


def _opening(account: Account, wallet: WalletKey) -> Row | None:
    rows = _openings(account).filter(wallet=wallet.wallet, currency=wallet.asset)
    return rows.order_by("sequence").first()


def _amount(account: Account, opening: Row) -> Decimal:
    """Return an opening balance as it counts now: the newest amend's amount, else its own."""
    amends = Row.objects.filter(account=account, kind="amend", target_ref=opening.venue_ref)
    busted = Row.objects.filter(account=account, kind="bust").values("target_ref")
    newest = amends.exclude(venue_ref__in=busted).order_by("at", "sequence").last()
    amount = opening.amount if newest is None or newest.amount is None else newest.amount
    return amount or Decimal(0)


def _opened_at(account: Account, wallet: WalletKey) -> datetime | None:
    """Return the wallet's T0; of a wallet that was empty then, the account's first."""
    openings = _openings(account).order_by("at")
    own = openings.filter(wallet=wallet.wallet).values_list("at", flat=True).first()
    return own or openings.values_list("at", flat=True).first()


def _openings(account: Account) -> QuerySet[Row]:
    return effective_entries(account=account.pk).filter(kind="transfer", cause="opening")


def _nth(account: Account, wallet: WalletKey) -> int:
    refs = Row.objects.filter(account=account, venue_ref__startswith=_stem(wallet))
    return refs.count() + 1


def _stem(wallet: WalletKey) -> str:
    return f"opening-overlap:{wallet.wallet}:{wallet.asset}:"
