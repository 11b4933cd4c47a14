"""PUT /portfolio/strategies."""

import pytest

from core.security.scopes import Scope
from positions.models import Entry
from tests.positions.api.questions import EndpointQuestions

pytestmark = pytest.mark.django_db


class TestTheStrategyOfEntries(EndpointQuestions):
    path = "/portfolio/strategies"
    method = "put"
    scope = Scope.CORRECT

    def made(self, market, position):
        ref = Entry.objects.filter(account=market.account).earliest("pk").venue_ref
        return {"account": market.account.pk, "venue_refs": [ref], "strategy": "basis"}

    def test_moves_their_pnl_and_nothing_else(self, ask, corrector, days):
        before = ask(corrector, venue_refs=["fill-3"]).json()
        assert before == {"tagged": 1}

    def test_is_refused_for_entries_that_are_not_there(self, ask, corrector, position):
        answer = ask(corrector, venue_refs=["nope"])
        assert (answer.status_code, answer.json()["code"]) == (404, "entry_not_found")

    def test_is_refused_for_accounts_that_may_not_be_seen(self, ask, api_key, position, other):
        answer = ask(api_key(Scope.CORRECT, accounts=[other.account.pk]))
        assert (answer.status_code, answer.json()["code"]) == (404, "account_not_found")

    def test_takes_one_to_a_thousand_references(self, ask, corrector, position):
        assert ask(corrector, venue_refs=[]).status_code == 422
