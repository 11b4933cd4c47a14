"""Django's admin, on our own front door (see core.admin_site)."""

from __future__ import annotations

from django.contrib.admin.apps import AdminConfig as DjangosAdminConfig


class AdminConfig(DjangosAdminConfig):
    default_site = "core.admin_site.AdminSite"
