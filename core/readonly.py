"""Admin pages of evidence, which show everything and edit nothing; none answers questions about secrets."""

from __future__ import annotations

from django.db.models import Model
from django.http import HttpRequest
from unfold.admin import ModelAdmin

_SECRET = frozenset({"password", "digest", "credentials", "session_data", "session_key"})


class DiscreetAdmin(ModelAdmin):  # type: ignore[misc]
    """Refuses filters on ciphertext and digests: `?credentials__startswith=…` would spell them out."""

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        secret = not _SECRET.isdisjoint(lookup.split("__"))
        return not secret and bool(super().lookup_allowed(lookup, value, request))


class ReadOnlyAdmin(DiscreetAdmin):
    """Lists and shows; adds, changes and deletes nothing."""

    list_per_page = 50
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False
