"""No input answers 500: whatever is put into a parameter, a body, a header or a page."""

import json
import re

import pytest
from django.test import Client

from config.api import api
from core.security.scopes import Scope
from tests.config import hostile

pytestmark = pytest.mark.django_db

DOCUMENT = api.get_openapi_schema()
OPERATIONS = [(method, path, one) for method, path, one in hostile.operations(DOCUMENT)]
NAMES = [f"{method} {path}" for method, path, _ in OPERATIONS]
# Probes say 503 where nothing runs, and the API has its own tests. A history is found as a change is.
ELSEWHERE = re.compile(r"/health|/api/|/admin/.*(history|delete|jsi18n|autocomplete)")
PAGES = sorted({one for one in hostile.paths() if not ELSEWHERE.match(one[0])})


@pytest.fixture
def key(api_key):
    return api_key(*Scope, tier="unlimited")


@pytest.fixture
def anybody():
    return Client(raise_request_exception=False)


def ask(client, method, path, key, **more):
    return client.generic(method, path, headers=key | more.pop("headers", {}), **more)


def blames_us(answer):
    return answer.status_code >= 500


class TestASchema:
    def test_bounds_every_text_and_number_that_is_asked_for(self):
        asked = [
            (f"{method} {path} {one['name']}", one["schema"])
            for method, path, operation in OPERATIONS
            for one in operation.get("parameters", [])
        ]
        asked += [
            (f"{method} {path}", hostile.body_of(operation, DOCUMENT))
            for method, path, operation in OPERATIONS
            if "requestBody" in operation
        ]
        found = [one for where, schema in asked for one in hostile.unbounded(schema, DOCUMENT, where)]
        assert found == []


class TestAnOperation:
    @pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=NAMES)
    def test_never_answers_500_to_its_parameters(self, anybody, key, method, path, operation):
        plain = re.sub(r"\{[^}]*\}", "1", path)
        bad = {}
        for parameter in operation.get("parameters", []):
            name = parameter["name"]
            for text in hostile.TELLING:
                value = hostile.escaped(text)
                if parameter["in"] == "path":
                    to, headers = re.sub(r"\{[^}]*\}", value, path), {}
                elif parameter["in"] == "query":
                    to, headers = f"{plain}?{name}={value}", {}
                else:
                    to, headers = plain, {name: text.encode("utf-8", "replace").decode("latin1")}
                answer = ask(anybody, method, to, key, headers=headers)
                if blames_us(answer):
                    bad[name, text[:40]] = answer.status_code
        assert bad == {}

    @pytest.mark.parametrize(
        ("method", "path", "operation"),
        [one for one in OPERATIONS if "requestBody" in one[2]],
        ids=[name for name, one in zip(NAMES, OPERATIONS, strict=True) if "requestBody" in one[2]],
    )
    def test_never_answers_500_to_its_body(self, anybody, key, method, path, operation):
        path, bad = re.sub(r"\{[^}]*\}", "1", path), {}
        schema = hostile.body_of(operation, DOCUMENT)
        example = schema.get("examples", [{}])[0]

        def send(text, where):
            answer = ask(anybody, method, path, key, data=text, content_type="application/json")
            if blames_us(answer):
                bad[where] = answer.status_code
            assert len(answer.content) < 20 * len(text) + 20_000

        for name in schema["properties"]:
            for value in hostile.VALUES:
                rest = json.dumps({key: one for key, one in example.items() if key != name})[1:]
                comma = ", " if rest != "}" else ""
                send(f"{{{json.dumps(name)}: {hostile.dumped(value)}{comma}{rest}", (name, repr(value)[:40]))
        for raw in (hostile.DEEP, "[" * 100_000, '{"a":' * 100_000, "\ufeff{}", "\x00", "NaN", "9" * 5000,
                    '"\\ud800"', json.dumps({"x" * 100_000: 1}),
                    json.dumps({f"k{one}": 1 for one in range(20_000)})):  # fmt: skip
            send(raw, raw[:20])
        assert bad == {}

    @pytest.mark.parametrize(
        "query", ["&".join(f"a{one}=1" for one in range(1001)), "status=OPEN&" * 2000, "x" * 200_000]
    )
    def test_never_answers_500_to_too_many_fields(self, anybody, key, query):
        for path in ("/api/v1/positions", "/api/v1/positions/BTC", "/api/v1/me"):
            assert not blames_us(ask(anybody, "GET", f"{path}?{query}", key)), path


# What a page takes, and the admin: enough to reach every reader of a query.
FIELDS = {
    "/admin/": ("q", "o", "p", "id__exact", "_to_field"),
    "/": ("after", "environment", "account", "state", "action"),
}
MEANT = ("9" * 5000, "9" * 20, "\x00", "²", hostile.TEXTS[-5])


class TestAPage:
    @pytest.mark.parametrize(("path", "names"), PAGES, ids=[path for path, _ in PAGES])
    def test_never_answers_500(self, as_admin, path, names):
        as_admin.raise_request_exception = False
        bad, plain = {}, re.sub(r"\{\w+\}", "1", path)
        fields = next(names for start, names in FIELDS.items() if path.startswith(start))
        for text in MEANT:
            value = hostile.escaped(text)
            asked = [(method, re.sub(r"\{\w+\}", value, path)) for method in ("GET", "POST") if names]
            asked += [("GET", f"{plain}?{field}={value}") for field in fields if not names]
            for method, to in asked:
                answer = as_admin.generic(method, to)
                if blames_us(answer):
                    bad[method, to[:60]] = answer.status_code
        assert bad == {}

    def test_refuses_a_form_that_holds_a_zero_byte(self, as_admin):
        as_admin.raise_request_exception = False
        form = dict.fromkeys(("username", "account", "name", "password"), "a\x00")
        for path in ("/login/", "/reconciliation/sync/", "/admin/core/apikey/add/", "/admin/auth/user/add/"):
            assert as_admin.post(path, form).status_code == 400, path
