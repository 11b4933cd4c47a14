"""GET /accounts."""

import pytest

from positions.models import Account
from tests.positions.api.questions import PageQuestions

pytestmark = pytest.mark.django_db


class TestAccounts(PageQuestions):
    path = "/accounts"

    def more(self, market, now):
        Account.objects.create(label=f"a{Account.objects.count()}", venue="hyperliquid", created_at=now)

    def test_tell_what_each_holds_and_no_secrets(self, ask, reader, position, other):
        Account.objects.update(credentials="ciphertext", address="0xabc")
        answer = ask(reader)
        main, empty = answer.json()["items"]
        assert (main["label"], main["open_positions"], main["entry_count"]) == ("main", 1, 1)
        assert (empty["label"], empty["open_positions"], empty["entry_count"], empty["sequence"]) == (
            "other",
            0,
            0,
            0,
        )
        assert "ciphertext" not in answer.content.decode()
        assert "0xabc" not in answer.content.decode()

    def test_are_only_those_that_a_key_may_see(self, ask, api_key, position, other):
        items = ask(api_key(accounts=[other.account.pk])).json()["items"]
        assert [one["label"] for one in items] == ["other"]
