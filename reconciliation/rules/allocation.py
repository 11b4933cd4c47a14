"""How equity is spread over venues against how it is meant to be, and what is held of each asset.

Shares and tolerances are fractions of 1, drift is actual − target in the same unit, money is in USD. An
equity that is not known is None, and so is every sum and share that needs it; it is named, never taken for 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

# Worlds of money are counted to the cent: shares are shown to a hundredth of a basis point.
_PLACES = Decimal("0.000001")


class BadTarget(ValueError):
    """Targets that cannot be meant: a share outside 0..1, more than 1 in sum, the same thing twice."""


@dataclass(frozen=True, slots=True)
class AccountEquity:
    """One account's equity in USD; None is unknown, and `why` says why."""

    account: int
    label: str
    venue: str
    equity: Decimal | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """The share that a venue (`account` None) or an account is meant to hold, and how far off is fine."""

    venue: str
    account: int | None
    share: Decimal
    tolerance: Decimal = Decimal("0.05")


@dataclass(frozen=True, slots=True)
class Slice:
    """One venue or account. `target` None: it has none, so it cannot be off.

    `to_move` is what would have to come in (positive) or leave for the share to be the target.
    """

    venue: str
    account: int | None
    label: str
    target: Decimal | None
    tolerance: Decimal | None
    value: Decimal | None
    share: Decimal | None
    drift: Decimal | None
    target_value: Decimal | None
    to_move: Decimal | None
    unknown: tuple[str, ...]

    @property
    def breached(self) -> bool | None:
        """Return whether it is off by more than the tolerance; None: unknown, or without a target."""
        if self.drift is None or self.tolerance is None:
            return None
        return abs(self.drift) > self.tolerance


@dataclass(frozen=True, slots=True)
class Allocation:
    """How one environment's money is spread. `total` is what shares are of; `unknown` are (account, why)."""

    total: Decimal | None
    slices: tuple[Slice, ...]
    unknown: tuple[tuple[str, str], ...]
    untargeted: Decimal
    """What the targets leave open of 1."""


def allocate(
    *, holdings: Sequence[AccountEquity], targets: Sequence[Target], portfolio_value: Decimal | None = None
) -> Allocation:
    """Compare the equity of one environment's accounts with the targets.

    Shares are of `portfolio_value` where it is given, else of the sum of all equities, which is unknown when
    one of them is. Accounts with a target of their own are left out of their venue's slice; venues without a
    target are shown too. Raises BadTarget.
    """
    check(targets)
    if portfolio_value is not None and portfolio_value <= 0:
        raise BadTarget("a portfolio value is above 0")
    total = portfolio_value if portfolio_value is not None else _sum(holdings)
    own = {one.account for one in targets if one.account is not None}
    slices = [_slice(one, holdings, own, total) for one in targets]
    meant = {one.venue for one in targets if one.account is None}
    rest = sorted({one.venue for one in holdings if one.account not in own} - meant)
    slices += [_slice(Target(venue, None, Decimal(0)), holdings, own, total, meant=False) for venue in rest]
    return Allocation(
        total=total,
        slices=tuple(slices),
        unknown=tuple((one.label, one.why) for one in holdings if one.equity is None),
        untargeted=1 - sum((one.share for one in targets), Decimal(0)),
    )


def check(targets: Sequence[Target]) -> None:
    """Raise BadTarget where targets cannot be meant."""
    named = [(one.venue if one.account is None else "", one.account) for one in targets]
    if len(set(named)) < len(named):
        raise BadTarget("a venue or account has two targets")
    if any(not 0 <= one.share <= 1 or not 0 <= one.tolerance <= 1 for one in targets):
        raise BadTarget("a share and a tolerance are from 0 to 1")
    if sum((one.share for one in targets), Decimal(0)) > 1:
        raise BadTarget("the shares add up to more than 1")


def _sum(holdings: Iterable[AccountEquity]) -> Decimal | None:
    found = Decimal(0)
    for one in holdings:
        if one.equity is None:
            return None
        found += one.equity
    return found


def _slice(
    target: Target,
    holdings: Sequence[AccountEquity],
    own: set[int],
    total: Decimal | None,
    *,
    meant: bool = True,
) -> Slice:
    if target.account is not None:
        held = [one for one in holdings if one.account == target.account]
        label = held[0].label if held else f"account {target.account}"
        venue = held[0].venue if held else target.venue
    else:
        held = [one for one in holdings if one.venue == target.venue and one.account not in own]
        label, venue = target.venue, target.venue
    value = _sum(held)
    share = (value / total).quantize(_PLACES) if value is not None and total else None
    target_value = target.share * total if meant and total is not None else None
    return Slice(
        venue=venue,
        account=target.account,
        label=label,
        target=target.share if meant else None,
        tolerance=target.tolerance if meant else None,
        value=value,
        share=share,
        drift=share - target.share if meant and share is not None else None,
        target_value=target_value,
        to_move=target_value - value if target_value is not None and value is not None else None,
        unknown=tuple(one.label for one in held if one.equity is None),
    )


# Assets -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AssetHolding:
    """What one account holds of one asset: units of it (signed; None: unknown), and their worth in USD."""

    asset: str
    account: str
    venue: str
    derivative: bool
    quantity: Decimal | None
    value: Decimal | None


@dataclass(frozen=True, slots=True)
class Asset:
    """One asset over all venues, in its own units: held, and exposed to by derivatives; net is their sum."""

    asset: str
    spot: Decimal | None
    derivatives: Decimal | None
    net: Decimal | None
    value: Decimal | None
    lines: tuple[AssetHolding, ...]


def combined(lines: Iterable[AssetHolding]) -> list[Asset]:
    """Add up each asset over all venues, the largest worth first, those of unknown worth before all."""
    by_asset: dict[str, list[AssetHolding]] = {}
    for line in lines:
        by_asset.setdefault(line.asset, []).append(line)
    found = [_asset(name, held) for name, held in by_asset.items()]
    return sorted(found, key=lambda one: (one.value is not None, -abs(one.value or Decimal(0)), one.asset))


def _asset(name: str, held: Sequence[AssetHolding]) -> Asset:
    spot = _total(one.quantity for one in held if not one.derivative)
    derivatives = _total(one.quantity for one in held if one.derivative)
    return Asset(
        asset=name,
        spot=spot,
        derivatives=derivatives,
        net=_total([spot, derivatives]),
        value=_total(one.value for one in held),
        lines=tuple(held),
    )


def _total(values: Iterable[Decimal | None]) -> Decimal | None:
    found = Decimal(0)
    for value in values:
        if value is None:
            return None
        found += value
    return found
