"""The API's own description: who gets in, what errors look like, what to send."""

import pytest

from config.api import api


@pytest.fixture(scope="module")
def schema():
    return api.get_openapi_schema()


def operations(schema):
    return [
        (method, path, one) for path, methods in schema["paths"].items() for method, one in methods.items()
    ]


class TestEveryOperation:
    def test_has_a_summary_in_words_and_a_group_that_is_described(self, schema):
        described = {one["name"] for one in schema["tags"]}
        for _, path, one in operations(schema):
            assert one["summary"], path
            assert one["operationId"]
            assert set(one["tags"]) <= described, (path, one["tags"])
            assert len(one["tags"]) == len(set(one["tags"])), path

    def test_names_the_scope_it_needs(self, schema):
        for method, path, one in operations(schema):
            assert "Needs the scope `" in one["description"], (method, path)

    def test_names_its_ways_to_authenticate(self, schema):
        schemes = schema["components"]["securitySchemes"]
        assert set(schemes) == {"API key", "Session"}
        assert schemes["API key"]["name"] == "X-API-Key"
        for _, path, one in operations(schema):
            assert {name for option in one["security"] for name in option} <= set(schemes), path

    def test_describes_its_errors(self, schema):
        assert schema["components"]["schemas"]["Problem"]["required"] == [
            "type", "title", "status", "code", "detail", "trace_id",
        ]  # fmt: skip
        for _, path, one in operations(schema):
            for status in ("401", "403", "422", "429"):
                answer = one["responses"][status]["content"]["application/problem+json"]
                assert answer["schema"]["$ref"].endswith("/Problem"), (path, status)
            assert ("404" in one["responses"]) == ("{" in path), path

    def test_that_takes_a_position_by_hand_shows_an_example(self, schema):
        for name in ("OpenIn", "ReduceIn", "CloseIn", "EntriesIn"):
            assert schema["components"]["schemas"][name]["examples"], name


@pytest.mark.django_db
class TestTheProblems:
    def test_are_what_they_are_described_as(self, schema, client, api_key):
        described = schema["components"]["schemas"]["Problem"]
        problems = [
            client.get("/api/v1/me"),
            client.get("/api/v1/positions/7", headers=api_key()),
            client.get("/api/v1/positions", {"as_of": "never"}, headers=api_key()),
            client.post("/api/v1/positions/open", "{}", "application/json", headers=api_key()),
        ]
        assert [answer.status_code for answer in problems] == [401, 404, 422, 403]
        for answer in problems:
            assert set(described["required"]) <= set(answer.json()) <= set(described["properties"])


@pytest.mark.django_db
class TestThePage:
    def test_has_a_way_back_and_says_whose_hand_it_is(self, as_viewer):
        page = as_viewer.get("/api/docs").content.decode()
        assert "← Board" in page
        assert "signed in as vera" in page
        assert 'name="viewport"' in page
