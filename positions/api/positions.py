"""The ledger over HTTP: what happened to a position, facts, accounts, balances, and positions by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Router
from ninja import Status as Answer

from core.api import paging
from core.api.auth import needs, principal_of
from core.api.idempotency import IdempotencyKey, KeyedRequest, KeyText
from core.http.inputs import Cursor, Limit, Text, id_of
from core.http.problems import Problem
from core.http.slow_work import Kind, slot
from core.security.scopes import Scope
from core.tracing.trace import current_trace_id
from positions import accounts as ledger_accounts
from positions import ingest, manual
from positions.accounts import MANUAL
from positions.api import queries
from positions.api.as_of import AsOf, moment
from positions.api.as_of import balances as balances_then
from positions.api.as_of import position as position_then
from positions.api.schemas import (
    AccountPage,
    BalancePage,
    ChangeResult,
    CloseIn,
    EntryPage,
    EventPage,
    OpenIn,
    ReduceIn,
    book_facts,
)
from positions.api.versions import IfMatch, VersionText, version_of
from positions.book import InvalidEntry
from positions.models import Account, Environment, Position

router = Router(tags=["positions"])
TRIES = 3  # of a change by hand that somebody else's booking overtook

# A state that forbids it now is a conflict; anything else is a request that can never work.
_CONFLICTS = frozenset({"not_open", "other_side_open", "too_much", "no_price", "no_pair"})


def find(request: HttpRequest, ref: str, *, only_open: bool = False, at: datetime | None = None) -> Position:
    """Return the position of a ref, as it stood `at` a moment if one is given.

    Raises Problem 404 or, with the candidates, 409.
    """
    try:
        if at is not None:
            with slot(kind=Kind.PAST, who=principal_of(request).name):
                return position_then(ref=ref, accounts=principal_of(request).accounts, at=at)
        return queries.position(ref=ref, accounts=principal_of(request).accounts, only_open=only_open)
    except queries.NotFound as error:
        raise Problem(404, "position_not_found", str(error)) from error
    except queries.Ambiguous as error:
        raise Problem(
            409,
            "ambiguous",
            str(error),
            count=error.count,
            candidates=[_named(one) for one in error.candidates],
        ) from error


def _named(position: Position) -> dict[str, Any]:
    return {
        "id": position.pk,
        "account": position.account.label,
        "venue": position.account.venue,
        "environment": position.account.environment,
        "symbol": position.instrument.symbol,
        "leg": position.leg,
        "status": position.status,
    }


def find_account(request: HttpRequest, ref: str | int) -> Account:
    """Return an account by id or label. Raises Problem 404."""
    try:
        return queries.account(ref=ref, accounts=principal_of(request).accounts)
    except queries.NotFound as error:
        raise Problem(404, "account_not_found", str(error)) from error


# Reads ------------------------------------------------------------------------------------------------------


@router.get(
    "/positions/{path:ref}/history", response=EventPage, auth=needs(Scope.READ), summary="What happened to it"
)
def history(
    request: HttpRequest, ref: Text, cursor: Cursor | None = None, limit: Limit = 100
) -> dict[str, Any]:
    """What happened to a position, the newest first: every change of its status and figures, by whom."""
    events = queries.events_of(position=find(request, ref))
    items, following = paging.page(events, order=("-id",), cursor=cursor, limit=limit)
    return {"items": items, "next_cursor": following}


@router.get(
    "/positions/{path:ref}/entries", response=EntryPage, auth=needs(Scope.READ), summary="The facts behind it"
)
def entries(
    request: HttpRequest, ref: Text, cursor: Cursor | None = None, limit: Limit = 100
) -> dict[str, Any]:
    """The facts that a position is the fold of, the newest first."""
    facts = queries.entries_of(position=find(request, ref))
    items, following = paging.page(facts, order=("-at", "-id"), cursor=cursor, limit=limit)
    return {"items": items, "next_cursor": following}


@router.get("/accounts", response=AccountPage, auth=needs(Scope.READ), tags=["accounts"], summary="Accounts")
def accounts(request: HttpRequest, cursor: Cursor | None = None, limit: Limit = 100) -> dict[str, Any]:
    """The accounts that the caller may see."""
    rows = queries.accounts(accounts=principal_of(request).accounts)
    items, following = paging.page(rows, order=("label", "id"), cursor=cursor, limit=limit)
    return {"items": items, "next_cursor": following}


@router.get(
    "/balances", response=BalancePage, auth=needs(Scope.READ), tags=["accounts"], summary="Balances by wallet"
)
def balances(
    request: HttpRequest,
    account: Text | None = None,
    environment: Environment | None = None,
    asset: Text | None = None,
    as_of: AsOf = None,
    cursor: Cursor | None = None,
    limit: Limit = 100,
) -> dict[str, Any]:
    """What the book counts in each wallet, with its worth in USD where a price is known.

    With `as_of` all of them come at once, and only par currencies have a worth: prices are not kept.
    """
    if (at := moment(as_of, now=timezone.now())) is not None:
        with slot(kind=Kind.PAST, who=principal_of(request).name):
            return {"items": _balances_then(request, account, environment, asset, at), "next_cursor": None}
    asked = {"account__environment": environment, "asset": asset}
    rows = queries.balances(accounts=principal_of(request).accounts).filter(
        queries.of_account(account) if account else Q(),
        **{name: value for name, value in asked.items() if value},
    )
    items, following = paging.page(
        rows, order=("account_id", "wallet", "asset", "id"), cursor=cursor, limit=limit
    )
    worth = queries.worth(items)
    return {"items": [_balance(one, worth.get(one.pk)) for one in items], "next_cursor": following}


def _balances_then(
    request: HttpRequest, ref: str | None, environment: str | None, asset: str | None, at: datetime
) -> list[dict[str, Any]]:
    """What was counted at a moment; only what counts as par has a known worth."""
    rows = queries.accounts(accounts=principal_of(request).accounts).order_by("label", "pk")
    named = queries.of_account(ref, field="pk") if ref else Q()
    mine = rows.filter(named, **({"environment": environment} if environment else {}))
    return [
        {
            "account_id": account.pk,
            "account": account.label,
            "environment": account.environment,
            "wallet": wallet,
            "asset": coin,
            "amount": amount,
            "unknown_count": unknown,
            "usd_value": amount if coin in settings.PAR_CURRENCIES else None,
            "usd_source": "par" if coin in settings.PAR_CURRENCIES else None,
            "updated_at": at,
        }
        for account, wallet, coin, amount, unknown in balances_then(accounts=mine, asset=asset, at=at)
    ]


def _balance(row: Any, worth: tuple[Any, str] | None) -> dict[str, Any]:
    value, source = worth or (None, None)
    return {
        "account_id": row.account_id,
        "account": row.account.label,
        "environment": row.account.environment,
        "wallet": row.wallet,
        "asset": row.asset,
        "amount": row.amount,
        "unknown_count": row.unknown_count,
        "usd_value": value,
        "usd_source": source,
        "updated_at": row.updated_at,
    }


# By hand ----------------------------------------------------------------------------------------------------


@router.post(
    "/positions/open",
    response={200: ChangeResult, 201: ChangeResult},
    auth=needs(Scope.CORRECT),
    summary="Open by hand, or add",
)
def open_position(
    request: HttpRequest,
    response: HttpResponse,
    body: OpenIn,
    idempotency_key: KeyText | None = IdempotencyKey,
    if_match: VersionText | None = IfMatch,
) -> Answer[dict[str, Any]]:
    """Open a position by hand, or add to one of the same side. 201 when done, 200 when it had been done.

    On a connected account this corrects the book: the next comparison with the venue will show it.
    """
    account = _account_to_open(request, body.account)
    change = _ManualRequest(
        request, response, "open", account.label if account else MANUAL, body, idempotency_key,
        version_of(if_match),
    )  # fmt: skip
    if change.repeat_position() is None:
        change.require_open(account, body.symbol)
    recorded = change.book(
        account.pk if account else 0,
        lambda: manual.open_position(
            account=account,
            side=body.side,
            leverage=body.leverage,
            symbol=body.symbol,
            quantity=body.quantity,
            price=body.price,
            expected_version=change.version,
            **change.common,
        ),
    )
    account = account or ledger_accounts.manual(now=timezone.now())
    position = queries.booked_into(account=account, venue_ref=recorded.results[0].venue_ref)
    done = change.answer(recorded, position)
    return Answer(200 if done["repeated"] else 201, done)


@router.post(
    "/positions/{path:ref}/reduce",
    response=ChangeResult,
    auth=needs(Scope.CORRECT),
    summary="Take some off by hand",
)
def reduce(
    request: HttpRequest,
    response: HttpResponse,
    ref: Text,
    body: ReduceIn,
    idempotency_key: KeyText | None = IdempotencyKey,
    if_match: VersionText | None = IfMatch,
) -> dict[str, Any]:
    """Take a quantity off an open position, at a price or at the current mark."""
    change = _ManualRequest(request, response, "reduce", ref, body, idempotency_key, version_of(if_match))
    position = change.repeat_position() or find(request, ref, only_open=id_of(ref) is None)
    recorded = change.book(
        position.account_id,
        lambda: manual.reduce(
            position=position.pk,
            quantity=body.quantity,
            price=body.price,
            expected_version=change.version,
            **change.common,
        ),
    )
    return change.answer(recorded, find(request, str(position.pk)))


@router.post(
    "/positions/{path:ref}/close",
    response=ChangeResult,
    auth=needs(Scope.CORRECT),
    summary="Take all off by hand",
)
def close(
    request: HttpRequest,
    response: HttpResponse,
    ref: Text,
    body: CloseIn | None = None,
    idempotency_key: KeyText | None = IdempotencyKey,
    if_match: VersionText | None = IfMatch,
) -> dict[str, Any]:
    """Take everything off an open position, at a price or at the current mark."""
    asked = body or CloseIn.model_validate({})
    change = _ManualRequest(request, response, "close", ref, asked, idempotency_key, version_of(if_match))
    position = change.repeat_position() or find(request, ref, only_open=id_of(ref) is None)
    recorded = change.book(
        position.account_id,
        lambda: manual.close(
            position=position.pk, price=asked.price, expected_version=change.version, **change.common
        ),
    )
    return change.answer(recorded, find(request, str(position.pk)))


def _account_to_open(request: HttpRequest, ref: str | int | None) -> Account | None:
    """Return the account of a request; None for the manual account before its first booking."""
    if ref is not None:
        return find_account(request, ref)
    account, accounts = ledger_accounts.known_manual(), principal_of(request).accounts
    if accounts is not None and (account is None or account.pk not in accounts):
        raise Problem(404, "account_not_found", "this key may not use the manual account: name an account")
    return account


@dataclass
class _ManualRequest:
    """One request that changes a position by hand, from its headers to its answer."""

    request: HttpRequest
    response: HttpResponse
    what: str
    ref: str
    body: Any
    key: str | None
    version: int | None

    def __post_init__(self) -> None:
        self.who = principal_of(self.request).name
        content = [self.what, self.ref, self.body.model_dump(mode="json")]
        self.keyed = KeyedRequest(area="positions", who=self.who, key=self.key, request=content)

    @property
    def common(self) -> dict[str, Any]:
        """What every way by hand takes."""
        by = manual.Actor(who=self.who, source="api", trace_id=current_trace_id(), reason=self.body.reason)
        return {
            "by": by,
            "now": timezone.now(),
            "fee": self.body.fee,
            "at": self.body.at,
            "reference": self.keyed.reference,
        }

    def repeat_position(self) -> Position | None:
        """The position that this request went to before. Raises Problem for a key used for another one."""
        claim = self.keyed.claim()
        return find(self.request, str(claim.result)) if claim is not None and claim.result else None

    def require_open(self, account: Account | None, symbol: str) -> None:
        """A version is one of a position that is there. Raises Problem 412."""
        if self.version is None:
            return
        if account is None or not queries.open_by_symbol(account=account, symbol=symbol):
            raise Problem(412, "stale_version", f"no position in {symbol} is open that could be at a version")

    def book(self, account: int, act: Callable[[], ingest.BookingResult]) -> ingest.BookingResult:
        """Book the request; try again when another booking overtook it, unless a version was given."""
        for last in [False] * (TRIES - 1) + [True]:
            try:
                with slot(kind=Kind.BOOK, who=self.who, account=account):
                    return act()
            except ingest.StaleVersion as error:
                if last or (self.version is not None and self.key is None):
                    raise _stale(error) from error
            except ingest.BatchRejection as error:
                # Two of the same request at once: the other one has booked it by now.
                if last or self.key is None:
                    raise _rejected(error) from error
            except manual.ManualRefusal as error:
                raise Problem(409 if error.code in _CONFLICTS else 422, error.code, str(error)) from error
            except InvalidEntry as error:
                problem = {"field": error.field, "problem": error.problem}
                raise Problem(422, "invalid_input", f"Check: {error.field}.", errors=[problem]) from error
        raise AssertionError("the last try returns or raises")

    def answer(self, recorded: ingest.BookingResult, position: Position) -> dict[str, Any]:
        self.keyed.remember(position.pk)
        self.response["ETag"] = f'"{position.version}"'
        result = recorded.results[0]
        return {
            "position": book_facts(position),
            "repeated": result.outcome is ingest.EntryOutcome.DUPLICATE,
            "sequence": result.sequence,
        }


def _stale(error: ingest.StaleVersion) -> Problem:
    detail = f"position {error.position} has moved: look at it again"
    return Problem(
        412, "stale_version", detail, expected=error.expected, actual=error.actual, current=error.state
    )


def _rejected(error: ingest.BatchRejection) -> Problem:
    errors = [{"field": one.reason.value, "problem": one.detail} for one in error.offenders]
    return Problem(422, "rejected", str(error), errors=errors)
