"""PURE: rows of the board and account summaries -> totals, one set per environment. They never mix.

Note [Totals in two steps]: `sums_by_account` adds up the positions of each account. `totals_of` adds these
sums up again, over whichever accounts somebody may see, and words the result. So one pass over the book
serves everybody, and nobody's totals hold a number of an account that they may not see. Sums are exact, so
the order in which they are added does not show.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple, TypedDict

from positions.book import money
from positions.labels import ENVIRONMENTS, TELLING_FEEDS
from positions.labels import NO_FEED as NO_FEED
from reconciliation.labels import VERDICTS

FEED_WORDS = ("down", "stale", "backfilling", "live", "polled")
"""The worst first."""

PROOF_ORDER = ("FAILED", "DRIFT", "SYNCED", "PENDING")
"""What needs a person, then what is proven: what is merely not proven yet is no headline."""

UNKNOWN = "not known now"

Row = Mapping[str, Any]


class AccountSummary(TypedDict):
    """An account beside its positions, in JSON types.

    `cash` is in USD; None: nothing is counted yet, or nothing has a price. `cash_unknown` counts the amounts
    that it leaves out. `feed` is live, backfilling, stale, down, polled, or none (kept by hand).
    `day_base` is what today's P&L counts from: equity at the start of the desk's day, and what flowed in or
    out since; None: not known.
    """

    id: int
    environment: str
    cash: str | None
    cash_unknown: int
    feed: str
    day_base: str | None


class Sum(NamedTuple):
    """The sum of `known` amounts; `left_out` more are unknown or in a currency that does not count as par."""

    value: Decimal = Decimal(0)
    known: int = 0
    left_out: int = 0

    @property
    def amount(self) -> Decimal | None:
        """The sum; None when nothing of something is known. A sum of nothing is 0."""
        return None if self.left_out and not self.known else self.value

    @property
    def whole(self) -> Decimal | None:
        """The sum of everything; None when a part of it is left out."""
        return None if self.left_out else self.value

    def plus(self, other: Sum) -> Sum:
        """Return the sum of both."""
        return Sum(
            money.add(self.value, other.value), self.known + other.known, self.left_out + other.left_out
        )

    def with_amount(self, amount: Decimal | str | None, *, in_par: bool) -> Sum:
        """Return the sum with one amount more."""
        if amount is None or not in_par:
            return self._replace(left_out=self.left_out + 1)
        number = Decimal(amount) if isinstance(amount, str) else amount
        return Sum(money.add(self.value, number), self.known + 1, self.left_out)


class NearestLiquidation(NamedTuple):
    """The position with the shortest known way to liquidation; the lowest id of several."""

    distance_pct: Decimal
    id: int
    name: str
    account: str
    symbol: str
    risk: str


_NOTHING = Sum()


@dataclass(slots=True)
class PositionSums:
    """What open positions of one environment add up to, exactly.

    `shorts` is the part of `notional` that is held short, `derivatives` the unrealized P&L of what is not
    spot. `sides`, `risks` and `proofs` count positions, `aged` those of them that were proven before their
    account's feed stopped telling what happens.
    """

    environment: str
    positions: int = 0
    unpriced: int = 0
    oldest_mark_at: str | None = None
    unrealized: Sum = _NOTHING
    derivatives: Sum = _NOTHING
    realized: Sum = _NOTHING
    notional: Sum = _NOTHING
    shorts: Sum = _NOTHING
    nearest: NearestLiquidation | None = None
    sides: Counter[str] = field(default_factory=Counter)
    risks: Counter[str] = field(default_factory=Counter)
    proofs: Counter[str] = field(default_factory=Counter)
    aged: int = 0

    @property
    def net(self) -> Decimal | None:
        """Longs less shorts; None: nothing of it is known."""
        gross = self.notional.amount
        shorts = money.add(self.shorts.value, self.shorts.value)
        return None if gross is None else money.subtract(gross, shorts)

    def add_row(self, row: Row) -> None:
        """Count a position. Amounts are text or Decimal.

        What is not in a par currency counts at `conversion`, what one unit of it is worth; without that it
        is left out.
        """
        rate = None if row["in_par"] else row.get("conversion")
        in_par = row["in_par"] or rate is not None
        unrealized, notional = _converted(row["unrealized_pnl"], rate), _converted(row["notional"], rate)
        self.positions += 1
        self.unrealized = self.unrealized.with_amount(unrealized, in_par=in_par)
        self.realized = self.realized.with_amount(_converted(row["realized_pnl"], rate), in_par=in_par)
        self.notional = self.notional.with_amount(notional, in_par=in_par)
        if row["side"] == "short":
            self.shorts = self.shorts.with_amount(notional, in_par=in_par)
        if row["kind"] != "spot":
            self.derivatives = self.derivatives.with_amount(unrealized, in_par=in_par)
        self.sides[row["side"]] += 1
        self.risks[row["risk"]] += 1
        self.proofs[row["proof"]] += 1
        self.aged += is_aged(proof=row["proof"], feed=row["feed"])
        self._note_mark(
            None if row["mark_price"] is None else row["mark_at"], unpriced=row["mark_price"] is None
        )
        if row["liquidation_distance_pct"] is not None:
            distance = Decimal(row["liquidation_distance_pct"])
            self._note_nearest(
                NearestLiquidation(
                    distance, row["id"], row["name"], row["account"], row["symbol"], row["risk"]
                )
            )

    def add(self, other: PositionSums) -> None:
        """Count what other sums of the same environment hold."""
        self.positions += other.positions
        for name in ("unrealized", "derivatives", "realized", "notional", "shorts"):
            setattr(self, name, getattr(self, name).plus(getattr(other, name)))
        self.sides += other.sides
        self.risks += other.risks
        self.proofs += other.proofs
        self.aged += other.aged
        self._note_mark(other.oldest_mark_at, unpriced=other.unpriced)
        if other.nearest is not None:
            self._note_nearest(other.nearest)

    def _note_mark(self, at: str | None, *, unpriced: int) -> None:
        self.unpriced += unpriced
        if at is not None:
            self.oldest_mark_at = min(at, self.oldest_mark_at or at)

    def _note_nearest(self, found: NearestLiquidation) -> None:
        self.nearest = found if self.nearest is None else min(found, self.nearest)


def is_aged(*, proof: str, feed: str | None) -> bool:
    """Return whether a proof says nothing of now: since then the feed may have missed what happened."""
    return proof == "SYNCED" and feed is not None and feed not in TELLING_FEEDS


def _converted(amount: Decimal | str | None, rate: Decimal | str | None) -> Decimal | str | None:
    if amount is None or rate is None:
        return amount
    return money.rounded(money.multiply(Decimal(amount), Decimal(rate)))


def sums_by_account(rows: Iterable[Row]) -> dict[int, PositionSums]:
    """Return what the open positions of each account add up to; `rows` are `portfolio.live.rows` facts.

    Amounts add up only where their currency counts as par (`in_par`).
    """
    found: dict[int, PositionSums] = {}
    for row in rows:
        sums = found.get(row["account_id"])
        if sums is None:
            sums = found[row["account_id"]] = PositionSums(row["environment"])
        sums.add_row(row)
    return found


def sums_by_environment(
    sums: Iterable[PositionSums], *, environments: Iterable[str] = ()
) -> dict[str, PositionSums]:
    """Add sums of accounts up, for every environment named or held, in the order of ENVIRONMENTS."""
    found = {name: PositionSums(name) for name in environments}
    for one in sums:
        found.setdefault(one.environment, PositionSums(one.environment)).add(one)
    return {name: found[name] for name in ENVIRONMENTS if name in found}


def totals(
    *, rows: Iterable[Row], environments: Iterable[str] = (), accounts: Iterable[AccountSummary] | None = None
) -> dict[str, dict[str, Any]]:
    """Return {environment: totals} of rows of the board. See `totals_of`."""
    return totals_of(sums_by_account(rows), environments=environments, accounts=accounts)


def totals_of(
    sums: Mapping[int, PositionSums],
    *,
    environments: Iterable[str] = (),
    accounts: Iterable[AccountSummary] | None = None,
) -> dict[str, dict[str, Any]]:
    """Return {environment: totals} for every environment named or held, in the order of ENVIRONMENTS.

    `sums` are by account id; `accounts` None is not known (yet, or as Redis is away). What is unknown or in
    another currency is left out of a sum and counted in its note. A sum of nothing known is None; a sum over
    no positions is 0. Equity = cash, coins included, + what derivatives have not realized yet.
    """
    summaries: dict[str, list[AccountSummary]] = {}
    for account in accounts or ():
        summaries.setdefault(account["environment"], []).append(account)
    return {
        name: _totals(total, sums, None if accounts is None else summaries.get(name, ()))
        for name, total in sums_by_environment(sums.values(), environments=environments).items()
    }


def nothing() -> dict[str, Any]:
    """Totals of a book without any account."""
    return _totals(PositionSums(""), {}, [])


def _totals(
    total: PositionSums, by_account: Mapping[int, PositionSums], accounts: Sequence[AccountSummary] | None
) -> dict[str, Any]:
    return {
        "environment": total.environment,
        "environment_label": ENVIRONMENTS.get(total.environment, ""),
        "positions": total.positions,
        **_equity(by_account, accounts),
        **_today(by_account, accounts),
        "unrealized": _text(total.unrealized.amount),
        "unrealized_note": _count(total.positions) + _left_out(total.unrealized.left_out),
        "realized": _text(total.realized.amount),
        "realized_note": ("before fees and funding" if total.positions else "")
        + _left_out(total.realized.left_out),
        "gross": _text(total.notional.amount),
        "net": _text(total.net),
        "gross_note": _left_out(total.notional.left_out),
        "nearest": None if total.nearest is None else _text(total.nearest.distance_pct),
        **_nearest(total.nearest, total.risks["unknown"]),
        **_proof(total),
        **_feeds(accounts),
        "oldest_mark_at": total.oldest_mark_at,
        "unpriced": total.unpriced,
    }


def _nearest(nearest: NearestLiquidation | None, unknown: int) -> dict[str, Any]:
    """Word the nearest liquidation; one whose distance is not known may be nearer."""
    if nearest is None:
        note = f"{unknown} leveraged, not known" if unknown else "no position that can be liquidated"
        return {"nearest_note": note, "nearest_risk": "watch" if unknown else "none", "nearest_id": None}
    return {
        "nearest_note": f"{nearest.name} · {nearest.account}{_left_out(unknown)}",
        "nearest_risk": nearest.risk,
        "nearest_id": nearest.id,
    }


def _equity(
    by_account: Mapping[int, PositionSums], accounts: Sequence[AccountSummary] | None
) -> dict[str, str | None]:
    """Only accounts whose cash is known count, with their derivatives: half an account is no equity."""
    if accounts is None:
        return {"equity": None, "equity_note": UNKNOWN}
    known = {account["id"]: account for account in accounts if account["cash"] is not None}
    moving = Sum()
    for key in known.keys() & by_account.keys():
        moving = moving.plus(by_account[key].derivatives)
    unknown = moving.left_out + len(accounts) - len(known)
    unknown += sum(account["cash_unknown"] for account in known.values())
    if not known:
        return {"equity": None, "equity_note": "not known yet" if accounts else ""}
    equity = moving.value
    for account in known.values():
        equity = money.add(equity, Decimal(account["cash"] or 0))
    number = "1 account" if len(known) == 1 else f"{len(known)} accounts"
    return {"equity": _text(equity), "equity_note": number + _left_out(unknown)}


def account_equity(account: AccountSummary, sums: PositionSums) -> Decimal | None:
    """Return one account's equity, by the same rule: None when any part of it is unknown."""
    if account["cash"] is None:
        return Decimal(0) if not (account["cash_unknown"] or sums.positions) else None
    moving = sums.derivatives.whole
    if account["cash_unknown"] or moving is None:
        return None
    return money.add(moving, Decimal(account["cash"]))


