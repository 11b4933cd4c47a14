"""A real trader's fills, replayed on a clock: when each is released and what the account is worth then.

The rows come without ids and with minutes only. Each gets a tid and a hash derived from the run's name and
its row, and the millisecond at which the replay releases it; a state file keeps the schedule, so that a
restarted server tells the same past, and what fell due while it was away has happened.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from .engine.persistence import AFRESH
from .engine.records import set_aside
from .ledger import Leg
from .margin import Holding, Margin, Tier
from .wire import EXACT, number

DATA = Path(__file__).parent / "data"
DEFAULT_RUN = DATA / "trader2_btc.json"
# The run peaks at 48 BTC, about 4.2 million USD: enough behind it that it is never near liquidation.
OPENING_DEPOSIT = Decimal(1_000_000)
LEVERAGE = 20
# BTC's own tiers: https://hyperliquid.gitbook.io/hyperliquid-docs/trading/margin-tiers
BTC_TIERS = (Tier(Decimal(0), 40), Tier(Decimal(150_000_000), 20))


class BadState(ValueError):
    """The state file of a replay cannot be used; the message says what to do."""


@dataclass(frozen=True, slots=True)
class RecordedFill:
    """One row of the recording: `signed` units (+ bought), `fee` and `closed_pnl` in USD."""

    signed: Decimal
    price: Decimal
    fee: Decimal
    start_position: Decimal
    closed_pnl: Decimal
    direction: str
    oid: int
    tid: int
    hash: str
    crossed: bool


@dataclass(frozen=True, slots=True)
class Recording:
    """A run of fills of one trader in one coin, in the order they happened."""

    name: str
    coin: str
    size_decimals: int
    fee_token: str
    fills: tuple[RecordedFill, ...]

    @property
    def price_decimals(self) -> int:
        """Decimals of a perp price."""
        return 6 - self.size_decimals

    @property
    def user(self) -> str:
        """The trader's address: made from the run's name, since the source replaced the real one."""
        return "0x" + hashlib.sha256(self.name.encode()).hexdigest()[:40]


def load_recording(path: Path = DEFAULT_RUN) -> Recording:
    """The recording in `path` (see the file's `source` and `columns`)."""
    document = json.loads(path.read_text())
    rows = [dict(zip(document["columns"], row, strict=True)) for row in document["fills"]]
    return Recording(
        name=document["run"],
        coin=document["coin"],
        size_decimals=document["sz_decimals"],
        fee_token=document["fee_token"],
        fills=tuple(_fill(document["run"], index, row) for index, row in enumerate(rows)),
    )


def _fill(run: str, index: int, row: dict[str, Any]) -> RecordedFill:
    digest = hashlib.sha256(f"{run}#{index}".encode()).hexdigest()
    units = Decimal(row["qty"])
    return RecordedFill(
        signed=units if row["side"] == "buy" else -units,
        price=Decimal(row["price"]),
        fee=Decimal(row["fee"]),
        start_position=Decimal(row["start_position"]),
        closed_pnl=Decimal(row["closed_pnl"]),
        direction=row["dir"],
        oid=int(row["order"]),
        tid=10**14 + int(digest[:12], 16),
        hash="0x" + digest,
        crossed=row["crossed"],
    )


@dataclass(frozen=True, slots=True)
class Anchor:
    """From row `index` on, fills are released every `pace` ms, the first at `time`."""

    index: int
    time: int
    pace: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """When each row is released (ms). A change of pace adds an anchor and leaves the past alone."""

    anchors: tuple[Anchor, ...]

    @property
    def start(self) -> int:
        """When the replay began (ms)."""
        return self.anchors[0].time - self.anchors[0].pace

    def time_of(self, index: int) -> int:
        """The millisecond at which row `index` is released."""
        anchor = next(one for one in reversed(self.anchors) if one.index <= index)
        return anchor.time + (index - anchor.index) * anchor.pace

    def released(self, *, now: int, rows: int) -> int:
        """How many of `rows` are out at `now` (ms)."""
        for position, anchor in reversed(list(enumerate(self.anchors))):
            if now >= anchor.time or position == 0:
                count = anchor.index + max(0, (now - anchor.time) // anchor.pace + 1)
                following = self.anchors[position + 1 : position + 2]
                return min(count, rows, *(one.index for one in following))
        raise AssertionError("a schedule has an anchor")

    def paced(self, *, pace: int, now: int, rows: int) -> Schedule:
        """The same past, and `pace` ms from `now` on."""
        if pace == self.anchors[-1].pace:
            return self
        upcoming = Anchor(self.released(now=now, rows=rows), now + pace, pace)
        kept = tuple(one for one in self.anchors if one.index < upcoming.index)
        return Schedule((*kept, upcoming))


def load_schedule(state: Path | None, *, run: str, pace: int, now: int, rows: int) -> Schedule:
    """The schedule kept in `state`, at `pace` from now on; a new one, written there, if there is none.

    A damaged file is set aside and its copy used. Raises BadState when both are damaged, as a replay that
    began afresh would tell every book of its past the same fills at other times; and when the file belongs to
    another recording.
    """
    fresh = Schedule((Anchor(0, now + pace, pace),))
    if state is None:
        return fresh
    kept = _kept_schedule(state, run=run)
    schedule = fresh if kept is None else kept.paced(pace=pace, now=now, rows=rows)
    anchors = [[one.index, one.time, one.pace] for one in schedule.anchors]
    state.parent.mkdir(parents=True, exist_ok=True)
    for file in (copy_of(state), state):
        half = state.with_name(state.name + ".new")
        half.write_text(json.dumps({"run": run, "anchors": anchors}))
        os.replace(half, file)
    return schedule


def copy_of(state: Path) -> Path:
    """Where the second copy of a state file is."""
    return state.with_name(state.name + ".copy")


def _kept_schedule(state: Path, *, run: str) -> Schedule | None:
    problems = []
    for file in (state, copy_of(state)):
        if not file.exists():
            continue
        try:
            schedule = _read_schedule(file, run=run)
        except _Damaged as error:
            problems.append(f"{file} cannot be read ({error})")
            continue
        for problem in problems:
            sys.stderr.write(f"simulator: {problem}: it is now {set_aside(state)}, going on from {file}\n")
        return schedule
    if problems:
        raise BadState(f"{'; '.join(problems)}: {AFRESH}")
    return None


class _Damaged(ValueError):
    """A file that is no schedule."""


def _read_schedule(state: Path, *, run: str) -> Schedule:
    try:
        document = json.loads(state.read_text())
        anchors = tuple(Anchor(int(i), int(t), int(p)) for i, t, p in document["anchors"])
        known = document["run"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _Damaged(repr(error)) from error
    if not anchors or anchors[0].index != 0 or any(one.pace <= 0 for one in anchors):
        raise _Damaged("it has no schedule")
    if known != run:
        raise BadState(f"{state} is the state of {known}, not of {run}: {AFRESH}")
    return Schedule(anchors)


@dataclass(frozen=True, slots=True)
class Replay:
    """The account at any moment of the replay: pure, the clock is an argument."""

    recording: Recording
    schedule: Schedule
    seed: int = 1

    def released(self, *, now: int) -> Sequence[tuple[int, RecordedFill]]:
        """(release time, fill) of all fills out at `now` (ms), oldest first."""
        count = self.schedule.released(now=now, rows=len(self.recording.fills))
        return [(self.schedule.time_of(i), fill) for i, fill in enumerate(self.recording.fills[:count])]

    def oracle(self, *, now: int) -> Decimal:
        """The last released price; the first fill's before that."""
        count = self.schedule.released(now=now, rows=len(self.recording.fills))
        return self.recording.fills[max(0, count - 1)].price

    def mark(self, *, now: int) -> Decimal:
        """The last released price with a drift of at most 0.03 %, the same at the same moment of a replay."""
        seconds = (now - self.schedule.start) / 1000
        waves = sum(math.sin(seconds / period + self.seed * period) for period in (2.3, 7.1, 29.0))
        drift = Decimal(round(waves * 100)).scaleb(-6)
        price = self.oracle(now=now) * (1 + drift)
        # Prices have five significant digits, and all their integer digits.
        return price.quantize(Decimal(1).scaleb(min(0, price.adjusted() - 4)))

    def margin(self, *, now: int) -> Margin:
        """Cash and position at `now`: cash is the deposit less signed notionals and fees."""
        cash, leg = OPENING_DEPOSIT, Leg(self.recording.price_decimals)
        for _, fill in self.released(now=now):
            leg.trade(fill.signed, fill.price)
            spent = EXACT.add(EXACT.multiply(fill.signed, fill.price), fill.fee)
            cash = EXACT.subtract(cash, spent)
        if leg.size == 0:
            return Margin(cash, ())
        held = Holding(
            coin=self.recording.coin,
            size=leg.size,
            entry=leg.entry,
            mark=self.mark(now=now),
            leverage=LEVERAGE,
            tiers=BTC_TIERS,
            price_decimals=self.recording.price_decimals,
        )
        return Margin(cash, (held,))

    def fill_row(self, time: int, fill: RecordedFill) -> dict[str, Any]:
        """A fill as in userFills."""
        return {
            "coin": self.recording.coin,
            "px": number(fill.price),
            "sz": number(abs(fill.signed)),
            "side": "B" if fill.signed > 0 else "A",
            "time": time,
            "startPosition": number(fill.start_position),
            "dir": fill.direction,
            "closedPnl": number(fill.closed_pnl),
            "hash": fill.hash,
            "oid": fill.oid,
            "crossed": fill.crossed,
            "fee": number(fill.fee),
            "tid": fill.tid,
            "feeToken": self.recording.fee_token,
            "twapId": None,
        }
