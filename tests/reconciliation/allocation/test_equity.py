"""The equity identity: opening at T0 + Σ cash legs since = what the venue's wallet holds, to the cent."""

import json

import pytest

from positions.book import Entry as Fact
from positions.models import Account, Entry
from positions.sync import poll
from reconciliation import queries
from reconciliation.rules.compare import WalletKey, compare_balances
from tests.reconciliation.conftest import D, booked, wallet

pytestmark = pytest.mark.django_db
CASH = WalletKey("perp", "USDC")


def trade_a_while(stage):
    for side, size in (("buy", "2"), ("sell", "0.7"), ("sell", "3"), ("buy", "1.5")):
        stage.trade("ETH", side, size)
        stage.wait(1)
    stage.do("funding")
    stage.do("deposit", amount="123.45")
    stage.do("withdraw", amount="50")
    stage.trade("BTC", "buy", "0.05")
    stage.wait(1)


def residuals(stage, account):
    """venue − book by wallet and currency, as of a fresh report."""
    report = poll.report(account=account, now=stage.now())
    book = queries.book(account=account, at=report.as_of)
    results = compare_balances(
        book=book.wallets,
        venue={WalletKey(row.wallet, row.asset): row.total for row in report.balances},
        complete=report.balances_complete,
        tolerances=queries.wallet_tolerances(account=account, assets={"USDC"}),
    )
    return {one.key: sum((found.amount for found in one.differences), D(0)) for one in results}


class TestTheIdentity:
    def test_is_exact_on_an_account_that_traded_before_its_connection(self, stage):
        trade_a_while(stage)
        account = stage.account()
        stage.reconcile(account, trigger="start")
        assert booked(account, kind="fill").count() >= 5
        assert abs(residuals(stage, account)[CASH]) < D("0.00001")

    def test_stays_exact_while_it_trades_on(self, stage):
        trade_a_while(stage)
        account = stage.account()
        stage.reconcile(account, trigger="start")
        trade_a_while(stage)
        stage.minutes(account)
        assert wallet(account).status == "SYNCED"
        assert abs(residuals(stage, account)[CASH]) < D("0.00001")

    def test_opens_with_one_entry_that_is_never_computed_again(self, stage):
        trade_a_while(stage)
        account = stage.account()
        stage.reconcile(account, trigger="start")
        [opening] = booked(account, cause="opening", wallet="perp")
        trade_a_while(stage)
        stage.minutes(account, 2)
        assert [one.content for one in booked(account, cause="opening", wallet="perp")] == [opening.content]


class TestTheProof:
    """is not circular: what the book lacks is what shows."""

    @pytest.mark.parametrize("what", [{"kind": "funding"}, {"cause": "deposit"}, {"cause": "withdrawal"}])
    def test_shows_exactly_the_entry_that_a_copy_of_the_book_lacks(self, stage, account, what):
        stage.trade("ETH", "buy", 2)
        stage.do("funding")
        stage.do("deposit", amount="123.45")
        stage.do("withdraw", amount="50")
        stage.wait(1)
        stage.minutes(account)
        base = residuals(stage, account)[CASH]
        opened = booked(account, cause="opening").first().at
        lacking = booked(account, at__gt=opened, **what).order_by("pk").first()
        copy = Account.objects.create(
            label="copy", venue=account.venue, environment=account.environment, base_url=account.base_url,
            address=account.address, created_at=stage.now(),
        )  # fmt: skip
        kept = Entry.objects.filter(account=account).exclude(pk=lacking.pk).order_by("sequence")
        stage.book(copy, *(Fact.from_plain(json.loads(row.content)) for row in kept))
        assert lacking.amount
        assert residuals(stage, copy)[CASH] - base == lacking.amount

    def test_shows_a_withheld_funding_as_a_drift_of_that_amount(self, stage, account):
        stage.trade("ETH", "buy", 2)
        stage.minutes(account)
        stage.do("withhold", what="funding", count=1)
        stage.do("funding")
        stage.minutes(account)
        found = wallet(account)
        assert found.status == "DRIFT"
        [said] = found.suspected
        hidden = stage.venue.exchange.hidden[-1][3]
        assert abs(D(said["venue"]) - D(said["book"]) - D(hidden["delta"]["usdc"])) < D("0.00001")
