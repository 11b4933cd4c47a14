"""What every endpoint is asked. A test class says which endpoint it is and adds what is special to it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.security.scopes import Scope

ALL_SCOPES = tuple(Scope)


class EndpointQuestions:
    """An endpoint: `path` (fields of the fixtures in braces), `method`, `body`, the `scope` it needs."""

    path = ""
    method = "get"
    body: dict[str, Any] | None = None
    scope = Scope.READ
    wrong_method = "delete"
    ok = 200

    @pytest.fixture
    def url(self, position: Any, market: Any) -> str:
        return f"/api/v1{self.path}".format(position=position, market=market)

    @pytest.fixture
    def ask(self, client: Any, url: str, position: Any, market: Any) -> Any:
        """Send the request: `ask(headers, **changes of the body)`; query=… goes into the URL."""

        def send(headers: Any = None, *, query: Any = None, to: str = url, **changes: Any) -> Any:
            call = getattr(client, self.method)
            extra = {"query_params": query} if query else {}
            if self.method == "get":
                return call(to, headers=headers, **extra)
            body = {**(self.made(market, position) or {}), **changes}
            text = json.dumps(body)
            return call(to, text, content_type="application/json", headers=headers, **extra)

        return send

    def made(self, market: Any, position: Any) -> dict[str, Any] | None:
        return self.body

    def test_lets_nobody_in_without_a_key(self, ask):
        answer = ask()
        assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
        assert answer["Content-Type"] == "application/problem+json"

    def test_lets_no_key_in_without_the_scope(self, ask, api_key):
        others = [scope for scope in ALL_SCOPES if scope is not self.scope]
        answer = ask(api_key(*others))
        assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")

    def test_lets_a_key_in_with_the_scope(self, ask, api_key):
        assert ask(api_key(self.scope)).status_code == self.ok

    def test_lets_a_person_of_that_role_in(self, ask, as_trader, monkeypatch, url, market, position):
        call = getattr(as_trader, self.method)
        body = self.made(market, position)
        answer = (
            call(url)
            if body is None and self.method == "get"
            else call(url, json.dumps(body), content_type="application/json")
        )
        assert answer.status_code == self.ok

    def test_answers_a_wrong_method_with_405(self, client, url, reader):
        assert getattr(client, self.wrong_method)(url, headers=reader).status_code == 405

    def test_answers_at_the_name_that_predecessors_printed(self, ask, url, api_key):
        """Theirs were the positions; what they had not has no second name."""
        expected = self.ok if "/positions" in url else 404
        assert ask(api_key(self.scope), to=url.replace("/api/v1/", "/api/")).status_code == expected


class OnePositionQuestions(EndpointQuestions):
    """An endpoint under /positions/{ref}."""

    def test_hides_the_positions_of_other_accounts(self, ask, api_key, other):
        answer = ask(api_key(self.scope, accounts=[other.account.pk]))
        assert (answer.status_code, answer.json()["code"]) == (404, "position_not_found")

    def test_shows_them_to_a_key_of_that_account(self, ask, api_key, market):
        assert ask(api_key(self.scope, accounts=[market.account.pk])).status_code == self.ok

    @pytest.mark.parametrize(
        "ref", ["999999", "99999999999999999999999", "0", "NOPE", "NO/PE", "-1", "1.5", "%00"]
    )
    def test_answers_404_for_what_is_not_there(self, ask, api_key, url, position, ref):
        to = url.replace(f"/positions/{position.pk}", f"/positions/{ref}")
        answer = ask(api_key(self.scope), to=to)
        assert answer.status_code == 404
        assert answer.json()["code"] == ("not_found" if ref == "%00" else "position_not_found")

    @pytest.mark.parametrize("ref", ["BTC", "btc", "BTC/USDC", "BTC/USDC:USDC", "BTC%2FUSDC"])
    def test_takes_an_asset_or_symbol_for_an_id(self, ask, api_key, url, position, ref):
        to = url.replace(f"/positions/{position.pk}", f"/positions/{ref}")
        assert ask(api_key(self.scope), to=to).status_code == self.ok

    def test_names_the_candidates_where_several_match(self, ask, api_key, url, position, other, now):
        other.fill("buy", "1", "60000", now=now)
        to = url.replace(f"/positions/{position.pk}", "/positions/BTC")
        answer = ask(api_key(self.scope), to=to)
        problem = answer.json()
        assert (answer.status_code, problem["code"], problem["count"]) == (409, "ambiguous", 2)
        assert [one["account"] for one in problem["candidates"]] == ["main", "other"]

    def test_counts_only_candidates_that_may_be_seen(self, ask, api_key, url, position, market, other, now):
        other.fill("buy", "1", "60000", now=now)
        to = url.replace(f"/positions/{position.pk}", "/positions/BTC")
        assert ask(api_key(self.scope, accounts=[market.account.pk]), to=to).status_code == self.ok


class PageQuestions(EndpointQuestions):
    """A list with cursor pages. `more(…)` adds a row that the list shows."""

    def more(self, market: Any, now: Any) -> None:
        raise NotImplementedError

    @pytest.mark.parametrize("limit", ["0", "501", "-1"])
    def test_refuses_a_limit_out_of_bounds(self, ask, reader, limit):
        answer = ask(reader, query={"limit": limit})
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_limit")

    def test_refuses_a_limit_that_is_no_number(self, ask, reader):
        answer = ask(reader, query={"limit": "many"})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")

    @pytest.mark.parametrize("cursor", ["x", "%%%", "bnVsbA", "W10"])
    def test_refuses_a_cursor_of_somebody_else(self, ask, reader, cursor):
        answer = ask(reader, query={"cursor": cursor})
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_cursor")

    def test_pages_show_every_row_once(self, ask, reader, market, now):
        for _ in range(3):
            self.more(market, now)
        everything = ask(reader).json()
        assert everything["next_cursor"] is None
        seen, cursor = [], None
        while True:
            page = ask(reader, query={"limit": "1", **({"cursor": cursor} if cursor else {})}).json()
            seen += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert seen == everything["items"]
        assert len(seen) >= 3

    def test_takes_no_more_queries_for_more_rows(
        self, ask, reader, market, now, django_assert_max_num_queries, django_assert_num_queries
    ):
        self.more(market, now)
        ask(reader)
        with django_assert_max_num_queries(12) as few:
            ask(reader)
        for _ in range(4):
            self.more(market, now)
        with django_assert_num_queries(len(few.captured_queries)):
            ask(reader)
