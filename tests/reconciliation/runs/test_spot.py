"""A coin held since before connection: its history and its opening balance are one holding, not two."""

import pytest
from django.core.management import call_command

from positions.models import Balance
from tests.reconciliation.stage import held, leg

pytestmark = pytest.mark.django_db


def test_a_coin_bought_before_connection_is_counted_once(stage):
    stage.do("class_transfer", amount="2000", to_perp=False)
    stage.trade("@1", "buy", 20)
    stage.wait(1)
    stage.trade("@1", "sell", 5)
    stage.do("deposit", token="HYPE", amount=3)
    account = stage.account()
    stage.wait(2)
    stage.reconcile(account, trigger="start")
    assert held(account)["coin:HYPE"] == Balance.objects.get(account=account, asset="HYPE").amount
    stage.trade("@1", "buy", 2)
    stage.minutes(account)
    assert held(account)["coin:HYPE"] == Balance.objects.get(account=account, asset="HYPE").amount
    assert leg(account, "coin:HYPE").status == "SYNCED"
    call_command("rebuild_book")
