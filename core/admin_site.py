"""The admin's front door: one login for all pages, and whoever has the admin role is let in."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.decorators import method_decorator
from unfold.sites import UnfoldAdminSite

from core.security.scopes import Scope, scopes_of_user

REFUSED = "The admin pages are for the admin role. Ask an admin to add you to the group “admin”."


class AdminSite(UnfoldAdminSite):  # type: ignore[misc]
    """The admin, for staff with a role and the admin group; core.signin.backends says what they may do."""

    index_title = "Admin"
    index_template = "admin/front.html"

    def has_permission(self, request: HttpRequest) -> bool:
        scopes = scopes_of_user(request.user)
        return Scope.ADMIN in scopes or (Scope.READ in scopes and super().has_permission(request))

    @method_decorator(login_not_required)
    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Send strangers to the login of all pages, those who lack the role away, others where they wanted.

        Raises PermissionDenied.
        """
        if self.has_permission(request):
            return HttpResponse(status=302, headers={"Location": reverse("admin:index")})
        if request.user.is_authenticated:
            raise PermissionDenied(REFUSED)
        return redirect_to_login(request.GET.get("next") or reverse("admin:index"), reverse("login"))
