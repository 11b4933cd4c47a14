"""Admin of people and API keys, and the security events of everybody.

What is done here is recorded in the transaction of the act (core.security.security_events). People are
switched off, never deleted. Pages that change people or keys ask for the password again
(core.signin.login.confirmed).
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import GroupAdmin as BaseGroupAdmin
from django.contrib.auth.admin import UserAdmin as BaseUserAdmin
from django.contrib.auth.models import Group, User
from django.contrib.postgres.forms import SimpleArrayField
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from core.models import LONGEST, VALID_FOR, ApiKey, SecurityEvent, change_key, issue_key, revoke_key
from core.readonly import DiscreetAdmin, ReadOnlyAdmin
from core.security.scopes import Scope, scopes_of_user
from core.security.security_events import Act, by_request, changes, record
from core.signin.login import confirmation_url, is_confirmed

admin.site.unregister(User)
admin.site.unregister(Group)


class ConfirmedAdmin(DiscreetAdmin):
    """Asks for the password again before anything is added or changed; deletes nothing."""

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not is_confirmed(request):
            return redirect(confirmation_url(request))
        answer: HttpResponse = super().changeform_view(request, *args, **kwargs)
        return answer


class RecordedAdmin(ConfirmedAdmin):
    """Records what was added or changed, in the transaction that Django's admin opens around a form."""

    made: Act
    changed: Act

    def facts(self, row: Any) -> dict[str, Any]:
        """What of a row is recorded; no secrets."""
        raise NotImplementedError

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        stored = type(obj).objects.filter(pk=obj.pk).first() if change else None
        form.facts_before = None if stored is None else self.facts(stored)
        super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        before, after = form.facts_before, self.facts(form.instance)
        if before is not None:
            before, after = changes(before, after)
        if after:
            act = self.made if before is None else self.changed
            record(act, who=by_request(request), subject=str(form.instance), before=before, after=after)


@admin.register(User)
class UserAdmin(BaseUserAdmin, RecordedAdmin):  # type: ignore[type-arg]
    """People. One who leaves is switched off ("active"): what they did keeps its name.

    Django's class comes first: with Unfold's before it, a new person's password would not be hashed.
    """

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    made, changed = Act.PERSON_MADE, Act.PERSON_CHANGED

    def facts(self, row: User) -> dict[str, Any]:
        return {
            "username": row.username,
            "name": row.get_full_name(),
            "email": row.email,
            "active": row.is_active,
            "staff": row.is_staff,
            "superuser": row.is_superuser,
            "groups": sorted(row.groups.values_list("name", flat=True)),
            "permissions": sorted(row.user_permissions.values_list("codename", flat=True)),
        }

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        """Set another person's password; all their sessions end with it."""
        if not is_confirmed(request):
            return redirect(confirmation_url(request))
        # One transaction: no new password without its security event.
        with transaction.atomic():
            before = self.get_object(request, unquote(id))  # None for what is no id: refused below
            answer: HttpResponse = super().user_change_password(request, id, form_url)
            if before is not None and (
                (person := User.objects.get(pk=before.pk)).password != before.password
            ):
                record(Act.PASSWORD_CHANGED, who=by_request(request), subject=person.get_username())
        return answer


@admin.register(Group)
class GroupAdmin(RecordedAdmin, BaseGroupAdmin):
    made, changed = Act.GROUP_MADE, Act.GROUP_CHANGED

    def facts(self, row: Group) -> dict[str, Any]:
        return {
            "name": row.name,
            "permissions": sorted(row.permissions.values_list("codename", flat=True)),
        }


