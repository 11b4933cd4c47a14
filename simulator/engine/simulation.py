"""The exchange with everybody on it, advanced in steps: what a server runs and a test replays."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from .exchange import VAULT, Exchange
from .makers import MarketMaker
from .records import Archive
from .steps import settle_marks, step
from .traders import Trader

STEP = 250
MINUTE = 60_000
LIQUIDATION_PAUSE = 30_000


@dataclass(frozen=True, slots=True)
class Phase:
    """A regime of the price path for so many seconds of market time; None = for ever."""

    regime: str
    seconds: float | None = None


class Simulation:
    """`speed` is market time per wall time: at 10, prices, traders and funding go ten times as fast."""

    def __init__(
        self,
        *,
        seed: int = 1,
        now: int,
        traders: int = 6,
        speed: float = 1.0,
        funding_every: int = 60_000,
        phases: tuple[Phase, ...] = (),
        vault: Decimal = VAULT,
    ) -> None:
        if not vault.is_finite() or vault < 0:
            raise ValueError("the vault's amount must be zero or more")
        if speed <= 0 or traders < 0 or funding_every < 1:
            raise ValueError("speed and funding interval must be positive, traders not negative")
        self.start = self.clock = now
        self.phases = phases
        self.funding_every = funding_every
        self.exchange = Exchange(seed=seed, now=now, vault=vault)
        self.set_speed(speed)
        self.exchange.next_funding = now + self.exchange.funding_every
        self.maker = MarketMaker(self.exchange)
        self.traders = [Trader(self.exchange, index) for index in range(traders)]
        self.paused = False
        self.skew = 0
        self.maker.quote(self.exchange)

    def set_speed(self, speed: float) -> None:
        """Market time per wall time; funding and the pause between liquidations go with it."""
        self.speed = speed
        self.exchange.funding_every = max(1, round(self.funding_every / speed))
        self.exchange.cooldown = round(LIQUIDATION_PAUSE / speed)

    @property
    def archive(self) -> Archive:
        """Where older rows are."""
        return self.exchange.archive

    def resume(self, skipped: int) -> None:
        """Go on `skipped` ms later, as if the venue had been halted."""
        self.clock += skipped
        self.start += skipped
        self.exchange.next_funding += skipped

    def retune(self, *, speed: float, phases: tuple[Phase, ...] | None) -> None:
        """Another speed, or a scenario that begins now."""
        self.set_speed(speed)
        if phases is not None:
            self.phases = phases
            self.start = self.clock

    def advance(self, now: int) -> int:
        """Take every step that is due at `now` (ms), each at its own time; how many."""
        taken = 0
        while self.clock + STEP <= now:
            self.clock += STEP
            if not self.paused:
                self.step()
            taken += 1
        return taken

    def step(self) -> None:
        """One step: prices, quotes, traders."""
        minutes = STEP * self.speed / MINUTE
        exchange = self.exchange
        exchange.regime = self.regime()
        step(exchange, now=self.clock + self.skew, minutes=minutes)
        self.maker.quote(exchange)
        settle_marks(exchange)
        # At high speed a step is long: traders get their turns in parts of it, with the maker in between.
        whole = max(1, round(self.speed))
        for _ in range(whole):
            for trader in self.traders:
                trader.act(exchange, minutes=minutes / whole)
            if whole > 1:
                self.maker.quote(exchange)

    def regime(self) -> str:
        """The regime that the phases say for this moment of market time."""
        return regime_at(self.phases, (self.clock - self.start) / 1000 * self.speed)


def regime_at(phases: tuple[Phase, ...], seconds: float) -> str:
    """The regime `seconds` of market time after the first phase began; calm after the last."""
    for phase in phases:
        if phase.seconds is None or seconds < phase.seconds:
            return phase.regime
        seconds -= phase.seconds
    return "calm"
