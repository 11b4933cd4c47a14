"""A seeded world in which things go wrong, and that remembers what went wrong, when, and for how long.

Its truth is kept beside what it writes: the table at the end compares alerts with it, and with nothing that
the rules computed. Prices walk and crash; accounts fall silent, cannot be read, or have their key refused;
legs drift and heal; venues liquidate; processes die. Time is the world's own.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from core.process import health, heartbeats
from portfolio.alerts.evaluate import evaluate
from positions.book import Cause
from positions.models import Account, FeedCursor, Position, QuarantinedEntry
from positions.sync import feeds
from positions.sync.feeds import Feed, State
from positions.venues.base import Method
from reconciliation.models import Run, Verdict
from tests.portfolio.market import BTC, ETH, Market

STEP = 5
PARTS = ("web", "worker", "beat", "stream")
START = {BTC: 60_000.0, ETH: 3_000.0}
REFUSED = "check the API key, its secret and password, its permissions and its allowed IP addresses (denied)"
OPEN_END = timedelta(days=365)


@dataclass
class Incident:
    """Something that really went wrong. `end` None: it lasts."""

    kind: str
    key: Any
    start: datetime
    end: datetime | None = None

    def lasted(self, now: datetime) -> float:
        return ((self.end or now) - self.start).total_seconds()


@dataclass
class Desk:
    """One account with its legs, and until when what is wrong with it."""

    market: Market
    silent: datetime | None = None
    unread: datetime | None = None
    refused: datetime | None = None
    drifting: dict[str, datetime | None] = field(default_factory=dict)
    quarantined: datetime | None = None
    open: dict[str, Incident] = field(default_factory=dict)

    @property
    def account(self) -> Account:
        account: Account = self.market.account
        return account


class AlertsWorld:
    """`run` lives through steps; `incidents` is the truth."""

    def __init__(self, *, seed: int, accounts: int, now: datetime) -> None:
        self.random = random.Random(seed)
        self.now = now
        self.prices = dict(START)
        self.incidents: list[Incident] = []
        self.dead: dict[str, datetime] = {}
        self.near: dict[int, Incident] = {}
        self.desks = [Desk(Market(now=now, label=f"desk {number}")) for number in range(accounts)]
        self.parts: dict[str, Incident] = {}
        for desk in self.desks:
            for symbol in (BTC, ETH):
                self._open(desk, symbol)

    def step(self) -> None:
        """Let STEP seconds pass, then evaluate."""
        self.now += timedelta(seconds=STEP)
        self._move_prices()
        self._kill()
        for desk in self.desks:
            self._go_wrong(desk)
            self._report(desk)
        self._beat()
        self._note_bands()
        evaluate(self.now)

    # What happens -------------------------------------------------------------------------------------------

    def _move_prices(self) -> None:
        for symbol, price in self.prices.items():
            pull = 0.002 * (START[symbol] - price) / START[symbol]
            moved = price * (1 + self.random.gauss(pull, 0.0009))
            if self.random.random() < 0.006:
                moved *= self.random.choice((0.94, 0.97, 1.03))
            self.prices[symbol] = round(moved, 1)
            self.desks[0].market.mark(symbol, str(self.prices[symbol]), now=self.now)

    def _open(self, desk: Desk, symbol: str) -> None:
        """Open a position whose liquidation lies 8 to 40 % away."""
        price = Decimal(str(self.prices[symbol]))
        side = self.random.choice(("buy", "sell"))
        quantity = "0.5" if symbol == BTC else "8"
        away = Decimal(str(round(self.random.uniform(0.08, 0.4), 4)))
        liquidation = price * (1 - away if side == "buy" else 1 + away)
        desk.market.fill(side, quantity, str(price), now=self.now, instrument=symbol)
        signed = quantity if side == "buy" else f"-{quantity}"
        liquidation_text = str(liquidation.quantize(Decimal("0.1")))
        desk.market.state(symbol, now=self.now, quantity=signed, liquidation_price=liquidation_text)
        Verdict.objects.update_or_create(
            account=desk.account, instrument_id=desk.market.instruments[symbol], leg="net",
            defaults={"status": "SYNCED", "as_of": self.now, "seen_as_of": self.now, "changed_at": self.now},
        )  # fmt: skip

    def _for(self, low: int, high: int) -> datetime:
        return self.now + timedelta(seconds=self.random.randint(low, high))

    def _begins(self, kind: str, key: Any) -> Incident:
        found = Incident(kind, key, self.now)
        self.incidents.append(found)
        return found

    def _kill(self) -> None:
        if self.random.random() < 0.012:
            part = self.random.choice(PARTS)
            if part not in self.dead:
                self.dead[part] = self._for(20, 400)
                self.parts[part] = self._begins("component_down", f"part:{part}")
        for part in [name for name, until in self.dead.items() if until <= self.now]:
            del self.dead[part]
            self.parts.pop(part).end = self.now

    def _go_wrong(self, desk: Desk) -> None:
        chance, pk = self.random.random, desk.account.pk
        for name, often, low, high in (
            ("silent", 0.004, 20, 400), ("unread", 0.003, 60, 500), ("refused", 0.0015, 60, 300),
        ):  # fmt: skip
            until = getattr(desk, name)
            if until is None and chance() < often:
                setattr(desk, name, self._for(low, high))
                kind = {"silent": "feed_silent", "refused": "key"}.get(name)
                if kind:
                    desk.open[name] = self._begins(kind, pk)
            elif until is not None and until <= self.now:
                setattr(desk, name, None)
                if name in desk.open and name == "silent":
                    desk.open.pop(name).end = self.now
        for symbol in (BTC, ETH):
            self._drift(desk, symbol)
        self._liquidate(desk)
        self._quarantine(desk)

    def _is_read(self, desk: Desk) -> bool:
        return not (desk.silent or desk.unread or desk.refused)

    def _drift(self, desk: Desk, symbol: str) -> None:
        """Only a report shows a drift, and only a report shows that it is over."""
        verdicts = Verdict.objects.filter(
            account=desk.account, instrument_id=desk.market.instruments[symbol], leg="net"
        )
        name, until = f"drift {symbol}", desk.drifting.get(symbol)
        if not self._is_read(desk):
            return
        if until is None and self.random.random() < 0.008:
            desk.drifting[symbol] = self._for(5, 600)
            book = "0.5" if symbol == BTC else "8"
            venue = str(round(float(book) * self.random.uniform(0.2, 1.8), 4))
            shown = [{"kind": "quantity", "book": book, "venue": venue, "drift": True}]
            verdicts.update(status="DRIFT", suspected=shown, changed_at=self.now)
            key = (desk.account.pk, desk.market.instruments[symbol])
            desk.open[name] = self._begins("drift", key)
        elif until is not None and until <= self.now:
            desk.drifting[symbol] = None
            verdicts.update(status="SYNCED", suspected=[], changed_at=self.now)
            desk.open.pop(name).end = self.now
        elif until is not None and self.random.random() < 0.02:
            verdicts.update(status="FAILED")

    def _liquidate(self, desk: Desk) -> None:
        if self.random.random() > 0.003 or not self._is_read(desk):  # nobody hears of it before it is read
            return
        symbol = self.random.choice((BTC, ETH))
        instrument = desk.market.instruments[symbol]
        held = Position.objects.filter(
            account=desk.account, instrument=instrument, status__in=["OPEN", "REDUCED"]
        )
        position = held.first()
        key = (desk.account.pk, instrument)
        if position is None:
            return
        side = "sell" if position.quantity > 0 else "buy"
        cause = self.random.choice((Cause.LIQUIDATION, Cause.ADL))
        size, price = str(abs(position.quantity)), str(self.prices[symbol])
        desk.market.fill(side, size, price, now=self.now, instrument=symbol, cause=cause)
        if not any(one.kind == "liquidated" and one.key == key for one in self.incidents):
            self._begins("liquidated", key)
        self._open(desk, symbol)  # the trader tries again
        if desk.drifting.get(symbol):
            Verdict.objects.filter(account=desk.account, instrument_id=instrument).update(status="DRIFT")

    def _quarantine(self, desk: Desk) -> None:
        if desk.quarantined is None and self.random.random() < 0.002:
            desk.quarantined = self._for(10, 400)
            QuarantinedEntry.objects.create(
                account=desk.account, venue_ref=f"q {self.now}", reason="conflict", detail="", content="{}",
                content_digest=str(self.now).encode()[:32], source="world", received_at=self.now,
                last_seen_at=self.now,
            )  # fmt: skip
            desk.open["quarantine"] = self._begins("quarantine", desk.account.pk)
        elif desk.quarantined is not None and desk.quarantined <= self.now:
            desk.quarantined = None
            QuarantinedEntry.objects.filter(account=desk.account).update(settled_at=self.now)
            desk.open.pop("quarantine").end = self.now

    # What the product sees ----------------------------------------------------------------------------------

    def _report(self, desk: Desk) -> None:
        now, account = self.now, desk.account
        if not desk.silent:
            feeds.keep(feeds=[Feed(account=account.pk, state=State.LIVE, since=now, at=now)])
            FeedCursor.objects.update_or_create(
                account=account, feed=Method.FILLS, defaults={"updated_at": now}
            )
            account.venue_states.update(as_of=now, received_at=now)
        problem = REFUSED if desk.refused else "ReadTimeout" if desk.unread or desk.silent else ""
        read = not problem
        run = Run.objects.create(
            account=account, started_at=now, finished_at=now, as_of=now if read else None, problem=problem,
            complete=read,
        )  # fmt: skip
        if not read:
            self._age(desk)
            return
        if "refused" in desk.open:
            desk.open.pop("refused").end = now
        if "proof" in desk.open:
            desk.open.pop("proof").end = now
        verdicts = Verdict.objects.filter(account=account)
        verdicts.filter(status="SYNCED").update(as_of=now, seen_as_of=now, run=run)
        verdicts.exclude(status="SYNCED").update(seen_as_of=now, run=run)
        Run.objects.filter(
            account=account, finished_at__lt=now - timedelta(minutes=5), pk__lt=run.pk
        ).exclude(pk__in=self._kept()).delete()

    def _kept(self) -> set[int]:
        from portfolio.models import Alert

        named = Alert.objects.filter(certificate__isnull=False).values_list("certificate", flat=True)
        return set(named) | set(Verdict.objects.filter(run__isnull=False).values_list("run", flat=True))

    def _age(self, desk: Desk) -> None:
        """A proof is too old after three minutes without a report, where something was proven."""
        proven = Verdict.objects.filter(account=desk.account, status="SYNCED", as_of__isnull=False)
        oldest = proven.order_by("as_of").values_list("as_of", flat=True).first()
        if oldest is None:  # all of it differs: then what counts is when the venue was last read
            read = Run.objects.filter(account=desk.account, as_of__isnull=False)
            oldest = read.order_by("-as_of").values_list("as_of", flat=True).first()
        if oldest is None or "proof" in desk.open or (self.now - oldest).total_seconds() <= 180:
            return
        desk.open["proof"] = self._begins("proof_old", desk.account.pk)

    def _beat(self) -> None:
        for part in PARTS:
            if part not in self.dead:
                heartbeats.record(part, now=self.now)
        if not {"worker", "beat"} & set(self.dead):
            health.record_worker_heartbeat(now=self.now)

    # The truth about distances ------------------------------------------------------------------------------

    def _note_bands(self) -> None:
        """By floats and by hand: a band is entered at 10 %, and left beyond 11 %."""
        seen = set()
        for desk in self.desks:
            for symbol in (BTC, ETH):
                instrument = desk.market.instruments[symbol]
                position = self._held(desk, instrument)
                state = desk.account.venue_states.get(instrument=instrument)
                if position is None or state.liquidation_price is None:
                    continue
                seen.add(position.pk)
                mark, at = self.prices[symbol], float(state.liquidation_price)
                left = 100 * ((mark - at) if position.quantity > 0 else (at - mark)) / mark
                known = self.near.get(position.pk)
                if known is None and left <= 10:
                    self.near[position.pk] = self._begins("liquidation_near", position.pk)
                elif known is not None and left > 11 and self._is_fresh(state):
                    self.near.pop(position.pk).end = self.now
        for pk in set(self.near) - seen:
            self.near.pop(pk).end = self.now

    def _held(self, desk: Desk, instrument: int) -> Position | None:
        found = Position.objects.filter(account=desk.account, instrument=instrument)
        return found.filter(status__in=["OPEN", "REDUCED"]).first()

    def _is_fresh(self, state: Any) -> bool:
        return bool((self.now - state.received_at).total_seconds() <= 300)
