"""Content-Security-Policy by prefix, pages that need a login, the client's address behind proxies."""

from __future__ import annotations

from typing import Any

from csp.middleware import CSPMiddleware, PolicyParts
from django.conf import settings
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.http import HttpRequest, HttpResponseBase


class PolicyMiddleware(CSPMiddleware):
    """The strict policy everywhere; what a prefix of CONTENT_SECURITY_POLICY_BY_PREFIX needs, only there."""

    def get_policy_parts(
        self, request: HttpRequest, response: HttpResponseBase, report_only: bool = False
    ) -> PolicyParts:
        parts: PolicyParts = super().get_policy_parts(request, response, report_only)
        for prefix, replaced in settings.CONTENT_SECURITY_POLICY_BY_PREFIX.items():
            if request.path_info.startswith(prefix):
                parts.replace = replaced
        return parts


class PagesNeedLogin(LoginRequiredMiddleware):
    """Every page needs a login unless its view says otherwise; the API's operations see to themselves."""

    def process_view(self, request: HttpRequest, view_func: Any, view_args: Any, view_kwargs: Any) -> Any:
        if request.path_info.startswith("/api/"):
            return None
        return super().process_view(request, view_func, view_args, view_kwargs)


def client_address(request: HttpRequest) -> str:
    """Return the address that guesses passwords: the one the outermost *trusted* proxy saw.

    With TRUSTED_PROXIES = 0 the header is ignored: anybody can send it.
    """
    hops = [hop.strip() for hop in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if hop.strip()]
    trusted = settings.TRUSTED_PROXIES
    if trusted and len(hops) >= trusted:
        return str(hops[-trusted])
    return str(request.META.get("REMOTE_ADDR", ""))
