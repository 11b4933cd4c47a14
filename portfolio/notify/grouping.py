"""Which deliveries of one recipient travel in one mail. Pure.

Note [One mail of several]: an alert that changed twice before anybody was told is told once, as it stands.
What one evaluation found at once, what was held through quiet hours, and what is more than STORM within a
minute is one mail that lists all. A mail that was already made is sent again as it was.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

STORM = 5
"""Mails to one recipient within a minute; what comes beyond is one mail."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A delivery that is due. `mail` is the one already made for it, `alert` None for what is about none.

    `batch` is the same for all that one evaluation found; `held`: it waited through quiet hours.
    """

    id: int
    alert: int | None
    batch: Hashable
    held: bool = False
    mail: int | None = None


@dataclass(frozen=True, slots=True)
class Parcel:
    """What one mail carries. `told` are the newest delivery of each alert; `outdated` what they replace."""

    told: tuple[int, ...]
    outdated: tuple[int, ...] = ()
    mail: int | None = None

    @property
    def is_storm(self) -> bool:
        return len(self.told) > 1


def parcels(waiting: Iterable[Waiting], *, mails_in_the_last_minute: int) -> list[Parcel]:
    """Return what each mail to one recipient carries, the oldest first; every delivery is in exactly one."""
    in_order = sorted(waiting, key=lambda one: one.id)
    made: dict[int, list[int]] = defaultdict(list)
    alone: list[Parcel] = []
    by_alert: dict[int, list[Waiting]] = defaultdict(list)
    for one in in_order:
        if one.mail is not None:
            made[one.mail].append(one.id)
        elif one.alert is None:
            alone.append(Parcel((one.id,)))
        else:
            by_alert[one.alert].append(one)
    found = [Parcel(tuple(ids), mail=mail) for mail, ids in made.items()]
    found += alone + _of_alerts(list(by_alert.values()), mails_in_the_last_minute)
    return sorted(found, key=lambda parcel: min(parcel.told))


def _of_alerts(alerts: Sequence[list[Waiting]], lately: int) -> list[Parcel]:
    if len(alerts) + lately > STORM:
        return [_parcel(alerts)] if alerts else []
    bundles: dict[Hashable, list[list[Waiting]]] = defaultdict(list)
    for rows in alerts:
        bundles["held" if rows[-1].held else ("batch", rows[-1].batch)].append(rows)
    return [_parcel(bundle) for bundle in bundles.values()]


def _parcel(alerts: Sequence[list[Waiting]]) -> Parcel:
    return Parcel(
        told=tuple(rows[-1].id for rows in alerts),
        outdated=tuple(row.id for rows in alerts for row in rows[:-1]),
    )
