"""Anchors: the ends of all hash chains, signed with a key that is not in the database, in audit.jsonl.

Whoever may write every table could rebuild an account's chain from its start, and no check inside the
database would notice. An anchor says, outside of it, how long each chain was and what its last digest was: a
rewritten, shortened or lost ledger no longer has that digest at that length. Each line stands for itself, so
files may be rotated, copied elsewhere and checked later.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import structlog
from django.conf import settings

from positions.ledger.hash_chain import GENESIS
from positions.models import Account, AccountHead
from positions.models import Entry as Row

EVENT = "ledger anchored"

audit = structlog.get_logger("audit")


@dataclass(frozen=True, slots=True)
class Anchor:
    """One line: when, and per account its label, the number of its entries and the digest of the last."""

    at: str
    heads: dict[str, Any]
    place: str


def write(*, now: datetime) -> int:
    """Sign the heads of all accounts and write them as one line to audit.jsonl; return how many there are."""
    heads = {
        str(head.account_id): [head.account.label, head.entry_count, bytes(head.digest).hex()]
        for head in AccountHead.objects.select_related("account").order_by("account_id")
    }
    at = now.isoformat()
    audit.info(EVENT, at=at, heads=heads, signature=_signature(settings.ANCHOR_KEYS[0], at, heads))
    return len(heads)


def compare(*, paths: list[Path]) -> tuple[int, datetime | None, list[str]]:
    """Compare the ledger with the anchors in these files: their number, the newest's time, what is wrong.

    Raises OSError for a file that cannot be read.
    """
    found: list[str] = []
    anchors = []
    for path in paths:
        for anchor, wrong in _read(path):
            if wrong is not None:
                found.append(wrong)
            elif anchor is not None:
                anchors.append(anchor)
    for account, known in _by_account(anchors).items():
        found += _differences(account, known)
    newest = max((datetime.fromisoformat(anchor.at) for anchor in anchors), default=None)
    return len(anchors), newest, found


def _signature(key: str, at: str, heads: dict[str, Any]) -> str:
    text = orjson.dumps([at, heads], option=orjson.OPT_SORT_KEYS)
    return hmac.new(f"plumbline.anchor:{key}".encode(), text, hashlib.sha256).hexdigest()


def _read(path: Path) -> Iterator[tuple[Anchor | None, str | None]]:
    """Yield each anchor of a file, or what is wrong with its line; other lines are no concern of ours."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if EVENT.encode() not in line:
                continue
            place = f"{path.name}:{number}"
            try:
                told = orjson.loads(line)
                if told["event"] != EVENT:
                    continue
                at, heads, signature = told["at"], told["heads"], told["signature"]
            except (orjson.JSONDecodeError, KeyError, TypeError):
                yield None, f"{place}: an anchor that cannot be read"
                continue
            signed = [_signature(key, at, heads) for key in settings.ANCHOR_KEYS]
            if any(hmac.compare_digest(one, str(signature)) for one in signed):
                yield Anchor(at, heads, place), None
            else:
                yield None, f"{place}: an anchor that no key of ANCHOR_KEYS has signed"


def _by_account(anchors: list[Anchor]) -> dict[int, dict[int, tuple[str, str, Anchor]]]:
    """Group by account and length of its chain: (label, digest, the first anchor that says so)."""
    found: dict[int, dict[int, tuple[str, str, Anchor]]] = {}
    for anchor in sorted(anchors, key=lambda one: one.at, reverse=True):
        for account, (label, count, digest) in anchor.heads.items():
            known = found.setdefault(int(account), {})
            previous = known.get(count)
            if previous is None or previous[1] == digest:
                known[count] = label, digest, anchor
            else:  # two anchors that contradict each other: the ledger was rewritten between them
                known[count] = label, f"{digest} and {previous[1]}", anchor
    return found


def _differences(account: int, known: dict[int, tuple[str, str, Anchor]]) -> Iterator[str]:
    label = next(iter(known.values()))[0]
    if not Account.objects.filter(pk=account).exists():
        yield f"{label}: account {account} was anchored, and there is no such account"
        return
    digests = {0: GENESIS.hex()}
    wanted = sorted(known)
    for start in range(0, len(wanted), 1000):
        rows = Row.objects.filter(account=account, sequence__in=wanted[start : start + 1000])
        stored = rows.values_list("sequence", "digest")
        digests |= {sequence: bytes(digest).hex() for sequence, digest in stored}
    for count in wanted:
        _, digest, anchor = known[count]
        if digests.get(count) != digest:
            told = f"{digests.get(count, 'no such entry')}, and was {digest} at {anchor.at} ({anchor.place})"
            yield f"{label}: the digest of entry {count} is {told}"
