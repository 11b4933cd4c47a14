"""A book with verdicts, runs and feeds that a test moves, and evaluations of it by its own clock."""

from datetime import timedelta
from decimal import Decimal

from core.process import health, heartbeats
from core.storage.redis import client
from portfolio.alerts import marks
from portfolio.alerts.evaluate import evaluate
from portfolio.models import Alert, AlertTransition
from positions.models import FeedCursor
from positions.sync import feeds
from positions.sync.feeds import Feed, State
from positions.venues.base import Method
from reconciliation.models import Run, Verdict
from tests.portfolio.market import BTC, Market

PARTS = ("web", "worker", "beat", "stream")


class Scene:
    """One account that is read and proven each second, unless something is switched off."""

    def __init__(self, now):
        client().flushdb()
        marks.forget()
        self.now = now
        self.market = Market(now=now)
        self.account = self.market.account
        self.dead, self.silent, self.unread = set(), False, False
        self.run = None
        self.prices = {BTC: "60000"}
        self.tick(evaluated=False)

    def tick(self, seconds=1, *, evaluated=True):
        self.now += timedelta(seconds=seconds)
        for part in PARTS:
            if part not in self.dead:
                heartbeats.record(part, now=self.now)
        if not {"worker", "beat"} & self.dead:
            health.record_worker_heartbeat(now=self.now)
        if not self.silent:
            feeds.keep(feeds=[Feed(account=self.account.pk, state=State.LIVE, since=self.now, at=self.now)])
            FeedCursor.objects.update_or_create(
                account=self.account, feed=Method.FILLS, defaults={"updated_at": self.now}
            )
            for symbol, price in self.prices.items():
                self.market.mark(symbol, price, now=self.now)
        if not (self.unread or self.silent):
            self.run = Run.objects.create(
                account=self.account, started_at=self.now, finished_at=self.now, as_of=self.now, complete=True
            )
            Verdict.objects.filter(status="SYNCED").update(as_of=self.now, seen_as_of=self.now, run=self.run)
            Verdict.objects.exclude(status="SYNCED").update(seen_as_of=self.now, run=self.run)
        return evaluate(self.now) if evaluated else None

    def for_seconds(self, seconds, every=5):
        for _ in range(seconds // every):
            self.tick(every)

    def position(self, quantity="0.5", *, liquidation="40000", price="60000"):
        side = "buy" if Decimal(quantity) > 0 else "sell"
        self.market.fill(side, str(abs(Decimal(quantity))), price, now=self.now)
        self.state(liquidation, quantity)
        return self.account.positions.get()

    def state(self, liquidation, quantity="0.5"):
        self.market.state(BTC, now=self.now, quantity=quantity, liquidation_price=liquidation)

    def verdict(self, status, *, book="0.5", venue="0.45", **fields):
        differing = status in ("DRIFT", "FAILED")
        suspected = [{"kind": "quantity", "book": book, "venue": venue, "drift": True}] if differing else []
        row, _ = Verdict.objects.update_or_create(
            account=self.account,
            instrument_id=self.market.instruments[BTC],
            leg="net",
            defaults={
                "status": status, "as_of": self.now, "seen_as_of": self.now, "run": self.run,
                "suspected": suspected, "changed_at": self.now,
            } | fields,
        )  # fmt: skip
        return row


def alerts(kind=None):
    found = Alert.objects.order_by("pk")
    return list(found.filter(kind=kind) if kind else found)


def told(kind=None):
    found = AlertTransition.objects.order_by("pk")
    return [row.kind for row in (found.filter(alert__kind=kind) if kind else found)]
