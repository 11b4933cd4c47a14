"""Every read of the ledger that pages, API and later apps use. Reads only; time is an argument."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db.models import OuterRef, QuerySet, Subquery, TextField
from django.db.models.functions import Cast, JSONObject

from positions.ledger.as_of import PastPosition as PastPosition
from positions.ledger.as_of import book_as_of as book_as_of
from positions.ledger.as_of import history as history
from positions.ledger.as_of import position_as_of as position_as_of
from positions.ledger.book_walk import BookWalk as BookWalk
from positions.ledger.book_walk import FactEffect as FactEffect
from positions.ledger.book_walk import LegMove as LegMove
from positions.ledger.book_walk import book_walk as book_walk
from positions.ledger.cash_moves import CashMove as CashMove
from positions.ledger.cash_moves import cash_moves as cash_moves
from positions.ledger.coin_prices import CoinPrice as CoinPrice
from positions.ledger.coin_prices import coin_prices as coin_prices
from positions.ledger.transfers import BookedTransfer as BookedTransfer
from positions.ledger.transfers import has_transfers_since as has_transfers_since
from positions.ledger.transfers import transfers as transfers
from positions.models import (
    OPEN_STATUSES,
    Account,
    AccountHead,
    Balance,
    Entry,
    Environment,
    Instrument,
    InstrumentKind,
    Position,
    VenueState,
)

_STATED = (
    "quantity", "entry_price", "leverage", "margin", "maintenance_margin", "margin_balance",
    "liquidation_price", "unrealized_pnl",
)  # fmt: skip


def board() -> QuerySet[Position]:
    """Return positions with all that the board shows, in one query; filter and order it further.

    Each row has `account`, `instrument` with its `mark` (absent: no price known), and `venue_state`: a dict
    with what the venue states of the leg (amounts as strings, `margin_mode`, `no_liquidation`, `as_of`,
    `revision`), or None.
    """
    stated = VenueState.objects.filter(
        account=OuterRef("account"), instrument=OuterRef("instrument"), leg=OuterRef("leg")
    )
    amounts = {name: Cast(name, TextField()) for name in _STATED}
    state = JSONObject(
        margin_mode="margin_mode",
        no_liquidation="no_liquidation",
        as_of="as_of",
        revision="revision",
        **amounts,
    )
    return Position.objects.select_related("account", "instrument", "instrument__mark").annotate(
        venue_state=Subquery(stated.values(stated=state)[:1])
    )


def open_positions() -> QuerySet[Position]:
    """Return the board's rows that have a size, by account, symbol and leg."""
    return (
        board().filter(status__in=OPEN_STATUSES).order_by("account__label", "instrument__symbol", "leg", "pk")
    )


def accounts_in_use(*, with_manual: bool = False) -> QuerySet[Account]:
    """Return the enabled accounts at venues by label; `with_manual` also the one that is kept by hand."""
    enabled = Account.objects.filter(enabled=True).order_by("label")
    return enabled if with_manual else enabled.exclude(environment=Environment.MANUAL)


def change_sequences() -> list[tuple[int, int]]:
    """Return (account, its last committed change) of every account."""
    return list(AccountHead.objects.order_by("account").values_list("account", "sequence"))


def positions_changed_since(*, account: int, sequence: int) -> QuerySet[Position]:
    """Return an account's positions that a later change touched."""
    return Position.objects.filter(account=account, sequence__gt=sequence).order_by("sequence", "pk")


def balances_changed_since(*, account: int, sequence: int) -> QuerySet[Balance]:
    """Return an account's balances that a later change touched."""
    return Balance.objects.filter(account=account, sequence__gt=sequence).order_by("pk")


def entry_count(*, account: int) -> int:
    """Return how many facts are booked for an account."""
    head = AccountHead.objects.filter(account=account).first()
    return head.entry_count if head else 0


# What handwork asks -----------------------------------------------------------------------------------------


def open_leg(*, account: int, instrument: int, leg: str = "net") -> Position | None:
    """Return the open position of a key, if there is one."""
    return Position.objects.filter(
        account=account, instrument=instrument, leg=leg, status__in=OPEN_STATUSES
    ).first()


def instrument(*, account: Account, symbol: str) -> Instrument | None:
    """Return the account's market of a venue symbol, or of a symbol as people write it."""
    markets = Instrument.objects.filter(**account.world.lookup()).exclude(kind=InstrumentKind.ASSET)
    exact = markets.filter(venue_symbol=symbol).first()
    return exact or markets.filter(symbol=symbol).order_by("pk").first()


def par_pair(*, coin: Instrument) -> Instrument | None:
    """Return the pair in which a coin trades against a par currency."""
    return (
        Instrument.objects.filter(
            **coin.world.lookup(),
            kind=InstrumentKind.SPOT,
            base=coin.base,
            quote__in=settings.PAR_CURRENCIES,
        )
        .order_by("quote", "pk")
        .first()
    )


def entry_sequence(*, account: int, venue_ref: str) -> int | None:
    """Return the place of an entry in its account's ledger; None if it is not booked."""
    found = Entry.objects.filter(account=account, venue_ref=venue_ref)
    return found.values_list("sequence", flat=True).first()


def entry(*, account: int, venue_ref: str) -> Entry | None:
    """Return a booked entry with its instrument; None if it is not booked."""
    return Entry.objects.filter(account=account, venue_ref=venue_ref).select_related("instrument").first()


def archivable(*, before: datetime) -> QuerySet[Position]:
    """Return closed positions that ended before a time and are still worked with, with their events."""
    ended = Position.objects.filter(closed_at__lt=before, archived_at__isnull=True)
    return (
        ended.select_related("account", "instrument").prefetch_related("events").order_by("closed_at", "pk")
    )
