"""Forms that narrow the lists of entries and of closed positions. What is wrong in them is said in place."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django import forms
from django.db.models import Q, QuerySet, Sum
from django.http import QueryDict

from core.http.inputs import id_of
from positions.labels import ENTRY_KINDS, venue_name
from positions.models import Account, InstrumentKind, Position, Status

ENDED = [(str(one.value), str(one.label)) for one in (Status.CLOSED, Status.LIQUIDATED, Status.VOID)]


class DayInput(forms.DateInput):
    """A day, chosen in the browser's own calendar."""

    input_type = "date"


class ListFilter(forms.Form):
    """What both lists can be narrowed by. `when` is the column of the dates; days are UTC days."""

    when = ""

    account = forms.ChoiceField(required=False)
    venue = forms.ChoiceField(required=False)
    asset = forms.CharField(
        required=False, max_length=40, help_text="What its price follows (BTC), or a symbol (BTC-PERP)."
    )
    since = forms.DateField(label="From", required=False, widget=DayInput())
    until = forms.DateField(label="To", required=False, widget=DayInput())

    def __init__(self, asked: QueryDict | None) -> None:
        super().__init__(asked, auto_id="filter-%s")
        accounts = list(Account.objects.order_by("label"))
        venues = sorted({account.venue for account in accounts})
        self._choose("account", [(str(account.pk), account.label) for account in accounts])
        self._choose("venue", [(venue, venue_name(venue)) for venue in venues])

    def _choose(self, name: str, choices: list[tuple[str, str]]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [("", "All"), *choices]

    def clean(self) -> dict[str, Any]:
        """Refuse days that are the wrong way round."""
        cleaned = super().clean() or {}
        since, until = cleaned.get("since"), cleaned.get("until")
        if since and until and since > until:
            self.add_error("until", f"This is before {since:%-d %b %Y}: swap the two days.")
        return cleaned

    @property
    def is_on(self) -> bool:
        """Return whether the list is narrowed."""
        return self.is_bound and any(self.data.get(name) for name in self.fields)

    @property
    def kept(self) -> str:
        """Return the query that asks for the same again."""
        return urlencode({name: self.data[name] for name in self.fields if self.data.get(name)})

    def narrowed(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows that match; none while the form is wrong: no list may look narrowed that is not."""
        if not self.is_bound:
            return rows
        if not self.is_valid():
            return rows.none()
        return rows.filter(self._condition(self.cleaned_data))

    def _condition(self, wanted: dict[str, Any]) -> Q:
        found = Q()
        if wanted["account"]:
            found &= Q(account=id_of(wanted["account"]))
        if wanted["venue"]:
            found &= Q(account__venue=wanted["venue"])
        if asset := wanted["asset"].strip().upper():
            found &= self._about(asset)
        if wanted["since"]:
            found &= Q(**{f"{self.when}__gte": datetime.combine(wanted["since"], time(), UTC)})
        if wanted["until"]:
            end = datetime.combine(wanted["until"], time(), UTC) + timedelta(days=1)
            found &= Q(**{f"{self.when}__lt": end})
        return found

    def _about(self, asset: str) -> Q:
        found = Q(instrument__underlying__iexact=asset) | Q(instrument__symbol__iexact=asset)
        if asset.endswith("-PERP"):
            kinds = (InstrumentKind.LINEAR, InstrumentKind.INVERSE)
            found |= Q(instrument__base__iexact=asset.removesuffix("-PERP"), instrument__kind__in=kinds)
        return found


class EntryFilter(ListFilter):
    """Narrows entries, also by kind and source."""

    when = "at"
    kind = forms.ChoiceField(required=False, choices=[("", "All"), *ENTRY_KINDS.items()])
    source = forms.CharField(required=False, max_length=60)

    def _condition(self, wanted: dict[str, Any]) -> Q:
        found = super()._condition(wanted)
        if wanted["kind"] in ("buy", "sell"):
            found &= Q(kind="fill", **{"quantity__gt" if wanted["kind"] == "buy" else "quantity__lt": 0})
        elif wanted["kind"]:
            found &= Q(kind=wanted["kind"])
        if wanted["source"].strip():
            found &= Q(source__iexact=wanted["source"].strip())
        return found

    def _about(self, asset: str) -> Q:
        return super()._about(asset) | Q(currency__iexact=asset)


class ClosedFilter(ListFilter):
    """Narrows closed positions, also by how they ended."""

    when = "closed_at"
    status = forms.ChoiceField(
        label="Ended as",
        required=False,
        choices=[("", "All"), *ENDED],
    )

    def _condition(self, wanted: dict[str, Any]) -> Q:
        found = super()._condition(wanted)
        return found & Q(status=wanted["status"]) if wanted["status"] else found


class ClosedTotals(NamedTuple):
    """What closed positions in one settle currency add up to; `unknown` counts the figures left out."""

    pnl_currency: str
    realized: Decimal
    net: Decimal
    unknown: int


def closed_totals(rows: QuerySet[Position]) -> list[ClosedTotals]:
    """Return what closed positions add up to, by settle currency."""
    found = (
        rows.order_by()
        .values("pnl_currency")
        .annotate(realized=Sum("realized_pnl"), net=Sum("net_pnl"), unknown=Sum("unknown_count"))
    )
    return [ClosedTotals(**one) for one in found.order_by("pnl_currency")]
