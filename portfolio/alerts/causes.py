"""Which alert explains another one: of the explained, nobody is told while its cause is open. Pure.

Note [Causes]: part down → key refused → feed silent → proof too old → a drift that cannot be judged any more.
A cause explains that something is silent, old or cannot be judged; it never explains a drift, a liquidation
or a limit away.
"""

from __future__ import annotations

from collections.abc import Collection

from portfolio.alerts.conditions import AlertKey

READING_PARTS = ("redis", "worker", "beat", "stream")
"""Parts without which accounts are not read, or only in part; the first one that is down is named."""
RUNNING_PARTS = ("redis", "worker", "beat")
"""Parts without which nothing is compared."""


def account_subject(account: int) -> str:
    """Return the subject of alerts about a whole account."""
    return f"account:{account}"


def part_key(part: str) -> AlertKey:
    """Return what the alert about a part of the product is about."""
    return AlertKey("component_down", f"part:{part}")


def cause_of(
    key: AlertKey, *, account: int | None, judged: bool, open_keys: Collection[AlertKey]
) -> AlertKey | None:
    """Return the open alert that explains this one; of several the deepest. None: nothing does.

    `judged` is False for an alert that cannot be judged any more: causes explain that, too.
    """
    if key.kind in ("feed_silent", "proof_old") or not judged:
        return next((one for one in _candidates(key, account, judged) if one in open_keys), None)
    if key == part_key("worker"):
        return _open(part_key("beat"), open_keys)
    return None


def _open(key: AlertKey, open_keys: Collection[AlertKey]) -> AlertKey | None:
    return key if key in open_keys else None


def _candidates(key: AlertKey, account: int | None, judged: bool) -> list[AlertKey]:
    parts = READING_PARTS if key.kind == "feed_silent" or not judged else RUNNING_PARTS
    found = [part_key(part) for part in parts]
    if account is not None:
        subject = account_subject(account)
        found += [AlertKey(kind, subject) for kind in ("key", "feed_silent", "proof_old")]
    return found[: found.index(key)] if key in found else found
