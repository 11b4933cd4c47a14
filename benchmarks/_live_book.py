"""A book to watch: accounts, markets, positions, prices and keys, through the product's own doors."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

KEYS = 100
MARKETS = 50


def keeper() -> Any:
    """Return the person who owns the keys: one who may do everything."""
    from django.contrib.auth.models import User

    return User.objects.get_or_create(username="keeper", defaults={"is_superuser": True})[0]


class Book:
    """One account with one position in BTC; `grow` adds many."""

    def __init__(self) -> None:
        from django.utils import timezone

        from core.models import issue_key
        from core.security.scopes import Scope
        from positions import observe
        from positions.book.world import World
        from positions.models import Account, Environment

        self._now = timezone.now
        described = [
            observe.InstrumentDescription(
                venue_symbol=coin, symbol=f"{coin}/USDC:USDC", kind="linear", base=coin, quote="USDC",
                settle="USDC", price_tick=Decimal("0.01"), quantity_step=Decimal("0.00001"),
            )
            for coin in ("BTC", *(f"COIN{n}" for n in range(1, MARKETS)))
        ]  # fmt: skip
        self.instruments = observe.instruments(
            world=World("hyperliquid", Environment.SIMULATED), described=described, now=timezone.now()
        )
        owner, now = keeper().pk, timezone.now()
        self.keys = [
            issue_key(name=f"bench {n}", scopes=[Scope.READ], owner_id=owner, who="benchmark", now=now)[1]
            for n in range(KEYS)
        ]
        self.accounts: list[Any] = []
        self._make_account: Callable[[str], Any] = lambda label: Account.objects.create(
            label=label, venue="hyperliquid", environment=Environment.SIMULATED, created_at=timezone.now()
        )
        self.booked = 0
        self._tick = timezone.now()
        self._feed = 0
        self.add_account()
        self.fill()

    def add_account(self) -> Any:
        """One more."""
        self.accounts.append(self._make_account(f"bench {len(self.accounts)}"))
        return self.accounts[-1]

    def fill(self, account: Any = None, coins: tuple[str, ...] = ("BTC",)) -> float:
        """Book a fill of each coin; returns when it was begun."""
        from positions import ingest
        from positions.book import Cause, Entry, Kind, Side

        began = time.monotonic()
        entries = []
        for coin in coins:
            self.booked += 1
            entries.append(
                Entry(
                    kind=Kind.FILL, cause=Cause.TRADE, venue_ref=f"bench-{self.booked}", time=self._now(),
                    instrument=coin, side=Side.BUY, quantity=Decimal("0.01"), price=Decimal("60000.5"),
                    fee=Decimal("0.27"), fee_currency="USDC",
                )
            )  # fmt: skip
        ingest.record(
            account=account or self.accounts[0], entries=entries, source="bench", trace_id="bench",
            now=self._now(),
        )  # fmt: skip
        return began

    def grow(self, positions: int) -> None:
        """So many positions more: accounts that hold each market, with what the venue says of each."""
        from positions import observe

        for _ in range(positions // MARKETS):
            account = self.add_account()
            self.fill(account, tuple(self.instruments))
            stated = [
                observe.VenueStatement(
                    instrument=pk, leg="net", quantity=Decimal("0.01"), leverage=Decimal(5),
                    liquidation_price=Decimal("48123.45"),
                )
                for pk in self.instruments.values()
            ]  # fmt: skip
            observe.venue_states(account=account, stated=stated, as_of=self._now(), now=self._now())
        self.tick("60001")

    def tick(self, price: str) -> float:
        """A price of all markets, as the stream process tells it; returns when."""
        from positions import live

        self._tick = max(self._now(), self._tick + timedelta(milliseconds=1))
        marks = [
            {
                "instrument": pk,
                "price": price,
                "source": "mark",
                "at": self._tick.isoformat(),
                "freshness": "fresh",
            }
            for pk in self.instruments.values()
        ]
        began = time.monotonic()
        live.append(kind="marks", frame={"marks": marks}, stream=live.MARKS)
        return began

    def feed_frames(self, count: int, *, size: int) -> float:
        """Frames that everybody gets as they are, one by one; returns when they were handed over."""
        import orjson

        from core.storage.redis import client
        from positions import live

        pipeline = client().pipeline(transaction=False)
        for _ in range(count):
            self._feed += 1
            frame = {"account": self.accounts[0].pk, "state": "live", "since": str(self._feed), "reason": ""}
            frame["reason"] = "x" * (size - len(orjson.dumps({"type": "feed", "feed": frame})))
            fields: dict[Any, Any] = {
                "kind": "feed", "account": self.accounts[0].pk, "frame": orjson.dumps(frame),
            }  # fmt: skip
            pipeline.xadd(live.LIVE, fields)
        began = time.monotonic()
        pipeline.execute()
        return began