def _today(
    by_account: Mapping[int, PositionSums], accounts: Sequence[AccountSummary] | None
) -> dict[str, str | None]:
    """Add up what accounts earned since the desk's day began; the percentage is of what they began with."""
    if accounts is None:
        return {"today": None, "today_pct": None, "today_note": UNKNOWN}
    earned, begun = Sum(), Decimal(0)
    for account in accounts:
        sums = by_account.get(account["id"]) or PositionSums(account["environment"])
        equity, base = account_equity(account, sums), account["day_base"]
        if equity is None or base is None:
            earned = earned.with_amount(None, in_par=True)
        else:
            earned = earned.with_amount(money.subtract(equity, Decimal(base)), in_par=True)
            begun = money.add(begun, Decimal(base))
    today = earned.amount
    percent = None if today is None or begun <= 0 else money.divide(today * 100, begun)
    note = f"{earned.left_out} of {len(accounts)} not known" if earned.left_out else ""
    return {"today": _text(today), "today_pct": _text(percent), "today_note": note}


def _feeds(accounts: Sequence[AccountSummary] | None) -> dict[str, str]:
    if accounts is None:
        return {"feeds": "—", "feeds_note": UNKNOWN, "feeds_level": "watch"}
    count = Counter(account["feed"] for account in accounts)
    words = [f"{count[word]} {word}" for word in FEED_WORDS if count[word]] or ["none"]
    good = all(account["feed"] in TELLING_FEEDS for account in accounts)
    return {"feeds": words[0], "feeds_note": " · ".join(words[1:]), "feeds_level": "" if good else "watch"}


def _proof(total: PositionSums) -> dict[str, str]:
    count = Counter[str]()
    for proof, number in total.proofs.items():
        count[proof if proof in VERDICTS else "PENDING"] += number
    count["SYNCED"] -= total.aged
    words = [f"{count[proof]} {VERDICTS[proof].lower()}" for proof in PROOF_ORDER if count[proof]]
    if total.aged:
        words.append(f"{total.aged} synced earlier")
    words = words or ["nothing to prove"]
    level = "act" if count["FAILED"] or count["DRIFT"] else "watch" if total.aged else ""
    return {"proof": words[0], "proof_note": " · ".join(words[1:]), "proof_level": level}


def _count(positions: int) -> str:
    if not positions:
        return "no open positions"
    return "1 position" if positions == 1 else f"{positions} positions"


def _left_out(number: int) -> str:
    return f", {number} unknown" if number else ""


def _text(value: Decimal | None) -> str | None:
    return None if value is None else money.plain(value)
