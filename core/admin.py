"""Admin of people and API keys."""

from __future__ import annotations

from typing import Any

import structlog
from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as BaseGroupAdmin
from django.contrib.auth.admin import UserAdmin as BaseUserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from core.models import ApiKey, issue_key
from core.scopes import Scope

audit = structlog.get_logger("audit")

admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class UserAdmin(BaseUserAdmin, ModelAdmin):  # type: ignore[type-arg]
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


@admin.register(Group)
class GroupAdmin(BaseGroupAdmin, ModelAdmin):
    pass


class ApiKeyForm(forms.ModelForm):  # type: ignore[type-arg]
    scopes = forms.MultipleChoiceField(
        choices=[(scope.value, scope.value) for scope in Scope], widget=forms.CheckboxSelectMultiple
    )

    class Meta:
        model = ApiKey
        fields = ["name", "owner", "scopes", "tier", "accounts", "expires_at", "revoked_at"]


@admin.register(ApiKey)
class ApiKeyAdmin(ModelAdmin):
    form = ApiKeyForm
    list_display = ["name", "prefix", "owner", "scopes", "tier", "expires_at", "last_used_at", "revoked_at"]
    list_filter = ["tier"]
    search_fields = ["name", "prefix"]
    readonly_fields = ["prefix", "created_at", "last_used_at"]
    actions = ["revoke"]

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        if change:
            obj.save(update_fields=form.changed_data)
            audit.info("API key changed", key=obj.prefix, fields=form.changed_data, by=str(request.user))
            return
        key, text = issue_key(
            name=obj.name,
            scopes=[Scope(scope) for scope in form.cleaned_data["scopes"]],
            owner_id=obj.owner_id,
            tier=obj.tier,
            accounts=obj.accounts,
            expires_at=obj.expires_at,
        )
        obj.pk, obj.prefix, obj.digest = key.pk, key.prefix, key.digest
        audit.info("API key made", key=key.prefix, scopes=key.scopes, by=str(request.user))
        messages.warning(request, f"Copy the key now, it is not shown again: {text}")

    @admin.action(description="Revoke the chosen keys", permissions=["change"])
    def revoke(self, request: HttpRequest, keys: QuerySet[ApiKey]) -> None:
        prefixes = list(keys.values_list("prefix", flat=True))
        count = keys.filter(revoked_at=None).update(revoked_at=timezone.now())
        audit.info("API keys revoked", keys=prefixes, by=str(request.user))
        messages.success(request, f"{count} revoked. They stop working at once.")
