"""What a role may do in the admin, decided by the group itself: no permission rows to keep in step."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend

from core.security.scopes import Scope, scopes_of_user


class RoleBackend(ModelBackend):
    """Permissions in the admin: staff with the admin scope have all, other staff with a role may view."""

    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        scopes = scopes_of_user(user_obj)
        if Scope.ADMIN in scopes:
            return True
        looks = perm.partition(".")[2].startswith("view_") and not perm.startswith("auth.")
        return (looks and Scope.READ in scopes) or super().has_perm(user_obj, perm, obj)

    def has_module_perms(self, user_obj: Any, app_label: str) -> bool:
        scopes = scopes_of_user(user_obj)
        if Scope.ADMIN in scopes:
            return True
        return (Scope.READ in scopes and app_label != "auth") or super().has_module_perms(user_obj, app_label)