class ApiKeyForm(forms.ModelForm):  # type: ignore[type-arg]
    """A key; its owner has each of its scopes, and it expires."""

    scopes = forms.MultipleChoiceField(
        choices=[(scope.value, scope.value) for scope in Scope], widget=forms.CheckboxSelectMultiple
    )
    all_accounts = forms.BooleanField(required=False, help_text="Also those that are added later.")
    accounts = SimpleArrayField(
        forms.IntegerField(min_value=1),
        required=False,
        help_text="Else: ids, separated by commas. Empty is none.",
    )

    class Meta:
        model = ApiKey
        fields = ["name", "owner", "scopes", "tier", "accounts", "expires_at"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "all_accounts" in self.fields:
            self.fields["all_accounts"].initial = (
                self.instance.pk is not None and self.instance.accounts is None
            )
        if "owner" in self.fields:
            self.fields["owner"].required = True
        if "expires_at" in self.fields and self.instance.pk is None:
            self.fields["expires_at"].initial = timezone.now() + VALID_FOR

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        if self.errors:
            return values
        if values["all_accounts"]:
            if values["accounts"]:
                raise forms.ValidationError("Choose all accounts, or name some.")
            values["accounts"] = None
        now = timezone.now()
        if not now < values["expires_at"] <= now + LONGEST:
            raise forms.ValidationError(
                {"expires_at": f"In the future, at most {LONGEST.days} days from now."}
            )
        owner = values.get("owner") or self.instance.owner
        if beyond := sorted(set(values["scopes"]) - scopes_of_user(owner)):
            raise forms.ValidationError(
                {"scopes": f"{owner} has not {', '.join(beyond)}, nor would the key."}
            )
        return values


@admin.register(ApiKey)
class ApiKeyAdmin(ConfirmedAdmin):
    """API keys; a key's text is shown once, on the answer to the form that made it, and kept nowhere."""

    form = ApiKeyForm
    fields = ["name", "owner", "scopes", "tier", "all_accounts", "accounts", "expires_at"]
    list_display = ["name", "prefix", "owner", "scopes", "tier", "expires_at", "last_used_at", "revoked_at"]
    list_filter = ["tier"]
    search_fields = ["name", "prefix"]
    actions = ["revoke"]

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> list[str]:
        if obj is None:
            return []
        owned = ["owner"] if obj.owner_id is not None else []
        return [*owned, "prefix", "created_at", "last_used_at", "revoked_at"]

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> list[str]:
        if obj is None:
            return self.fields
        asked = [name for name in self.fields if name != "all_accounts" or obj.revoked_at is None]
        return [*asked, "prefix", "created_at", "last_used_at", "revoked_at"]

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """A key that is revoked is only looked at."""
        revoked = isinstance(obj, ApiKey) and obj.revoked_at is not None
        return not revoked and bool(super().has_change_permission(request, obj))

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        who = by_request(request)
        if change:
            written = set(form.changed_data) - {"all_accounts"}
            if "all_accounts" in form.changed_data:
                written.add("accounts")
            change_key(key=obj, fields=written, who=who)
            return
        key, text = issue_key(
            name=obj.name,
            scopes=[Scope(scope) for scope in form.cleaned_data["scopes"]],
            owner_id=form.cleaned_data["owner"].pk,
            who=who,
            now=timezone.now(),
            tier=obj.tier,
            accounts=obj.accounts,
            expires_at=obj.expires_at,
        )
        obj.pk, obj.prefix, obj.digest = key.pk, key.prefix, key.digest
        request.key_text = text  # type: ignore[attr-defined]  # for response_add, and no longer

    def response_add(
        self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Show the key's text on this very answer: a message would lie in a cookie or in the session."""
        context = {
            **self.admin_site.each_context(request),
            "title": "API key made",
            "key": obj,
            "text": request.key_text,  # type: ignore[attr-defined]
        }
        answer = render(request, "admin/api_key_made.html", context)
        answer["Cache-Control"] = "no-store"
        return answer

    @admin.action(description="Revoke the chosen keys for ever", permissions=["change"])
    def revoke(self, request: HttpRequest, keys: QuerySet[ApiKey]) -> None:
        """Revoke them; asks for no password, so that a stolen key is stopped at once."""
        who, now = by_request(request), timezone.now()
        count = sum(revoke_key(key=key, who=who, now=now) for key in keys)
        messages.success(request, f"{count} revoked. They stop working at once.")


@admin.register(SecurityEvent)
class SecurityEventAdmin(ReadOnlyAdmin):
    """Who did what, from where: for admins only, and changed by nobody."""

    list_display = ["at", "act", "who", "subject", "address"]
    list_filter = ["act"]
    search_fields = ["who", "subject", "address", "trace_id"]

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return Scope.ADMIN in scopes_of_user(request.user)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return Scope.ADMIN in scopes_of_user(request.user)
