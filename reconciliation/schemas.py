"""What the reconciliation API takes."""

from __future__ import annotations

from decimal import Decimal

from ninja import Schema


class SyncIn(Schema):
    """Which accounts to compare now; none named: all that the caller may see."""

    accounts: list[int] | None = None


class ActIn(Schema):
    """An action on a case. `token` is that of its preview; `price` where the action takes one."""

    action: str
    reason: str
    token: str
    price: Decimal | None = None


class PreviewIn(Schema):
    """An action to be shown before it is done."""

    action: str
    price: Decimal | None = None


class CommentIn(Schema):
    """Words on a case, or whom it is given to."""

    text: str


class Reason(Schema):
    """Why."""

    reason: str
