"""All URLs: health, the API, pages, admin."""

from django.conf import settings
from django.contrib import admin
from django.contrib.auth import views as auth_views
from django.contrib.auth.decorators import login_not_required
from django.urls import include, path
from django.views.generic import RedirectView
from ninja.openapi.views import openapi_view

from config.api import aliases, api
from core.http.middleware import needs_role
from core.signin.login import Confirmation, Login, Logout, OtherSessions, PasswordChange

handler500 = "core.http.views.failed"
urlpatterns = [
    path("", include("core.urls")),
    path(
        "favicon.ico", login_not_required(RedirectView.as_view(url=f"{settings.STATIC_URL}img/favicon.svg"))
    ),
    path("api/docs", needs_role(openapi_view), {"api": api}, name="api-docs"),
    path("api/v1/", api.urls),
    path("api/", include(aliases())),
    path("login/", login_not_required(Login.as_view()), name="login"),
    path("logout/", Logout.as_view(), name="logout"),
    path("confirm/", Confirmation.as_view(), name="confirm"),
    path("sessions/", OtherSessions.as_view(), name="sessions"),
    path("password/", PasswordChange.as_view(), name="password_change"),
    path("password/done/", auth_views.PasswordChangeDoneView.as_view(), name="password_change_done"),
    path("admin/", admin.site.urls),
    path("reconciliation/", include("reconciliation.urls")),
    path("", include("portfolio.urls")),
]
