"""POST /entries."""

from datetime import timedelta
from decimal import Decimal

import pytest

from core.security.scopes import Scope
from positions.models import Entry, Position, QuarantinedEntry
from tests.portfolio.market import BTC
from tests.positions.api.questions import EndpointQuestions

pytestmark = pytest.mark.django_db


def fill(ref, **changes):
    return {
        "kind": "fill", "venue_ref": ref, "time": "2026-03-02T09:00:00Z", "instrument": BTC, "side": "buy",
        "quantity": "1", "price": "60000", "fee": "1.5", "fee_currency": "USDC", **changes,
    }  # fmt: skip


class TestReportingEntries(EndpointQuestions):
    path = "/entries"
    method = "post"
    scope = Scope.WRITE

    def made(self, market, position):
        return {"account": market.account.pk, "entries": [fill("r-1")]}

    def test_books_each_once(self, ask, writer, position, now):
        later = {"time": (now + timedelta(seconds=1)).isoformat()}
        given = [fill("a", **later), fill("b", side="sell", quantity="0.25", **later)]
        first = ask(writer, entries=given).json()
        assert [one["outcome"] for one in first["results"]] == ["booked", "booked"]
        assert (first["counts"], first["positions"]) == ({"booked": 2}, [position.pk])
        again = ask(writer, entries=given[:1]).json()
        assert (again["results"][0]["outcome"], again["positions"]) == ("duplicate", [])
        position.refresh_from_db()
        assert position.quantity == Decimal("2.75")

    def test_keeps_who_sent_each_and_its_source(self, ask, writer, position):
        answer = ask(writer)
        entry = Entry.objects.get(venue_ref="r-1")
        assert (entry.source, entry.trace_id) == ("api", answer["X-Request-ID"])
        assert position.events.latest("pk").who.startswith("key:pl")

    def test_has_one_result_for_each_in_the_order_given(self, ask, writer):
        given = [
            fill("good"),
            fill("float", quantity=1.5),
            fill("nowhere", instrument="DOGE"),
            fill("good", price="61000"),
            {"kind": "fill"},
            fill("late", time="2026-03-02T09:00:00"),
            fill("typo", quantty="1"),
            "no object",
            fill("last"),
        ]
        results = ask(writer, entries=given).json()["results"]
        assert [one["index"] for one in results] == list(range(9))
        assert [one["outcome"] for one in results] == [
            "booked", "invalid", "quarantined", "conflict", "invalid", "invalid", "invalid", "invalid",
            "booked",
        ]  # fmt: skip
        assert "float" in results[1]["detail"]
        assert "DOGE" in results[2]["detail"]
        assert "price is 60000" in results[3]["detail"]
        assert "venue_ref" in results[4]["detail"]
        assert set(QuarantinedEntry.objects.values_list("venue_ref", flat=True)) == {"nowhere", "good"}

    def test_all_or_nothing_books_nothing_when_one_is_wrong(self, ask, writer):
        for bad in (fill("bad", instrument="DOGE"), fill("bad", quantity="x")):
            answer = ask(writer, entries=[fill("good"), bad], all_or_nothing=True)
            problem = answer.json()
            assert (answer.status_code, problem["code"]) == (422, "rejected")
            assert problem["results"][0]["outcome"] == "not_booked"
            assert problem["results"][1]["outcome"] in ("invalid", "quarantined")
        assert not Entry.objects.filter(venue_ref="good").exists()

    def test_takes_every_kind(self, ask, writer):
        given = [
            {"kind": "funding", "venue_ref": "f", "time": "2026-03-02T10:00:00Z", "instrument": BTC,
             "amount": "-0.4", "currency": "USDC"},
            {"kind": "transfer", "venue_ref": "t", "time": "2026-03-02T10:00:00Z", "cause": "deposit",
             "amount": "100", "currency": "USDC"},
            {"kind": "adjustment", "venue_ref": "j", "time": "2026-03-02T10:00:00Z", "instrument": BTC,
             "side": "buy", "quantity": "1", "price": "60000", "reason": "lost fill"},
            {"kind": "bust", "venue_ref": "x", "time": "2026-03-02T10:00:01Z", "target": "r-0"},
        ]  # fmt: skip
        results = ask(writer, entries=[fill("r-0"), *given]).json()["results"]
        assert [one["outcome"] for one in results] == ["booked"] * 5

    @pytest.mark.parametrize("count", [0, 1001])
    def test_takes_1_to_1000(self, ask, writer, count):
        answer = ask(writer, entries=[fill(str(n)) for n in range(count)])
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")

    def test_takes_1000(self, ask, writer):
        assert ask(writer, entries=[fill(str(n)) for n in range(1000)]).json()["counts"] == {"booked": 1000}

    @pytest.mark.parametrize(
        "changes",
        [
            {"entries": None},
            {"entries": "x"},
            {"account": None},
            {"account": [1]},
            {"unknown": 1},
        ],
    )
    def test_refuses_what_is_no_batch(self, ask, writer, changes):
        answer = ask(writer, **changes)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")

    def test_refuses_a_body_that_is_too_large(self, ask, writer):
        answer = ask(writer, entries=[fill("x" * 3_000_000)])
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
        assert answer["Content-Type"] == "application/problem+json"

    def test_hides_other_accounts(self, ask, api_key, market, other):
        key = api_key(Scope.WRITE, accounts=[other.account.pk])
        for account in (market.account.pk, "main", 999, "nobody"):
            answer = ask(key, account=account)
            assert (answer.status_code, answer.json()["code"]) == (404, "account_not_found")
        assert ask(key, account="other").status_code == 200

    def test_does_not_mix_accounts_of_one_venue(self, ask, writer, other, position):
        ask(writer, account="other")
        assert Position.objects.get(account=other.account).quantity == 1
        position.refresh_from_db()
        assert position.quantity == 2

    def test_takes_as_many_queries_for_many_as_for_one(
        self, ask, writer, position, django_assert_max_num_queries
    ):
        ask(writer)
        with django_assert_max_num_queries(25) as few:
            ask(writer, entries=[fill("q-1")])
        with django_assert_max_num_queries(len(few.captured_queries)):
            ask(writer, entries=[fill(f"m-{n}") for n in range(50)])
