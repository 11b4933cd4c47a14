"""Faults for a long run: how each is made to happen to an account, and how it is put right again."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from portfolio.stream.leg_check import LegCheck
from positions.book import Entry, Kind
from positions.venues.hyperliquid import ledger
from positions.venues.hyperliquid import rows as hyperliquid_rows
from positions.venues.reports import VenueInstrument
from reconciliation import actions
from reconciliation.rules.causes import DriftCause
from simulator.hyperliquid.faults import BadFault
from tests.reconciliation.scenes import COINS, Expected, Lagging, Scene, case_of
from tests.reconciliation.stage import Stage

CALM, BUSY, POLLED = "calm", "busy", "polled"
Pause = Callable[[float], None]
Repair = Callable[[Pause], None]
# Cash that differs by less than 0.01 is no drift.
LEAST = Decimal("0.012")


@dataclass
class Fault:
    """One injected fault and what became of it; times in seconds of the world: computing uses up none."""

    right: Expected
    repair: Repair
    kind: str
    shown: float = 0
    found: float | None = None
    said: str | None = None
    settled: bool = False
    hits: int = 0
    disturbed: bool = False

    @property
    def by(self) -> str:
        """What must find it: a stream sees sizes and averages, and nothing sees cash but the schedule."""
        return "schedule" if self.kind == POLLED or self.right.family == "cash" else self.kind

    @property
    def seconds(self) -> float | None:
        return None if self.found is None else self.found - self.shown


@dataclass
class Member:
    """One account of the world."""

    scene: Scene
    kind: str
    coin: str
    next_run: float
    next_fault: float
    next_trade: float = 0
    resting: bool = False
    fault: Fault | None = None
    told: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    leg_check: LegCheck = field(default_factory=LegCheck)
    wanted: bool = False
    spaced_until: float = 0
    seen: int = 0
    armed: int = 0
    hits: int = 0


class Faults:
    """Injects faults of ten causes into members of one stage."""

    def __init__(self, stage: Stage, rng: random.Random) -> None:
        self.stage, self.rng = stage, rng
        self.venue = stage.venue
        self.listed: dict[str, VenueInstrument] = {}
        self.injectors: dict[DriftCause, Callable[[Member], Fault]] = {
            DriftCause.FILL_MISSED: self._missed,
            DriftCause.FILL_DOUBLED: self._doubled,
            DriftCause.PLACED_ELSEWHERE: self._elsewhere,
            DriftCause.TRANSFER_UNSEEN: self._transfer,
            DriftCause.FUNDING_MISSING: self._funding,
            DriftCause.FEE_MISSING: self._fee,
            DriftCause.MANUAL_CORRECTION: self._manual,
            DriftCause.UNIT_MISTAKE: self._units,
            DriftCause.VENUE_LAG: self._lag,
            DriftCause.UNKNOWN: self._average,
        }

    def read(self, kind: str, row: dict[str, Any], user: str) -> list[Entry]:
        if kind == "fill":
            return [hyperliquid_rows.fill(row, self.listed[row["coin"]], address=user)]
        if kind == "funding":
            coin = row.get("delta", row)["coin"]
            return [hyperliquid_rows.funding(row, self.listed[coin])]
        return ledger.ledger(row, address=user)

    def inject(self, one: Member) -> Fault | None:
        """Make one happen; None where the venue refused."""
        causes = list(self.injectors)
        if one.kind == BUSY:
            causes = [cause for cause in causes if cause not in (DriftCause.VENUE_LAG, DriftCause.UNKNOWN)]
        try:
            return self.injectors[self.rng.choice(causes)](one)
        except BadFault:
            one.scene.show()
            return None

    def _fault(self, one: Member, right: Expected, repair: Repair) -> Fault:
        return Fault(right, repair, one.kind)

    def _unseen_trade(self, one: Member, coin: str) -> None:
        one.scene.hide()
        one.scene.trade(coin, usd=self.rng.uniform(300, 3_000))
        one.scene.show()

    def _reveal(self, one: Member) -> None:
        """The venue tells this account what it kept to itself."""
        exchange = one.scene.exchange
        exchange.hidden = [
            (exchange.now if row[2].address == one.scene.user else row[0], *row[1:])
            for row in exchange.hidden
        ]
        exchange.reveal()
        self.venue.flush()

    def _missed(self, one: Member) -> Fault:
        self._unseen_trade(one, one.coin)
        return self._fault(one, Expected(DriftCause.FILL_MISSED, one.coin), lambda pause: self._reveal(one))

    def _elsewhere(self, one: Member) -> Fault:
        coin = self.rng.choice([coin for coin in COINS if coin != one.coin])
        self._unseen_trade(one, coin)
        return self._fault(one, Expected(DriftCause.PLACED_ELSEWHERE, coin), lambda pause: self._reveal(one))

    def _doubled(self, one: Member) -> Fault:
        one.scene.trade(one.coin)
        row = one.scene.do("repeat_fill")
        [entry] = self.read("fill", row, one.scene.user)

        def undo(pause: Pause) -> None:
            bust = Entry(
                kind=Kind.BUST, venue_ref=f"bust:{entry.venue_ref}", time=self.stage.now(),
                target=entry.venue_ref, instrument=one.coin, leg=None,
            )  # fmt: skip
            one.scene.book(bust, source="by hand")

        return self._fault(one, Expected(DriftCause.FILL_DOUBLED, one.coin), undo)

    def _transfer(self, one: Member) -> Fault:
        one.scene.hide("ledger")
        amount = self.rng.choice((self.rng.randrange(5, 900), round(self.rng.uniform(300, 900), 6)))
        one.scene.do("deposit", amount=str(amount))
        one.scene.show()
        right = Expected(DriftCause.TRANSFER_UNSEEN, ("perp", "USDC"), "cash")
        return self._fault(one, right, lambda pause: self._reveal(one))

    def _funding(self, one: Member) -> Fault:
        one.scene.hide("funding")
        self.stage.do("funding")
        one.scene.show()
        rows = [
            row for _, what, who, row in one.scene.exchange.hidden
            if what == "funding" and who.address == one.scene.user
        ]  # fmt: skip
        paid = sum(entry.amount or 0 for row in rows for entry in self.read("funding", row, one.scene.user))
        if abs(paid) < LEAST:
            self._reveal(one)
            raise BadFault("less than a balance may differ by")
        right = Expected(DriftCause.FUNDING_MISSING, ("perp", "USDC"), "cash")
        return self._fault(one, right, lambda pause: self._reveal(one))

    def _mistaken(self, one: Member, right: Expected, **wrong: Callable[[Entry], Decimal]) -> Fault:
        """A fill read wrongly by us; put right by amends, and then the venue's own row comes."""
        self._unseen_trade(one, one.coin)
        true = one.scene.hidden_fills()
        if "fee" in wrong and sum(entry.fee or 0 for entry in true) < LEAST:
            self._reveal(one)
            raise BadFault("less than a balance may differ by")
        one.scene.book(
            *(replace(entry, **{name: how(entry) for name, how in wrong.items()}) for entry in true)
        )

        def amend(pause: Pause) -> None:
            entries = [
                Entry(
                    kind=Kind.AMEND, venue_ref=f"amend:{entry.venue_ref}", time=entry.time, leg=None,
                    target=entry.venue_ref, instrument=one.coin,
                    fee_currency=entry.fee_currency if "fee" in wrong else None,
                    **{name: getattr(entry, name) for name in wrong},
                )
                for entry in true
            ]  # fmt: skip
            one.scene.book(*entries, source="by hand")
            self._reveal(one)

        return self._fault(one, right, amend)

    def _fee(self, one: Member) -> Fault:
        right = Expected(DriftCause.FEE_MISSING, ("perp", "USDC"), "cash")
        return self._mistaken(one, right, fee=lambda entry: Decimal(0))

    def _units(self, one: Member) -> Fault:
        factor = Decimal(10) ** self.rng.choice((-2, -1, 1))
        right = Expected(DriftCause.UNIT_MISTAKE, one.coin)
        return self._mistaken(one, right, quantity=lambda entry: (entry.quantity or Decimal(0)) * factor)

    def _manual(self, one: Member) -> Fault:
        size = one.scene.units(one.coin, self.rng.uniform(100, 3_000))
        one.scene.by_hand(one.coin, size=size, ref=self.stage.now().isoformat())
        right = Expected(DriftCause.MANUAL_CORRECTION, one.coin)

        def reverse(pause: Pause) -> None:
            case = case_of(one.scene, right)
            assert case is not None
            actions.act(
                case=case, action="reverse_manual", who="ada", reason="not at the venue",
                now=self.stage.now(), trace_id="t", pause=pause,
            )  # fmt: skip

        return self._fault(one, right, reverse)

    def _lag(self, one: Member) -> Fault:
        if getattr(self.venue.info.routes["clearinghouseState"], "user", None):
            raise BadFault("one at a time")
        told, user = self.venue.info.routes["clearinghouseState"], one.scene.user
        one.resting = True
        lagging = Lagging(told, user)
        one.scene.trade(one.coin)
        self.venue.info.routes["clearinghouseState"] = lagging

        def catch_up(pause: Pause) -> None:
            self.venue.info.routes["clearinghouseState"] = told

        return self._fault(one, Expected(DriftCause.VENUE_LAG, one.coin), catch_up)

    def _average(self, one: Member) -> Fault:
        one.resting = True
        leg = one.scene.exchange.account(one.scene.user).positions[one.coin].leg
        before, leg.entry = leg.entry, leg.entry * Decimal("1.02")

        def restore(pause: Pause) -> None:
            leg.entry = before

        return self._fault(one, Expected(DriftCause.UNKNOWN, one.coin, "entry_price"), restore)
