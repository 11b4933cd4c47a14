"""Hours at a simulated venue in minutes: accounts that trade, faults at random, runs as in production.

Time is the simulated venue's; it passes a second at a time, also while a run waits. Accounts are of three
kinds: calm and busy ones stream (each second what the venue tells is booked, and what it states is held
against the book by the stream's own rule, `portfolio.stream.legs`, which asks for targeted runs); polled
ones are asked on a schedule alone. Every account has a run each minute. At most one fault of an account is
open.
"""

from __future__ import annotations

import contextlib
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from positions.book import Leg
from positions.models import Balance, Position
from positions.sync import connections, poll
from positions.venues.base import Method, PositionRow, Report, ReportScope, VenueError
from positions.venues.transport.event_loop import run
from reconciliation import queries
from reconciliation.models import Run, Transition, Verdict
from reconciliation.rules.report_legs import unexplained_legs
from reconciliation.tasks import SPACED
from simulator.hyperliquid.faults import BadFault
from tests.reconciliation.faults import BUSY, CALM, POLLED, Fault, Faults, Member
from tests.reconciliation.scenes import COINS, FIRST, Scene, case_of
from tests.reconciliation.stage import Stage
from tests.reconciliation.worker import Worker

TRADES_EVERY = {CALM: 20.0, BUSY: 0.7, POLLED: 6.0}
DECOYS: tuple[dict[str, Any], ...] = (
    {"kind": "status", "status": 500, "times": 3},
    {"kind": "status", "status": 429, "times": 1},
    {"kind": "status", "status": 502, "times": 2, "type": "userFillsByTime"},
    {"kind": "truncate", "times": 2},
    {"kind": "empty", "times": 2, "type": "clearinghouseState"},
    {"kind": "empty", "times": 2, "type": "spotClearinghouseState"},
    {"kind": "stale", "times": 3, "type": "clearinghouseState"},
    {"kind": "withhold", "what": "fill", "count": 1, "seconds": 1.5},
)


