"""A feed that somebody wants read again, on real processes."""

from datetime import timedelta

import pytest
from django.utils import timezone

from positions.sync import backfills
from positions.sync.backfills import Stage
from tests.portfolio.faults.rig import until

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]


class TestAFeed:
    @pytest.fixture(autouse=True)
    def same_redis(self, rig, monkeypatch):
        monkeypatch.setattr(backfills, "client", lambda: rig.redis)

    def test_is_read_again_by_who_watches_the_account_and_stays_live(self, rig, venue, one_copy, trading):
        trading.until_live()
        account = trading.accounts[0]
        now = timezone.now()
        backfills.request_backfill(account_id=account, feed="fills", since=now - timedelta(days=1), now=now)

        def ended():
            [one] = backfills.known(account_id=account, now=now)
            return one.is_over and one

        until(ended, why=rig.told)
        one = ended()
        assert (one.stage, one.complete, one.problem) == (Stage.DONE, True, "")
        assert one.of > 0
        assert rig.is_live(account)
        trading.check("fills read again")
