"""GET /portfolio/attribution, and the entries behind its cells."""

import pytest
from django.utils import timezone

from portfolio.totals import desk
from tests.portfolio.api.days import of_others
from tests.positions.api.questions import EndpointQuestions

pytestmark = pytest.mark.django_db


class TestTheAttribution(EndpointQuestions):
    path = "/portfolio/attribution"

    def test_closes_and_each_day_is_what_it_is_by_hand(self, ask, reader, days):
        found = ask(reader).json()
        assert (found["start_equity"], found["end_equity"], found["closes"]) == ("0", "104642.5", True)
        assert found["change"] == found["total"]["total"]
        cells = [(one["price"], one["fees"], one["flows"], one["total"]) for one in found["cells"]]
        assert cells == [
            ("1000", "-1.5", "100000", "100998.5"), ("750", "-1.5", "0", "748.5"),
            ("-150", "0", "1000", "847"), ("2050", "-1.5", "0", "2048.5"),
        ]  # fmt: skip

    @pytest.mark.parametrize("by", ["position", "asset", "account", "venue", "strategy", "day"])
    def test_opens_the_entries_behind_each_cell(self, ask, reader, days, by):
        found = ask(reader, query={"by": by}).json()
        assert found["total"]["total"] == "104642.5"
        for cell in found["cells"]:
            behind = ask(reader, to=cell["entries_url"]).json()["items"]
            assert len(behind) >= cell["entries"], cell

    def test_takes_a_range_of_days(self, ask, reader, days):
        today = desk.day_of(timezone.now())
        found = ask(reader, query={"since": str(today - 2 * desk.DAY), "until": str(today - desk.DAY)}).json()
        assert (found["start_equity"], found["end_equity"]) == ("100998.5", "102594")
        assert (found["total"]["pnl"], found["total"]["flows"]) == ("595.5", "1000")

    def test_of_a_range_without_data_has_no_cells(self, ask, reader, days):
        found = ask(reader, query={"since": "2020-01-01", "until": "2020-02-01"}).json()
        assert (found["cells"], found["as_of"], found["total"]["total"]) == ([], None, "0")

    @pytest.mark.parametrize(
        ("query", "code"),
        [({"since": "2026-02-01", "until": "2026-01-01"}, "bad_range"), ({"since": "soon"}, "invalid_input"),
         ({"by": "moon"}, "invalid_input")],
    )  # fmt: skip
    def test_refuses_what_is_no_range(self, ask, reader, days, query, code):
        answer = ask(reader, query=query)
        assert (answer.status_code, answer.json()["code"]) == (422, code)

    def test_hides_other_accounts(self, ask, api_key, days, other):
        assert of_others(ask, api_key, other).json()["cells"] == []
        answer = of_others(ask, api_key, other, account=days.account.pk)
        assert (answer.status_code, answer.json()["code"]) == (404, "account_not_found")


class TestTheEntriesBehind(EndpointQuestions):
    path = "/portfolio/attribution/entries"

    @pytest.fixture
    def url(self, days):
        return f"/api/v1{self.path}?by=asset&key=ETH"

    def test_are_the_facts_of_the_cell(self, ask, reader, days):
        kinds = [one["kind"] for one in ask(reader).json()["items"]]
        assert kinds == ["funding", "fill", "fill"]

    def test_of_a_key_that_is_none_are_refused(self, ask, reader, days):
        answer = ask(reader, to=f"/api/v1{self.path}?by=day&key=ETH")
        assert (answer.status_code, answer.json()["code"]) == (422, "bad_key")
