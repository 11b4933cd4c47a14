"""Anchors: the ends of all hash chains, signed with a key that is not in the database, in audit.jsonl.

Whoever may write every table could rebuild an account's chain from its start, and no check inside the
database would notice. An anchor says, outside of it, how long each chain was and what its last digest was: a
rewritten, shortened or lost ledger no longer has that digest at that length.

Note [A chain of anchors]: each anchor has a number and names the digest of the one before, so that a line
that is taken out or put elsewhere leaves a gap. The newest ones leave none: that they were written is known
to the database (LedgerAnchor), and to a copy of the file on another machine. Files may be rotated and copied;
which anchors are older than these files is told, and is no finding.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import structlog
from django.conf import settings
from django.db import connection, transaction

from positions.ledger.hash_chain import GENESIS
from positions.models import Account, AccountHead, LedgerAnchor
from positions.models import Entry as Row

EVENT = "ledger anchored"
_LOCK = "ledger anchors"

audit = structlog.get_logger("audit")


@dataclass(frozen=True, slots=True)
class Anchor:
    """One line: its number, the digest of the one before, when, and per account its label, the number of
    its entries and the digest of the last. `place` is the file and the line.
    """

    number: int
    previous: str
    at: str
    heads: dict[str, Any]
    place: str = ""

    def text(self) -> bytes:
        """Return what is signed."""
        return orjson.dumps([self.number, self.previous, self.at, self.heads], option=orjson.OPT_SORT_KEYS)

    def digest(self) -> str:
        return hashlib.sha256(self.text()).hexdigest()

    def signature(self, key: str) -> str:
        return hmac.new(f"plumbline.anchor:{key}".encode(), self.text(), hashlib.sha256).hexdigest()


@dataclass(slots=True)
class AnchorComparison:
    """What files of anchors told: how many, the newest's time, what is wrong, what else is to be known."""

    count: int = 0
    newest: datetime | None = None
    findings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def write(*, now: datetime) -> int:
    """Sign the heads of all accounts and write them as one line to audit.jsonl; return how many there are."""
    # One transaction, under a lock: two anchors must not follow the same one. The line is written before the
    # commit. Should the commit fail, the next anchor has the same number, and this line is none any more.
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [_LOCK])
        last = LedgerAnchor.objects.order_by("number").last()
        heads = {
            str(head.account_id): [head.account.label, head.entry_count, bytes(head.digest).hex()]
            for head in AccountHead.objects.select_related("account").order_by("account_id")
        }
        anchor = Anchor(
            number=last.number + 1 if last else 1,
            previous=bytes(last.digest).hex() if last else GENESIS.hex(),
            at=now.isoformat(),
            heads=heads,
        )
        LedgerAnchor.objects.create(number=anchor.number, at=now, digest=bytes.fromhex(anchor.digest()))
        audit.info(
            EVENT,
            number=anchor.number,
            previous=anchor.previous,
            at=anchor.at,
            heads=heads,
            signature=anchor.signature(settings.ANCHOR_KEYS[0]),
        )
    return len(heads)


def compare(*, paths: Iterable[Path], all_expected: bool) -> AnchorComparison:
    """Compare the ledger with the anchors in these files; `all_expected`: the newest ones must be there.

    Raises OSError for a file that cannot be read.
    """
    found = AnchorComparison()
    anchors: list[Anchor] = []
    for path in paths:
        before: Anchor | None = None
        for anchor, wrong in _read(path):
            if wrong is not None:
                found.findings.append(wrong)
            elif anchor is not None:
                if before is not None and anchor.number < before.number:
                    found.findings.append(
                        f"{anchor.place}: anchor {anchor.number} stands after anchor {before.number}"
                    )
                before = anchor
                anchors.append(anchor)
    _follow(found, anchors, all_expected=all_expected)
    for account, known in _by_account(anchors).items():
        found.findings += _differences(account, known)
    found.count = len(anchors)
    found.newest = max((datetime.fromisoformat(anchor.at) for anchor in anchors), default=None)
    return found


def _follow(found: AnchorComparison, anchors: Sequence[Anchor], *, all_expected: bool) -> None:
    """Tell which anchors are missing, and which are not those that the database knows."""
    known = {
        number: bytes(digest).hex() for number, digest in LedgerAnchor.objects.values_list("number", "digest")
    }
    by_number: dict[int, list[Anchor]] = {}
    for anchor in anchors:
        by_number.setdefault(anchor.number, []).append(anchor)
    digests = {one.digest() for one in anchors} | {GENESIS.hex()}
    for number, same in sorted(by_number.items()):
        if known.get(number) not in {one.digest() for one in same}:
            found.findings.append(f"{same[0].place}: anchor {number} is not the one that the database knows")
        if number != min(by_number) and same[0].previous not in digests:
            found.findings.append(f"{same[0].place}: the anchor before anchor {number} is missing")
    if not by_number:
        if known and all_expected:
            found.findings.append(f"{len(known):,} anchors were written, and none is here")
        return
    first, last = min(by_number), max(by_number)
    if first > 1:
        found.notes.append(f"anchors up to {first - 1} are not in these files")
    if later := [number for number in known if number > last]:
        told = f"{len(later):,} anchors after anchor {last} were written, and are not in these files"
        (found.findings if all_expected else found.notes).append(told)


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
                anchor = Anchor(int(told["number"]), told["previous"], told["at"], told["heads"], place)
                signature = str(told["signature"])
            except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
                yield None, f"{place}: an anchor that cannot be read"
                continue
            signed = [anchor.signature(key) for key in settings.ANCHOR_KEYS]
            if any(hmac.compare_digest(one, signature) for one in signed):
                yield anchor, None
            else:
                yield None, f"{place}: an anchor that no key of ANCHOR_KEYS has signed"


def _by_account(anchors: Sequence[Anchor]) -> dict[int, dict[int, tuple[str, str, Anchor]]]:
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
