"""The admin of reconciliation: evidence to look at, policies and targets to set, cases to take.

Everything written goes through the module that owns its table. Setting a policy or a target needs the admin
role; acting on cases the scope to correct.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.readonly import DiscreetAdmin, ReadOnlyAdmin
from core.security.scopes import Scope, scopes_of_user
from core.values.money import fixed
from reconciliation.allocation import targets
from reconciliation.cases import cases, resolve
from reconciliation.labels import CAUSES, FAMILIES
from reconciliation.models import (
    AllocationBreach,
    AllocationTarget,
    Case,
    CaseState,
    Correction,
    DifferenceRow,
    Pause,
    Policy,
    Run,
    Transition,
    Verdict,
)
from reconciliation.rules.allocation import BadTarget
from reconciliation.rules.compare import Family


def who(request: HttpRequest) -> str:
    return f"user:{request.user.get_username()}"


def may(request: HttpRequest, scope: Scope) -> bool:
    return scope in scopes_of_user(request.user)


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    """Certificates."""

    list_display = ["id", "account", "trigger", "started_at", "as_of", "complete", "problem"]
    list_filter = ["account", "complete", "trigger"]
    search_fields = ["trace_id", "problem"]
    list_select_related = ["account"]


@admin.register(Verdict)
class VerdictAdmin(ReadOnlyAdmin):
    list_display = ["account", "subject", "status", "as_of", "changed_at"]
    list_filter = ["status", "account"]
    list_select_related = ["account", "instrument"]

    @admin.display(description="leg or balance")
    def subject(self, row: Verdict) -> str:
        return row.name


@admin.register(Transition)
class TransitionAdmin(ReadOnlyAdmin):
    """Every change of a verdict."""

    list_display = ["id", "verdict", "old", "new", "at", "as_of", "run"]
    list_filter = ["new"]
    list_select_related = ["verdict", "run"]


@admin.register(DifferenceRow)
class DifferenceAdmin(ReadOnlyAdmin):
    list_display = ["id", "account", "subject", "kind", "off_by", "first_as_of", "confirmed_at", "ended_at"]
    list_filter = ["kind", "ended", "account", ("confirmed_at", admin.EmptyFieldListFilter)]
    list_select_related = ["account", "instrument"]

    @admin.display(description="leg or balance")
    def subject(self, row: DifferenceRow) -> str:
        return row.name

    @admin.display(description="venue − book", ordering="amount")
    def off_by(self, row: DifferenceRow) -> str:
        return fixed(row.amount)


@admin.register(Case)
class CaseAdmin(ReadOnlyAdmin):
    """Cases are worked on their own page, which shows what an action would change before it is done."""

    list_display = ["id", "page", "account", "family", "state", "cause", "assignee", "opened_at", "closed_at"]
    list_filter = ["state", "family", "account", "assignee"]
    search_fields = ["instrument__symbol", "asset", "assignee"]
    list_select_related = ["account", "instrument"]
    actions = ["acknowledge", "take"]

    @admin.display(description="case")
    def page(self, row: Case) -> SafeString:
        return format_html('<a href="/reconciliation/cases/{}/">{}</a>', row.pk, row.name)

    @admin.display(description="likely cause")
    def cause(self, row: Case) -> str:
        return CAUSES.get(row.diagnosis[0]["cause"], "Unknown") if row.diagnosis else "—"

    @admin.action(description="Acknowledge: a person looks at it")
    def acknowledge(self, request: HttpRequest, rows: QuerySet[Case]) -> None:
        """Acknowledge the open ones among these cases."""
        if not may(request, Scope.CORRECT):
            messages.error(request, "Acting on cases needs the trader or the admin role.")
            return
        done = 0
        for row in rows.filter(state=CaseState.OPEN):
            try:
                cases.move(case=row, to=CaseState.ACKNOWLEDGED, who=who(request), now=timezone.now())
            except cases.IllegalMove as error:
                messages.warning(request, f"case {row.pk}: {error}")
            else:
                done += 1
        messages.success(request, f"{done} acknowledged.")

    @admin.action(description="Take: assign to me")
    def take(self, request: HttpRequest, rows: QuerySet[Case]) -> None:
        if not may(request, Scope.CORRECT):
            messages.error(request, "Acting on cases needs the trader or the admin role.")
            return
        for row in rows:
            cases.assign(case=row, assignee=request.user.get_username(), who=who(request), now=timezone.now())
        messages.success(request, f"{len(rows)} assigned to you.")


@admin.register(Pause)
class PauseAdmin(ReadOnlyAdmin):
    """Pauses, past and present; an account is paused on its own admin page or on the proof page."""

    list_display = ["id", "account", "started_at", "until", "reason", "who", "ended_at", "ended_by"]
    list_filter = ["account"]
    list_select_related = ["account"]


@admin.register(Correction)
class CorrectionAdmin(ReadOnlyAdmin):
    list_display = [
        "id",
        "case",
        "action",
        "automatic",
        "who",
        "reason",
        "applied_at",
        "outcome",
        "reversed_at",
    ]
    list_filter = ["action", "automatic", "outcome"]
    search_fields = ["reason", "who", "trace_id"]
    list_select_related = ["case"]


class PolicyForm(forms.ModelForm):  # type: ignore[type-arg]
    """A policy; reconciliation.cases.resolve.set_policy holds its rules."""

    family = forms.ChoiceField(choices=[(one.value, FAMILIES[one.value]) for one in Family])

    class Meta:
        model = Policy
        fields = ["account", "family", "mode", "materiality_usd"]
        help_texts = {
            "account": "Empty: all accounts without a policy of their own.",
            "materiality_usd": "The most that one automatic correction may move, in USD.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in {"account", "materiality_usd"} & self.fields.keys():
            self.fields[name].required = False

    def clean_materiality_usd(self) -> Any:
        limit = self.cleaned_data["materiality_usd"]
        if limit is not None and limit < 0:
            raise forms.ValidationError("A materiality is 0 or more.")
        return limit


@admin.register(Policy)
class PolicyAdmin(DiscreetAdmin):
    """Automatic corrections allowed. Saving a policy ends its halt; without a policy it is alert only."""

    form = PolicyForm
    list_display = [
        "id",
        "account",
        "family",
        "mode",
        "materiality_usd",
        "halted_at",
        "changed_at",
        "changed_by",
    ]
    list_filter = ["mode", "family"]
    list_select_related = ["account"]
    readonly_fields = ["halted_at", "changed_at", "changed_by"]

    def get_readonly_fields(self, request: HttpRequest, obj: Policy | None = None) -> list[str]:
        return self.readonly_fields if obj is None else ["account", "family", *self.readonly_fields]

    def has_delete_permission(self, request: HttpRequest, obj: Policy | None = None) -> bool:
        """A policy is set to alert only, which says who ended it."""
        return False

    def save_model(self, request: HttpRequest, obj: Policy, form: Any, change: bool) -> None:
        saved = resolve.set_policy(
            account=obj.account,
            family=obj.family,
            mode=obj.mode,
            materiality_usd=obj.materiality_usd,
            who=who(request),
            now=timezone.now(),
        )
        obj.pk = saved.pk


class TargetForm(forms.ModelForm):  # type: ignore[type-arg]
    """A target; the shares of one environment never add up to more than 1."""

    class Meta:
        model = AllocationTarget
        fields = ["environment", "venue", "account", "share", "tolerance"]

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        if self.errors:
            return values
        try:
            targets.check_target(
                environment=values.get("environment", self.instance.environment),
                venue=values.get("venue", self.instance.venue),
                account=values.get("account", self.instance.account),
                share=values["share"],
                tolerance=values["tolerance"],
            )
        except BadTarget as error:
            raise forms.ValidationError(f"{str(error).capitalize()}.") from error
        return values


@admin.register(AllocationTarget)
class AllocationTargetAdmin(DiscreetAdmin):
    form = TargetForm
    list_display = ["environment", "venue", "account", "share", "tolerance", "changed_at", "changed_by"]
    list_filter = ["environment"]
    list_select_related = ["account"]

    def get_readonly_fields(self, request: HttpRequest, obj: AllocationTarget | None = None) -> list[str]:
        return [] if obj is None else ["environment", "venue", "account"]

    def save_model(self, request: HttpRequest, obj: AllocationTarget, form: Any, change: bool) -> None:
        saved = targets.set_target(
            environment=obj.environment,
            venue=obj.venue,
            account=obj.account,
            share=obj.share,
            tolerance=obj.tolerance,
            who=who(request),
            now=timezone.now(),
        )
        obj.pk = saved.pk

    def delete_model(self, request: HttpRequest, obj: AllocationTarget) -> None:
        targets.drop_target(target=obj, who=who(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[AllocationTarget]) -> None:
        for row in queryset:
            targets.drop_target(target=row, who=who(request))


@admin.register(AllocationBreach)
class AllocationBreachAdmin(ReadOnlyAdmin):
    list_display = [
        "started_at",
        "ended_at",
        "environment",
        "venue",
        "account",
        "target",
        "drift",
        "worst_drift",
    ]
    list_filter = ["environment", ("ended_at", admin.EmptyFieldListFilter)]
    list_select_related = ["account"]
