"""GET /positions/{ref}/history."""

import pytest

from tests.positions.api.questions import OnePositionQuestions, PageQuestions

pytestmark = pytest.mark.django_db


class TestTheHistory(OnePositionQuestions, PageQuestions):
    path = "/positions/{position.pk}/history"

    def more(self, market, now):
        market.fill("buy", "1", "60500", now=now)

    def test_tells_what_happened_the_newest_first(self, ask, reader, market, position, now):
        market.fill("sell", "0.5", "60500", now=now)
        newest, oldest = ask(reader).json()["items"]
        assert (oldest["kind"], oldest["status_after"], oldest["source"]) == ("opened", "OPEN", "test")
        assert (newest["status_before"], newest["status_after"]) == ("OPEN", "REDUCED")
        assert (newest["before"]["quantity"], newest["after"]["quantity"]) == ("2", "1.5")
        assert newest["trace_id"] == "trace-0001"
        assert newest["at"].endswith("Z")
