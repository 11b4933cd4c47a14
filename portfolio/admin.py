"""The admin's view of the book: everything to look at, nothing to edit by hand.

The book changes through `ingest` only; correcting it from here comes with its own actions later.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.admin import ModelAdmin

from core.readonly import DiscreetAdmin, ReadOnlyAdmin
from core.security.scopes import Scope, scopes_of_user
from core.security.security_events import by_request
from core.values.money import fixed
from portfolio.limits import BadLimit
from portfolio.models import Alert, LadderSetting, RiskLimit
from portfolio.totals import limit_keeping
from positions import accounts, ingest
from positions.models import (
    Account,
    Balance,
    Entry,
    FeedCursor,
    Instrument,
    Position,
    PositionEvent,
    QuarantinedEntry,
)
from reconciliation.runs import pauses


@admin.register(Account)
class AccountAdmin(ReadOnlyAdmin):
    """An account may be switched off and paused here; it is made by `manage.py add_account`."""

    list_display = ["label", "venue", "environment", "enabled", "paused_until"]
    list_filter = ["venue", "environment", "enabled"]
    fields = [
        "label",
        "venue",
        "environment",
        "base_url",
        "address",
        "enabled",
        "paused_until",
        "pause_reason",
    ]
    readonly_fields = ["venue", "environment", "base_url", "address"]

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return bool(ModelAdmin.has_change_permission(self, request, obj))

    def save_model(self, request: HttpRequest, obj: Account, form: Any, change: bool) -> None:
        who, now = by_request(request), timezone.now()
        accounts.edit(account=obj, fields=form.changed_data, who=who)
        if {"paused_until", "pause_reason"} & set(form.changed_data):
            pauses.keep(account=obj, until=obj.paused_until, reason=obj.pause_reason or "", who=who, now=now)


@admin.register(Position)
class PositionAdmin(ReadOnlyAdmin):
    list_display = ["id", "account", "instrument", "leg", "status", "size", "entry", "realized", "version"]
    list_filter = ["status", "account"]
    search_fields = ["instrument__symbol", "opening_ref"]
    list_select_related = ["account", "instrument"]

    @admin.display(description="size")
    def size(self, row: Position) -> str:
        return fixed(row.quantity)

    @admin.display(description="entry price")
    def entry(self, row: Position) -> str | None:
        return None if row.entry_price is None else fixed(row.entry_price)

    @admin.display(description="realized P&L")
    def realized(self, row: Position) -> str:
        return fixed(row.realized_pnl)


@admin.register(PositionEvent)
class PositionEventAdmin(ReadOnlyAdmin):
    list_display = ["id", "position", "kind", "status_before", "status_after", "at", "who", "source"]
    list_filter = ["kind"]
    list_select_related = ["position"]


@admin.register(Entry)
class EntryAdmin(ReadOnlyAdmin):
    list_display = ["id", "account", "sequence", "kind", "cause", "venue_ref", "at", "source"]
    list_filter = ["kind", "cause", "account"]
    search_fields = ["venue_ref"]
    list_select_related = ["account"]


@admin.register(QuarantinedEntry)
class QuarantinedEntryAdmin(ReadOnlyAdmin):
    """Facts that were not booked, with payload and reason; open ones first."""

    list_display = ["id", "account", "reason", "detail", "venue_ref", "seen", "last_seen_at", "settled_at"]
    list_filter = ["reason", "account", ("settled_at", admin.EmptyFieldListFilter)]
    search_fields = ["venue_ref", "detail"]
    list_select_related = ["account"]
    exclude = ["content_digest"]
    actions = ["settle"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[QuarantinedEntry]:
        found: QuerySet[QuarantinedEntry] = super().get_queryset(request)
        return found.order_by("settled_at", "-last_seen_at", "-pk")

    @admin.action(description="Settle: looked at, nothing to book")
    def settle(self, request: HttpRequest, rows: QuerySet[QuarantinedEntry]) -> None:
        """Close these rows in the name of staff with the scope to correct; the rows stay."""
        if Scope.CORRECT not in scopes_of_user(request.user):
            messages.error(request, "Settling needs the trader or the admin role.")
            return
        now, who = timezone.now(), request.user.get_username()
        settled = sum(
            ingest.settle_quarantined(quarantined=row, settlement="nothing to book", who=who, now=now)
            for row in rows.values_list("pk", flat=True)
        )
        messages.success(request, f"{settled} settled.")


@admin.register(Instrument)
class InstrumentAdmin(ReadOnlyAdmin):
    list_display = ["symbol", "venue", "environment", "kind", "price_tick", "quantity_step", "active"]
    list_filter = ["venue", "environment", "kind"]
    search_fields = ["symbol", "venue_symbol", "underlying"]


@admin.register(Balance)
class BalanceAdmin(ReadOnlyAdmin):
    list_display = ["account", "wallet", "asset", "amount", "updated_at"]
    list_filter = ["account", "asset"]
    list_select_related = ["account"]


@admin.register(FeedCursor)
class FeedCursorAdmin(ReadOnlyAdmin):
    list_display = ["account", "feed", "through", "updated_at"]
    list_select_related = ["account"]


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin):
    """Every alert as it is kept; acknowledging and muting is done on the page of alerts."""

    list_display = ["id", "kind", "severity", "state", "title", "raised_at", "told_at", "cleared_at"]
    list_filter = ["state", "severity", "kind", "account"]
    search_fields = ["title", "subject"]


@admin.register(LadderSetting)
class LadderSettingAdmin(ModelAdmin):
    """At which distances to liquidation alerts begin, for an account, an instrument or one position."""

    list_display = ["__str__", "watch_pct", "danger_pct", "critical_pct"]
    list_select_related = ["account", "instrument", "position__instrument"]
    autocomplete_fields = ["instrument", "position"]


class LimitForm(forms.ModelForm):  # type: ignore[type-arg]
    """Refuses limits that cannot be meant, alone or against those that are set."""

    class Meta:
        model = RiskLimit
        fields = ["environment", "kind", "account", "asset", "warn", "breach", "hysteresis_pct", "enabled"]

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        if self.errors:
            return values
        row = RiskLimit(pk=self.instance.pk)
        for name in self.Meta.fields:
            setattr(row, name, values.get(name, getattr(self.instance, name)))
        try:
            limit_keeping.check_limit(row)
        except BadLimit as error:
            field = error.field if error.field in self.fields else None
            self.add_error(field, f"{str(error)[:1].upper()}{str(error)[1:]}.")
        return values


@admin.register(RiskLimit)
class RiskLimitAdmin(DiscreetAdmin):
    """Limits are set here; where each stands is the refresh's to say."""

    form = LimitForm
    list_display = ["kind", "environment", "account", "asset", "warn", "breach", "level", "since", "enabled"]
    list_filter = ["environment", "kind", "level", "enabled"]
    list_select_related = ["account"]

    def get_readonly_fields(self, request: HttpRequest, obj: RiskLimit | None = None) -> list[str]:
        return [] if obj is None else ["environment", "kind", "account", "asset"]

    def save_model(self, request: HttpRequest, obj: RiskLimit, form: Any, change: bool) -> None:
        limit_keeping.set_limit(obj, who=by_request(request), now=timezone.now())

    def delete_model(self, request: HttpRequest, obj: RiskLimit) -> None:
        limit_keeping.drop_limit(obj, who=by_request(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[RiskLimit]) -> None:
        for row in queryset:
            limit_keeping.drop_limit(row, who=by_request(request))
