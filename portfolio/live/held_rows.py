"""Rows of totals straight from Postgres: a dozen plain columns of each open position, valued.

A row of the board takes forty facts and the whole fold of its position. Who only adds up reads the columns
that repeat the fold, in one statement, and each account and market once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import connection

from portfolio.live import board_position, rows
from portfolio.live.board_position import BoardPrice, Row
from portfolio.live.rows import Conversions
from portfolio.live.worth import worth
from portfolio.totals.held import HeldMarket, HeldPosition
from positions.ledger.instruments import contract_of
from positions.models import OPEN_STATUSES, Account, Instrument
from positions.models.names import display_name
from positions.sync import feed_words
from reconciliation import queries as proven
from reconciliation.queries import NEVER_COMPARED

# A realized P&L of 0 may be one of which nothing is known: only the fold can tell.
_HELD = """
    SELECT held.id, held.account_id, held.instrument_id, held.leg, held.quantity, held.open_cost,
           CASE WHEN held.unknown_count > 0 AND held.realized_pnl = 0
                     AND (held.state::jsonb ->> 'unknown_pnl')::int > 0 THEN NULL
                ELSE held.realized_pnl END,
           held.net_pnl, held.strategy, held.opened_at >= %(since)s,
           stated.quantity, stated.liquidation_price, coalesce(stated.no_liquidation, false)
    FROM positions_position held
    LEFT JOIN positions_venuestate stated ON stated.account_id = held.account_id
         AND stated.instrument_id = held.instrument_id AND stated.leg = held.leg
    WHERE held.status = ANY(%(open)s)
      AND (%(accounts)s::bigint[] IS NULL OR held.account_id = ANY(%(accounts)s))
"""


@dataclass(frozen=True, slots=True)
class HeldBook:
    """Open positions, each with its row of totals, and the prices that they were valued at."""

    positions: Sequence[HeldPosition]
    rows: Sequence[Row]
    rates: Conversions
    prices: dict[str, dict[int, tuple[str | None, str]]]


def held_book(*, now: datetime, since: datetime, accounts: Collection[int] | None = None) -> HeldBook:
    """Read and value the open positions of these accounts, or of all. Raises DatabaseError.

    `since` is when the day began.
    """
    positions = _positions(since, accounts)
    # `id`, not `pk`: what is asked of each position must be a plain attribute.
    markets = {one.market.instrument.id: one.market for one in positions}
    prices = _prices(markets, now)
    owners = {one.account.id: one.account for one in positions}
    proofs = proven.leg_statuses(accounts=owners, now=now)
    feeds = feed_words.of({key: one.is_manual for key, one in owners.items()}, now=now)
    settled = {(one.account.id, one.market.contract.settle): one.account for one in positions}
    rates = rows.conversions((account, settle) for (_, settle), account in settled.items())
    of_accounts = {key: _account_facts(one, feeds[key]) for key, one in owners.items()}
    of_markets = {key: _market_facts(one, prices[key]) for key, one in markets.items()}
    found = []
    for one in positions:
        account, market = one.account.id, one.market.instrument.id
        proof = proofs.get((account, market, one.leg), NEVER_COMPARED.status)
        facts = _facts(one, prices[market].mark)
        row = {**of_accounts[account], **of_markets[market], **facts, "proof": proof}
        found.append(rows.converted(row, rates))
    return HeldBook(positions, found, rates, _priced(positions, prices))


def _positions(since: datetime, accounts: Collection[int] | None) -> list[HeldPosition]:
    asked: dict[str, Any] = {
        "since": since,
        "open": [str(one) for one in OPEN_STATUSES],
        "accounts": None if accounts is None else list(accounts),
    }
    with connection.cursor() as cursor:
        cursor.execute(_HELD, asked)
        read = cursor.fetchall()
    owners = Account.objects.in_bulk({row[1] for row in read})
    instruments = Instrument.objects.select_related("mark").in_bulk({row[2] for row in read})
    markets = {key: _market(one) for key, one in instruments.items()}
    # A leg has one state; were it stated of two wallets, it would still be held once.
    held = {row[0]: HeldPosition(row[0], owners[row[1]], markets[row[2]], *row[3:]) for row in read}
    return list(held.values())


def _market(instrument: Instrument) -> HeldMarket:
    contract = contract_of(instrument)
    return HeldMarket.of(instrument, contract, in_par=contract.settle in settings.PAR_CURRENCIES)


def _prices(markets: dict[int, HeldMarket], now: datetime) -> dict[int, BoardPrice]:
    instruments = [one.instrument for one in markets.values()]
    coins = rows.coin_marks(instruments)
    found = {}
    for one in instruments:
        mark = getattr(one, "mark", None)
        price = (mark.price, mark.at) if mark else coins.get(one.pk)
        found[one.pk] = board_position.board_price(rows.believed(price, now=now))
    return found


def _account_facts(account: Account, feed: str) -> Row:
    return {
        "environment": account.environment,
        "account": account.label,
        "account_id": account.pk,
        "feed": feed,
    }


def _market_facts(market: HeldMarket, price: BoardPrice) -> Row:
    return {
        "name": display_name(market.instrument),
        "symbol": market.instrument.symbol,
        "kind": board_position.kind_of(market.instrument),
        "in_par": market.in_par,
        "currency": market.contract.settle,
        "mark_price": price.text,
        "mark_at": price.at,
    }


def _facts(held: HeldPosition, mark: Decimal | None) -> Row:
    """Return a position's own facts: with account and market they are a `board_position.totals_row`."""
    market, stated = held.market, held.stated_quantity
    is_current = stated is None or stated * held.quantity > 0
    found = worth(
        market.contract,
        quantity=held.quantity,
        open_cost=held.open_cost,
        mark=mark,
        liquidation_price=held.liquidation_price if is_current else None,
        liquidates=not (market.is_coin or (held.no_liquidation and is_current)),
    )
    return {
        "id": held.id,
        "side": "long" if held.quantity > 0 else "short",
        "notional": found.notional,
        "unrealized_pnl": found.unrealized_pnl,
        "realized_pnl": held.realized_pnl,
        "liquidation_distance_pct": found.liquidation_distance_pct,
        "risk": found.risk,
    }


def _priced(
    positions: Iterable[HeldPosition], prices: dict[int, BoardPrice]
) -> dict[str, dict[int, tuple[str | None, str]]]:
    found: dict[str, dict[int, tuple[str | None, str]]] = {}
    for environment, key in {(one.account.environment, one.market.instrument.id) for one in positions}:
        price = prices[key]
        if price.at is not None:
            found.setdefault(environment, {})[key] = price.text, price.at
    return found
