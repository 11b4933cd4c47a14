"""What every endpoint shares: who is let in, and how errors read."""

import re

import pytest
from django.test import Client

from config.api import api
from core.models import ApiKey
from core.security.scopes import SCOPES_OF_ROLE, Role, Scope

pytestmark = pytest.mark.django_db
ME = "/api/v1/me"


class TestMe:
    def test_works_with_a_key(self, client, api_key):
        answer = client.get(ME, headers=api_key(Scope.READ, accounts=[3, 1]))
        assert answer.status_code == 200
        body = answer.json()
        assert body["scopes"] == ["read"]
        assert body["accounts"] == [1, 3]

    def test_works_with_a_session(self, as_trader):
        body = as_trader.get(ME).json()
        assert body["name"] == "user:tom"
        assert set(body["scopes"]) == {"read", "write", "correct", "reconcile"}

    def test_tells_an_outsider_how_to_get_in(self, client):
        answer = client.get(ME)
        assert answer.status_code == 401
        assert answer["Content-Type"] == "application/problem+json"
        problem = answer.json()
        assert problem["code"] == "not_authenticated"
        assert "X-API-Key" in problem["detail"]
        assert problem["trace_id"] == answer["X-Request-ID"]

    def test_refuses_a_wrong_key_even_from_somebody_logged_in(self, as_trader):
        answer = as_trader.get(ME, headers={"X-API-Key": "pl0.wrong"})
        assert (answer.status_code, answer.json()["code"]) == (401, "bad_api_key")

    def test_refuses_a_key_without_the_scope(self, client, api_key):
        answer = client.get(ME, headers=api_key(Scope.WRITE))
        assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")
        assert "'read'" in answer.json()["detail"]

    def test_refuses_a_person_without_a_role(self, client, django_user_model):
        client.force_login(django_user_model.objects.create_user("norole"))
        assert client.get(ME).status_code == 403

    def test_answers_a_wrong_method(self, client, api_key):
        answer = client.post(ME, headers=api_key())
        assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
        assert "GET" in answer["Allow"]

    def test_is_not_somewhere_else(self, client, api_key):
        for path in ("/api/v1/nothing", "/api/nothing"):
            answer = client.get(path, headers=api_key())
            assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")
            assert answer.json()["code"] == "not_found"

    def test_needs_the_csrf_token_for_unsafe_methods_by_session(self, trader):
        browser = Client(enforce_csrf_checks=True)
        browser.force_login(trader)
        assert browser.get(ME).status_code == 200


class TestTheTableOfRoles:
    def test_a_role_may_do_what_the_one_before_it_may(self):
        assert SCOPES_OF_ROLE[Role.VIEWER] < SCOPES_OF_ROLE[Role.TRADER] < SCOPES_OF_ROLE[Role.ADMIN]

    def test_only_admins_administer(self):
        assert [role for role in Role if Scope.ADMIN in SCOPES_OF_ROLE[role]] == [Role.ADMIN]


class TestEveryOperation:
    def test_refuses_who_does_not_say_who_they_are(self, client):
        operations = [
            (method.upper(), path)
            for path, methods in api.get_openapi_schema()["paths"].items()
            for method in methods
        ]
        assert len(operations) > 20
        for method, path in operations:
            answer = client.generic(method, re.sub(r"\{[^}]*\}", "1", path))
            assert answer.status_code == 401, f"{method} {path} answered {answer.status_code}"


class TestTheDocs:
    def test_need_a_login(self, client):
        for page in ("/api/docs", "/api/v1/openapi.json"):
            answer = client.get(page)
            assert (answer.status_code, answer["Location"].split("?")[0]) == (302, "/login/")

    def test_list_every_operation(self, as_viewer):
        assert as_viewer.get("/api/docs").status_code == 200
        schema = as_viewer.get("/api/v1/openapi.json").json()
        assert "/api/v1/me" in schema["paths"]


class TestTheAdminOfKeys:
    def test_ends_a_key_and_names_its_accounts(self, as_admin, admin):
        form = {"name": "bot", "owner": admin.pk, "scopes": ["read"], "tier": "standard"}
        page = as_admin.post("/admin/core/apikey/add/", form | {"accounts": ""})
        assert "This field is required" in page.content.decode()
        assert not ApiKey.objects.exists()

    def test_asks_nothing_of_digests(self, as_admin):
        for page in (
            "/admin/core/apikey/?digest__startswith=a", "/admin/core/apikey/?owner__password__startswith=m",
            "/admin/auth/user/?password__startswith=m", "/admin/auth/user/?api_keys__digest__startswith=a",
            "/admin/positions/account/?credentials__startswith=g",
            "/admin/positions/position/?account__credentials__startswith=g",
            "/admin/reconciliation/run/?account__credentials__startswith=g",
        ):  # fmt: skip
            assert as_admin.get(page).status_code == 400, page

    def test_is_closed_to_traders(self, as_trader):
        assert as_trader.get("/admin/core/apikey/").status_code == 302
