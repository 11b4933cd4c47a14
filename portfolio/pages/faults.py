"""The demo's fault panel: what goes wrong at simulated venues, on purpose, to watch the product notice.

It exists only where SIM_CONTROL_TOKEN is set, as `bin/demo` does; no other venue can be asked for anything.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from core.http.slow_work import Kind, slow_page
from core.security.scopes import Scope
from core.values.money import fixed
from positions.models import Account, Environment, InstrumentKind, Position
from positions.queries import accounts_in_use
from reconciliation.pages.views import require

SECONDS = 5.0
LASTS = 30
Deed = dict[str, Any]


class NotPossible(Exception):
    """A fault that cannot be caused now. The message says why."""


class Fault(NamedTuple):
    """One thing that can go wrong. `deeds` are what the simulator is asked for."""

    name: str
    title: str
    expect: str
    deeds: Callable[[Account], list[Deed]]


def _cut(account: Account) -> list[Deed]:
    return [{"kind": "silence", "for": LASTS}, {"kind": "cut", "hard": True}]


def _hide_fill(account: Account) -> list[Deed]:
    position = _held(account)
    size = _size(position, Decimal("0.1"))
    return [
        {"kind": "withhold", "what": "fill", "count": 1, "user": account.address},
        {
            "kind": "trade", "user": account.address, "coin": position.instrument.venue_symbol,
            "side": "buy" if position.quantity > 0 else "sell", "size": size,
        },
    ]  # fmt: skip


def _crash(account: Account) -> list[Deed]:
    position = _held(account)
    mark = getattr(position.instrument, "mark", None)
    if mark is None:
        raise NotPossible("no price of it is known yet")
    factor = Decimal("0.88") if position.quantity > 0 else Decimal("1.12")
    price = mark.price * factor
    if tick := position.instrument.price_tick:
        price = (price / tick).to_integral_value() * tick
    return [{"kind": "price", "coin": position.instrument.venue_symbol, "price": fixed(price)}]


def _lie(account: Account) -> list[Deed]:
    return [
        {"kind": "withhold", "what": "ledger", "count": 1, "user": account.address},
        {"kind": "deposit", "user": account.address, "amount": "777"},
    ]


_ALL = (
    Fault(
        "cut",
        "Cut the feed",
        f"Within 10 s it is stale and proofs turn grey with their age; after {LASTS} s it is back, with what "
        "was missed.",
        _cut,
    ),
    Fault(
        "hide",
        "Hide a fill",
        "The venue trades and does not tell. Within seconds the position drifts, and a case names the likely "
        "cause: adopt what the venue holds, or ask it again.",
        _hide_fill,
    ),
    Fault(
        "crash",
        "Crash a price",
        "The mark price of its largest position moves 12 % against it: bands, the nearest liquidation and "
        "alerts follow.",
        _crash,
    ),
    Fault(
        "lie",
        "Lie about a balance",
        "777 USDC arrive without a record of it. Cash drifts by 777.00, and a case opens.",
        _lie,
    ),
)
FAULTS = {one.name: one for one in _ALL}


@require_http_methods(["GET", "HEAD", "POST"])
@slow_page(Kind.VENUE)
def faults(request: HttpRequest) -> HttpResponse:
    """List what can go wrong (GET), and cause it or end it all (POST)."""
    if not settings.SIM_CONTROL_TOKEN:
        raise Http404("no simulated venue is controlled from here")
    require(request, Scope.ADMIN)
    found = list(_accounts())
    if request.method == "POST":
        account = next((one for one in found if str(one.pk) == request.POST.get("account")), None)
        try:
            messages.info(request, _done(request.POST.get("fault", ""), account))
        except NotPossible as error:
            messages.error(request, f"Not possible: {error}.")
        return redirect("demo-faults")
    return render(request, "pages/faults.html", {"faults": FAULTS.values(), "accounts": found})


def _done(name: str, account: Account | None) -> str:
    if account is None:
        raise NotPossible("choose an account of a simulated Hyperliquid")
    if name == "end":
        _ask(account, "DELETE", None)
        _ask(account, "POST", [{"kind": "release", "user": account.address}])
        return f"Everything that was wrong at {account.label}'s venue is over."
    fault = FAULTS.get(name)
    if fault is None:
        raise NotPossible("there is no such fault")
    _ask(account, "POST", fault.deeds(account))
    return f"{fault.title}, {account.label}: done. {fault.expect}"


def _accounts() -> list[Account]:
    """Return the accounts whose venue takes all of these faults: those of the simulated Hyperliquid."""
    simulated = accounts_in_use().filter(environment=Environment.SIMULATED, venue="hyperliquid")
    return list(simulated.exclude(base_url="").order_by("label"))


def _held(account: Account) -> Position:
    """Return the account's largest perpetual, by what it cost. Raises NotPossible."""
    held = Position.objects.filter(
        account=account, closed_at__isnull=True, instrument__kind=InstrumentKind.LINEAR
    ).exclude(instrument__venue_symbol__contains=":")  # fmt: skip
    known = list(held.select_related("instrument__mark"))
    if not known:
        raise NotPossible(f"{account.label} holds no perpetual now: wait for its next trade")
    return max(known, key=lambda one: abs(one.quantity) * (one.entry_price or 0))


def _size(position: Position, share: Decimal) -> str:
    step = position.instrument.quantity_step or Decimal(1)
    return fixed(max(step, (abs(position.quantity) * share / step).to_integral_value() * step))


def _ask(account: Account, method: str, deeds: list[Deed] | None) -> None:
    """Ask the account's simulator. Raises NotPossible with what it answered."""
    parts = urlsplit(account.base_url)
    request = urllib.request.Request(
        f"{parts.scheme}://{parts.netloc}/sim/faults",
        method=method,
        data=None if deeds is None else json.dumps({"faults": deeds}).encode(),
        headers={"X-Control-Token": settings.SIM_CONTROL_TOKEN, "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            answer.read()
    except urllib.error.HTTPError as error:
        raise NotPossible(f"the simulator refused it ({error.code})") from error
    except OSError as error:
        raise NotPossible("the simulator does not answer") from error
