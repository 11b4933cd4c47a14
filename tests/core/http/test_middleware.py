"""What every answer carries, and what every request is held to before anything reads it."""

import pytest
from django.test import Client

from config.api import api
from core.models import ApiKey
from core.security.scopes import Scope
from positions.models import Account, Instrument

pytestmark = pytest.mark.django_db


class TestAnAnswer:
    @pytest.mark.parametrize(
        "path",
        ["/", "/entries/", "/api/v1/me", "/api/v1/nothing", "/admin/", "/health", "/api/docs", "/nothing/"],
    )
    def test_is_kept_by_nobody(self, as_admin, path):
        assert as_admin.get(path)["Cache-Control"] == "private, no-store"

    def test_of_a_static_file_may_be_kept(self, client):
        assert "no-store" not in client.get("/static/css/base.css").get("Cache-Control", "")


class TestAStranger:
    def test_is_told_to_sign_in_before_a_form_token_is_asked_for(self):
        answer = Client(enforce_csrf_checks=True).post("/api/v1/reconciliation/sync")
        assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")

    def test_who_is_signed_in_needs_the_form_token(self, trader):
        browser = Client(enforce_csrf_checks=True)
        browser.force_login(trader)
        assert browser.post("/api/v1/reconciliation/sync").status_code == 403


class TestSomebodyWithoutARole:
    @pytest.fixture
    def nobody(self, client, django_user_model):
        client.force_login(django_user_model.objects.create_user("norole", is_staff=True))
        return client

    @pytest.mark.parametrize("path", ["/api/docs", "/api/v1/openapi.json", "/", "/entries/"])
    def test_sees_neither_pages_nor_the_docs(self, nobody, path):
        assert nobody.get(path).status_code == 403

    def test_does_not_see_the_admin_front(self, nobody):
        answer = nobody.get("/admin/", follow=True)
        assert answer.status_code == 403


class TestARefusedRequest:
    @pytest.mark.parametrize(
        "body",
        [
            {"symbol": "NEW/USD", "quantity": "1", "price": "1e30"},
            {"symbol": "NEW/USD", "quantity": "0.0000000000000000001", "price": "1"},
            {"symbol": "NEW/USD", "quantity": "-1", "price": "1"},
            {"symbol": "NEW/USD", "quantity": "1", "price": "1", "account": "unknown"},
        ],
    )
    def test_creates_nothing(self, client, api_key, body):
        key = api_key(Scope.READ, Scope.CORRECT)
        answer = client.post("/api/v1/positions/open", body, content_type="application/json", headers=key)
        assert answer.status_code in (404, 422)
        assert (Account.objects.count(), Instrument.objects.count(), ApiKey.objects.count()) == (0, 0, 1)

    def test_of_a_key_for_some_accounts_creates_nothing(self, client, api_key):
        key = api_key(Scope.READ, Scope.CORRECT, accounts=[5])
        body = {"symbol": "NEW/USD", "quantity": "1", "price": "1"}
        answer = client.post("/api/v1/positions/open", body, content_type="application/json", headers=key)
        assert answer.status_code == 404
        assert Account.objects.count() == 0


class TestSwagger:
    def test_keeps_no_key_in_the_browser(self, as_viewer):
        assert "persistAuthorization&quot;: true" not in as_viewer.get("/api/docs").content.decode()
        assert api.docs.settings["persistAuthorization"] is False