class World:
    """Everything that happens in a long run, and what was found of it."""

    def __init__(self, stage: Stage, *, seed: int, kinds: tuple[str, ...], fault_every: float) -> None:
        self.stage, self.rng = stage, random.Random(seed)
        self.passed = 0.0
        self.fault_every = fault_every
        self.faults: list[Fault] = []
        self.false_alarms: list[str] = []
        self.runs = 0
        self.decoys = 0
        self.venue = stage.venue
        self.injected = Faults(stage, self.rng)
        self.workers: dict[str, Worker] = {}
        self.members = [self._member(number, kind) for number, kind in enumerate(kinds)]
        self._tee()

    def _member(self, number: int, kind: str) -> Member:
        scene = Scene(self.stage, random.Random(self.rng.random()), f"0x{self.rng.getrandbits(160):040x}")
        scene.do("deposit", amount=400_000)
        coin = COINS[number % len(COINS)]
        scene.trade(coin, usd=20_000)
        self.stage.wait(1)
        scene.connect()
        spread = 60 * number / 7
        return Member(scene, kind, coin, next_run=spread, next_fault=self.rng.uniform(5, self.fault_every))

    # What the venue tells -----------------------------------------------------------------------------------

    def _tee(self) -> None:
        """Hear what the venue's streams tell, as a socket would."""
        exchange = self.stage.simulation.exchange
        drain, by_user = exchange.drain, {one.scene.user: one for one in self.members}

        def heard() -> Any:
            happened = drain()
            for one in happened:
                if one.kind in ("fill", "funding", "ledger") and one.key in by_user:
                    by_user[one.key].told.append((one.kind, one.row))
            return happened

        exchange.drain = heard
        venue = connections.connect(account=self.members[0].scene.known)
        self.injected.listed = {one.venue_symbol: one for one in run(venue.instruments())}

    def _stream(self, one: Member) -> None:
        told, one.told = one.told, []
        if told and one.kind != POLLED:
            user = one.scene.user
            one.scene.book(*(entry for kind, row in told for entry in self.injected.read(kind, row, user)))

    # Time ---------------------------------------------------------------------------------------------------

    def go_on(self, seconds: float) -> None:
        """So much time passes, for runs that wait too; no run begins."""
        until = self.passed + seconds
        while self.passed < until:
            due = [one.wakes_at - self.passed for one in self.workers.values() if one.wakes_at > self.passed]
            step = min([1.0, until - self.passed, *due])
            self.stage.wait(step)
            self.passed += step
            for one in self.members:
                self._trade(one)
                self._stream(one)
                self._wake(one)
                if one.scene.user in self.workers:
                    self._notice(one)

    def _notice(self, one: Member) -> None:
        """A run that still waits may have found it already."""
        if one.fault is not None and one.fault.found is None and self._drifts(one, one.fault):
            self._found(one, one.fault)

    def _found(self, one: Member, fault: Fault) -> None:
        fault.found = self.passed
        fault.disturbed = self._hits(one) > fault.hits

    def _hits(self, one: Member) -> int:
        """How many requests of an account were refused, cut, or answered with old things so far."""
        armed = self._armed(one)
        one.hits, one.armed = one.hits + one.armed - armed, armed
        return one.hits

    def _armed(self, one: Member) -> int:
        """How many more requests that will happen to."""
        listed = self.venue.faults.listed()
        return sum(fault["left"] or 0 for fault in listed if fault.get("user") == one.scene.user)

    def _drifts(self, one: Member, fault: Fault) -> bool:
        rows = Verdict.objects.filter(account=one.scene.known, status__in=("DRIFT", "FAILED"))
        if isinstance(fault.right.subject, tuple):
            wallet, asset = fault.right.subject
            return rows.filter(wallet=wallet, asset=asset).exists()
        return rows.filter(instrument__venue_symbol=fault.right.subject).exists()

    def _wake(self, one: Member) -> None:
        worker = self.workers.get(one.scene.user)
        if worker is not None and worker.wakes_at <= self.passed and worker.go():
            del self.workers[one.scene.user]
            self._look(one)

    def _begin(self, one: Member, work: Callable[[Callable[[float], None]], object]) -> None:
        self.workers[one.scene.user] = Worker(self, work)
        self._wake(one)

    def _trade(self, one: Member) -> None:
        while not one.resting and self.passed >= one.next_trade:
            one.next_trade = max(one.next_trade, self.passed - 1) + self.rng.expovariate(
                1 / TRADES_EVERY[one.kind]
            )
            held = one.scene.size_of(one.coin)
            big = abs(held) * self.stage.simulation.exchange.markets[one.coin].mark > 40_000
            side = ("sell" if held > 0 else "buy") if big else ""
            with contextlib.suppress(BadFault):  # too small an order: the venue refuses it, as it would
                one.scene.trade(one.coin, usd=self.rng.uniform(150, 900), side=side)

    def live(self, seconds: float) -> None:
        """Everything goes on for so long."""
        until = self.passed + seconds
        while self.passed < until:
            self.go_on(1)
            if round(self.passed) % 15 == 0:
                self._prices()
            for one in self.members:
                self._care(one)

    def _prices(self) -> None:
        for coin, price in FIRST.items():
            moved = Decimal(price) * Decimal(str(1 + self.rng.gauss(0, 0.001)))
            self.stage.do("price", coin=coin, price=str(moved), hold=True)

    def _care(self, one: Member) -> None:
        if one.fault is None and self.passed >= one.next_fault:
            one.fault = self.injected.inject(one)
            if one.fault is not None:
                one.fault.shown, one.fault.hits = self.passed, self._hits(one)
                self.faults.append(one.fault)
        if self.rng.random() < 1 / 400:
            self.decoys += 1
            decoy = self.rng.choice(DECOYS)
            self._hits(one)
            self.stage.do(**{"user": one.scene.user, **decoy})
            one.armed = self._armed(one)
        if one.kind == POLLED and round(self.passed) % 20 == 0:
            self._poll(one)
        if one.kind != POLLED:
            one.wanted = self._disagrees(one) or one.wanted
        if one.scene.user in self.workers:
            return
        if one.wanted and self.passed >= one.spaced_until:
            self._run(one, "targeted")
        elif self.passed >= one.next_run:
            one.next_run += 60
            self._run(one, "schedule")

    def _poll(self, one: Member) -> None:
        try:
            poll.facts(account=one.scene.known, methods=[Method.FILLS], now=self.stage.now(), trace_id="t")
        except VenueError:
            return  # the next round asks again

    def _disagrees(self, one: Member) -> bool:
        """Whether the stream's rule asks for a run now: see `portfolio.stream.state_watch`."""
        one.leg_check.add(self._stated(one), at=self.passed)
        due = one.leg_check.due(at=self.passed)
        if not due:
            return False
        book = queries.open_legs(account=one.scene.known)
        judged = [
            one.leg_check.judge(report, unexplained_legs(report, book), at=self.passed) for report in due
        ]
        return any(found.certain or found.restless for found in judged)

    def _stated(self, one: Member) -> Report:
        """The frame of state that the venue sends each second; that of a lagging venue is old."""
        held = {
            coin: (position.leg.size, position.leg.entry)
            for coin, position in one.scene.exchange.account(one.scene.user).positions.items()
        }
        route = self.venue.info.routes["clearinghouseState"]
        if getattr(route, "user", None) == one.scene.user:
            rows = [row["position"] for row in route.old["assetPositions"]]
            held = {row["coin"]: (Decimal(row["szi"]), Decimal(row["entryPx"])) for row in rows}
        stated = [
            PositionRow(venue_symbol=coin, leg=Leg.NET, quantity=size, currency="USDC", entry_price=entry)
            for coin, (size, entry) in held.items()
            if size
        ]
        now = self.stage.now()
        scopes = (ReportScope(name="", complete=True),)
        return Report(
            as_of=now, as_of_source="venue", received_at=now, positions=tuple(stated), scopes=scopes
        )

    def _run(self, one: Member, trigger: str) -> None:
        if trigger == "targeted":
            one.wanted, one.spaced_until = False, self.passed + SPACED
        self.runs += 1

        def work(pause: Callable[[float], None]) -> None:
            self.stage.reconcile(one.scene.known, trigger=trigger, pause=pause)
            if self.runs % 3 == 0:
                with contextlib.suppress(VenueError):  # prices are not what is proven here
                    poll.marks(account=one.scene.known, now=self.stage.now())

        self._begin(one, work)

    # What was found -----------------------------------------------------------------------------------------

    def _look(self, one: Member) -> None:
        account, fault = one.scene.known, one.fault
        fresh = Transition.objects.filter(verdict__account=account, pk__gt=one.seen).order_by("pk")
        for move in fresh.select_related("verdict__instrument"):
            one.seen = move.pk
            if move.new not in ("DRIFT", "FAILED"):
                continue
            row = move.verdict
            subject = row.instrument.venue_symbol if row.instrument else (row.wallet, row.asset)
            if fault is None or subject not in (fault.right.subject, ("perp", "USDC"), ("spot", "USDC")):
                self.false_alarms.append(
                    f"{one.kind} {subject} {move.new} at {self.passed:.0f}: {row.suspected}"
                )
            elif subject == fault.right.subject and fault.said is None and fault.found is None:
                self._found(one, fault)
        if fault is None:
            return
        if fault.found is not None and fault.said is None:
            case = case_of(one.scene, fault.right)
            fault.said = case.diagnosis[0]["cause"] if case else "no case"
            one.resting = False
            self._begin(one, fault.repair)
        elif fault.said is not None and self._all_synced(one):
            fault.settled, one.fault = True, None
            one.next_fault = self.passed + self.rng.uniform(0.3, 1.2) * self.fault_every

    def _all_synced(self, one: Member) -> bool:
        rows = Verdict.objects.filter(account=one.scene.known)
        return not rows.exclude(status="SYNCED", suspected=[]).exists()

    # The end ------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """No more faults: what is open is settled, and everything is proven once more."""
        self.fault_every = float("inf")
        for one in self.members:
            one.next_fault = float("inf")
            self._hits(one)
        self.stage.heal()
        for one in self.members:
            one.armed = 0
        for _ in range(8):
            if any(one.fault for one in self.members):
                self.live(60)
        for one in self.members:
            one.resting = True
        self.live(70)

    def untrue(self) -> list[str]:
        """Where the book is not what the venue knows to be true: sizes, averages, cash, fees, funding."""
        found = []
        for one in self.members:
            truth = one.scene.exchange.account(one.scene.user).truth()
            rows = Position.objects.filter(account=one.scene.known).select_related("instrument")
            book = {row.instrument.venue_symbol: row for row in rows if row.quantity}
            sizes = {coin: Decimal(held["size"]) for coin, held in truth["positions"].items()}
            if {coin: row.quantity for coin, row in book.items()} != {k: v for k, v in sizes.items() if v}:
                found.append(f"{one.scene.user}: sizes {book} are {sizes}")
            cash = Decimal(truth["cash"][""]) + sum(
                Decimal(held["size"]) * Decimal(held["entry"]) for held in truth["positions"].values()
            )
            balance = Balance.objects.get(account=one.scene.known, wallet="perp", asset="USDC")
            for name, ours, theirs, allowed in (
                ("cash", balance.amount, cash, "0.01"),
                ("funding", self._sum(rows, "funding"), Decimal(truth["totals"]["funding"]), "0.000001"),
                ("fees", self._sum(rows, "fees"), Decimal(truth["totals"]["fees"].get("USDC", 0)), "0.01"),
            ):
                if abs(ours - theirs) > Decimal(allowed):
                    found.append(f"{one.scene.user}: {name} is {ours}, in truth {theirs}")
        return found

    def unsettled(self) -> list[str]:
        """The faults that were repaired and still show, and what the accounts' verdicts and last runs say."""
        found = []
        for one in self.members:
            if one.fault is not None:
                rows = Verdict.objects.filter(account=one.scene.known).exclude(status="SYNCED", suspected=[])
                last = Run.objects.filter(account=one.scene.known).first()
                shown = [
                    f"{row.name} {row.status} {row.suspected}" for row in rows.select_related("instrument")
                ]
                found.append(f"{one.fault}: {shown}; {last.problem if last else ''} {last and last.balances}")
        return found

    def _sum(self, rows: Any, name: str) -> Decimal:
        return sum((Decimal(str(getattr(row, name).get("USDC", 0))) for row in rows), Decimal(0))

    @property
    def fills(self) -> int:
        return sum(one.scene.exchange.account(one.scene.user).totals.fills for one in self.members)

    def seconds(self, by: str) -> list[float]:
        """How long each found fault of a class went unnoticed, sorted; without those during which a request
        of the account was refused, cut, or answered with old things: there the venue did not show them.
        """
        mine = [one for one in self.faults if one.by == by and not one.disturbed]
        return sorted(one.seconds for one in mine if one.seconds is not None)

    def slow(self, by: str, *, goal: float) -> list[str]:
        """The undisturbed faults that took longer than that, for whoever must find out why."""
        mine = [one for one in self.faults if one.by == by and not one.disturbed and one.seconds]
        late = [one for one in mine if one.seconds and one.seconds > goal]
        return [f"{one.seconds:.1f} s: {one.right.cause} of a {one.kind} account" for one in late]

    def told(self) -> str:
        """A line for each injected cause: found, named rightly, taken for."""
        by: dict[str, list[Fault]] = defaultdict(list)
        for one in self.faults:
            by[one.right.cause].append(one)
        lines = []
        for cause, mine in sorted(by.items()):
            right = sum(one.said == cause for one in mine)
            wrong = Counter(one.said or "not found" for one in mine if one.said != cause)
            lines.append(f"{cause:<20} injected {len(mine):>3}  named {right:>3}  {dict(wrong) or ''}")
        return "\n".join(lines)
