"""Limits that are warned of or breached, as alerts take them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from portfolio.alerts.snapshot import Breach

_WHAT = {
    "exposure": "gross exposure",
    "leverage": "leverage",
    "loss_today": "loss today",
    "concentration": "concentration",
    "distance": "distance to liquidation",
}
_SEVERITY = {"warn": "warning", "breach": "critical"}
_UNITS = {"exposure": " USD", "loss_today": " USD", "leverage": "x", "concentration": " %", "distance": " %"}


def limit_breaches(limits: Iterable[Any], *, labels: dict[int, str]) -> tuple[Breach, ...]:
    """Return a breach for each limit that is not ok; one whose figure is not known now cannot be judged.

    `limits` are `portfolio.totals.limit_keeping.LimitFigures`, `labels` names accounts by id.
    """
    return tuple(_breach(one, labels) for one in limits if one["level"] != "ok")


def _breach(one: Any, labels: dict[int, str]) -> Breach:
    unit, what = _UNITS[one["kind"]], _WHAT[one["kind"]]
    of = one["asset"] or labels.get(one["account"], "") or one["environment"]
    value = "not known now" if one["value"] is None else f"{one['value']}{unit}"
    allowed = one["breach"] if one["level"] == "breach" or one["warn"] is None else one["warn"]
    word = "breached" if one["level"] == "breach" else "nearly reached"
    return Breach(
        subject=f"limit:{one['id']}",
        title=f"Limit {word}: {what} of {of}",
        summary=f"{what} of {of} is {value}; {'the limit' if one['exceeded'] else 'the warning'} is"
        f" {allowed}{unit}" + (f" ({one['why']})" if one["why"] else ""),
        holds=None if one["value"] is None else True,
        severity=_SEVERITY[one["level"]],
        account=one["account"],
        measure=None if one["used_pct"] is None else Decimal(one["used_pct"]),
        numbers={
            "kind": one["kind"], "value": one["value"], "breach": one["breach"], "warn": one["warn"],
            "headroom": one["headroom"], "level": one["level"],
        },
    )  # fmt: skip
