"""GET /portfolio/witness."""

import pytest

from portfolio.models import VenueDay
from portfolio.totals import desk
from tests.portfolio.api.days import of_others
from tests.positions.api.questions import EndpointQuestions

pytestmark = pytest.mark.django_db


class TestTheWitness(EndpointQuestions):
    path = "/portfolio/witness"

    @pytest.fixture(autouse=True)
    def _told(self, days, now):
        VenueDay.objects.create(
            account=days.account, day=desk.day_of(now) - desk.DAY, at=now - desk.DAY, covers="all",
            venue_value=102_600, ours=102_594, difference=6, tolerance=256, read_at=now,
        )  # fmt: skip

    def test_shows_each_day_with_the_difference(self, ask, reader, days):
        (row,) = ask(reader).json()["items"]
        assert (row["venue_value"], row["ours"], row["difference"]) == ("102600", "102594", "6")
        assert row["beyond"] is False

    def test_hides_other_accounts(self, ask, api_key, days, other):
        assert of_others(ask, api_key, other).json()["items"] == []
