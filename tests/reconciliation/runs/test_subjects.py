"""One definition of what is compared and counted: a derivative's leg, and each asset in each wallet."""

import pytest

from reconciliation import queries
from reconciliation.api import serializers
from reconciliation.models import Case, DifferenceRow, Run, Verdict
from reconciliation.pages import reads
from reconciliation.statistics import of
from tests.reconciliation.stage import held

pytestmark = pytest.mark.django_db


class TestACoinThatDiffers:
    def test_counts_once_on_every_page(self, stage, account, as_viewer):
        stage.do("deposit", token="HYPE", amount=5)
        stage.minutes(account)
        assert held(account) == {"coin:HYPE": 5}
        stage.do("withhold", what="ledger", count=1)
        stage.do("deposit", token="HYPE", amount=2)
        stage.minutes(account, 3)
        now = stage.now()
        coin = Verdict.objects.get(account=account, instrument__venue_symbol="coin:HYPE")
        assert coin.status_now(now=now) == "FAILED"  # its row on the board says so
        [proof] = reads.account_proofs(accounts=[account], verdicts=reads.verdicts(), now=now)
        [status] = serializers.status(accounts=[account], now=now)
        run = Run.objects.latest("pk")
        assert proof.differing == 1
        assert status["counts"]["FAILED"] + status["counts"]["DRIFT"] == 1
        assert sum(bool(line["differences"]) for line in [*run.legs, *run.balances]) == 1
        assert Case.objects.filter(account=account, closed_at__isnull=True).count() == 1
        assert DifferenceRow.objects.filter(account=account, ended_at__isnull=True).count() == 1
        assert of(account=account).open == 1
        assert proof.legs == len(queries.verdicts(accounts=[account.pk])[account.pk])
        assert proof.legs == len(run.legs) + len(run.balances)
