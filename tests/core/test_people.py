"""Logging in and out, and what everybody is refused."""

import importlib
import re

import pytest
from django.apps import apps
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import get_resolver

from core.security.scopes import Role
from core.tracing.addresses import client_address

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery"
OPEN_TO_ALL = ("health", "api/", "login/", "logout/", "favicon")


def log_in(browser, name, password, **extra):
    return browser.post("/login/", {"username": name, "password": password}, **extra)


class TestLogin:
    def test_leads_to_the_board(self, client, trader):
        answer = log_in(client, "tom", PASSWORD)
        assert (answer.status_code, answer["Location"]) == (302, "/")
        assert client.get("/").status_code == 200

    def test_leads_to_where_one_wanted_to_go_but_never_elsewhere(self, client, trader):
        assert log_in(client, "tom", PASSWORD, query_params={"next": "/alerts/"})["Location"] == "/alerts/"
        client.logout()
        answer = log_in(client, "tom", PASSWORD, query_params={"next": "https://evil.example/"})
        assert answer["Location"] == "/"

    def test_answers_a_wrong_name_and_a_wrong_password_alike(self, client, trader):
        texts = [log_in(client, *who).content.decode() for who in (("tom", "wrong"), ("nobody", "wrong"))]
        assert "Username and password do not match" in texts[0]
        assert "Username and password do not match" in texts[1]

    def test_is_slowed_after_five_wrong_passwords(self, client, trader):
        for _ in range(4):
            assert log_in(client, "tom", "wrong").status_code == 200
        assert log_in(client, "tom", "wrong").status_code == 429
        locked = log_in(client, "tom", PASSWORD)
        assert locked.status_code == 429
        assert "try again" in locked.content.decode().lower()

    def test_is_not_slowed_for_others(self, client, trader, viewer):
        for _ in range(5):
            log_in(client, "tom", "wrong")
        assert log_in(client, "vera", PASSWORD).status_code == 302
        elsewhere = Client(REMOTE_ADDR="203.0.113.9")
        assert log_in(elsewhere, "tom", PASSWORD).status_code == 302

    def test_is_the_only_one_there_is(self, client, admin):
        answer = client.post("/admin/login/", {"username": "ada", "password": PASSWORD})
        assert (answer.status_code, answer["Location"].split("?")[0]) == (302, "/login/")
        assert client.get("/").status_code == 302


class TestLogout:
    def test_ends_the_session(self, as_trader):
        assert as_trader.post("/logout/").status_code == 302
        assert as_trader.get("/").status_code == 302

    def test_needs_a_post(self, as_trader):
        assert as_trader.get("/logout/").status_code == 405


class TestPasswordChange:
    def test_works(self, as_trader, trader):
        new = "another fine passphrase"
        form = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
        assert as_trader.post("/password/", form)["Location"] == "/password/done/"
        trader.refresh_from_db()
        assert trader.check_password(new)

    def test_refuses_a_weak_one(self, as_trader):
        form = {"old_password": PASSWORD, "new_password1": "12345678", "new_password2": "12345678"}
        answer = as_trader.post("/password/", form)
        assert answer.status_code == 200
        assert "too common" in answer.content.decode()


class TestEveryPage:
    def test_needs_a_login(self, client):
        """Every URL without parameters that is not health, the API or a login page."""
        names = {"", "portfolio/", "reconciliation/", "alerts/", "positions/closed/", "entries/", "password/"}
        known = set(_paths(get_resolver().url_patterns))
        assert names <= known
        for name in sorted(known):
            if (
                "<" in name
                or name.startswith(("health", "api/", "login/", "logout/", "favicon"))
                or "^" in name
            ):
                continue
            answer = client.get(f"/{name}")
            assert answer.status_code == 302, f"/{name} answered {answer.status_code}"
            assert answer["Location"].startswith(("/login/", "/admin/login/")), name

    def test_has_the_strict_policy(self, as_admin):
        for page in ("/", "/alerts/", "/password/", "/nowhere"):
            policy = as_admin.get(page)["Content-Security-Policy"]
            assert "default-src 'self'" in policy
            assert "unsafe" not in policy
        admins = as_admin.get("/admin/")["Content-Security-Policy"]
        assert "script-src 'self' 'unsafe-eval';" in f"{admins};"
        assert "unsafe-eval" not in as_admin.get("/api/docs")["Content-Security-Policy"]

    @pytest.mark.parametrize(
        "page",
        [
            "/admin/", "/admin/auth/user/", "/admin/auth/user/add/", "/admin/core/apikey/add/",
            "/admin/core/securityevent/", "/admin/positions/account/", "/admin/reconciliation/policy/add/",
        ],
    )  # fmt: skip
    def test_of_the_admin_has_no_inline_script_that_its_policy_would_stop(self, as_admin, page):
        text = as_admin.get(page).content.decode()
        assert re.findall(r"<script(?![^>]*\ssrc=)(?![^>]*type=.application/json)[^>]*>", text) == []
        assert re.findall(r"<[^>]*\son[a-z]+=[^>]*>|javascript:", text) == []

    def test_needs_a_role_too(self, client, django_user_model):
        client.force_login(django_user_model.objects.create_user("norole", password=PASSWORD))
        for page in ("/", "/entries/", "/portfolio/", "/reconciliation/"):
            assert client.get(page).status_code == 403
        assert client.get("/password/").status_code == 200
        assert client.post("/logout/").status_code == 302

    def test_is_not_framed_and_not_sniffed(self, as_trader):
        answer = as_trader.get("/")
        assert answer["X-Frame-Options"] == "DENY"
        assert answer["X-Content-Type-Options"] == "nosniff"


def _paths(found, before=""):
    """Every path of these patterns, also of those that a prefix includes; the admin has its own tests."""
    for pattern in found:
        path = before + str(pattern.pattern)
        if not hasattr(pattern, "url_patterns"):
            yield path
        elif not path.startswith(("admin/", "api/")):
            yield from _paths(pattern.url_patterns, path)


class TestRoles:
    def test_are_made_by_a_migration(self):
        Group.objects.all().delete()
        roles = importlib.import_module("core.migrations.0002_roles")
        roles.make(apps, None)
        assert {role.value for role in Role} <= set(Group.objects.values_list("name", flat=True))

    def test_let_staff_look_and_admins_work(self, client, trader, viewer):
        viewer.is_staff = True
        viewer.save(update_fields=["is_staff"])
        assert viewer.has_perm("positions.view_position")
        assert not viewer.has_perm("positions.change_position")
        assert not viewer.has_perm("auth.view_user")
        viewer.groups.set(Group.objects.filter(name=Role.ADMIN))
        viewer = type(viewer).objects.get(pk=viewer.pk)
        assert viewer.has_perm("auth.change_user")


class TestTheClientsAddress:
    @pytest.mark.parametrize(
        ("trusted", "header", "address"),
        [
            (0, "1.1.1.1", "10.0.0.1"),
            (1, "1.1.1.1, 2.2.2.2", "2.2.2.2"),
            (2, "6.6.6.6, 1.1.1.1, 2.2.2.2", "1.1.1.1"),
            (2, "1.1.1.1", "10.0.0.1"),
            (1, "", "10.0.0.1"),
        ],
    )
    def test_is_what_the_outermost_trusted_proxy_saw(self, rf, settings, trusted, header, address):
        settings.TRUSTED_PROXIES = trusted
        request = rf.get("/", REMOTE_ADDR="10.0.0.1", headers={"X-Forwarded-For": header})
        assert client_address(request) == address
