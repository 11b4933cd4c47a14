"""N14: what a certificate says, read as a bot reads it: over the API, with a key."""

import json

import pytest
from django.test import Client

from core.security.scopes import Scope
from positions.sync import connections, poll
from positions.venues.hyperliquid import adapter
from reconciliation import tasks
from reconciliation.runs import runs
from tests.reconciliation.stage import IMPATIENT, USER, D, held

pytestmark = pytest.mark.django_db


@pytest.fixture
def ask(api_key, stage, account, monkeypatch):
    """Asks the product under /api/v1; the worker that carries runs out has the stage's clock."""
    key = api_key(Scope.READ, Scope.RECONCILE)
    monkeypatch.setattr("reconciliation.tasks.timezone.now", stage.now)

    def call(method, path, body=None, status=200):
        answer = Client().generic(
            method, f"/api/v1/reconciliation{path}", json.dumps(body), "application/json", headers=key
        )
        assert answer.status_code == status, answer.content
        return answer.json()

    return call


def synced(stage, account, ask, monkeypatch):
    """The certificate of a run that somebody asked for, carried out as a worker does."""
    carry_out = runs.carry_out
    monkeypatch.setattr(
        "reconciliation.tasks.runs.carry_out", lambda **options: carry_out(**options, pause=stage.wait)
    )
    monkeypatch.setattr("reconciliation.tasks.carry_out_run.delay", lambda run: None)
    connections.connect(account=account).client.retries = IMPATIENT
    [begun] = ask("POST", "/sync", {"accounts": [account.pk]}, status=202)["runs"]
    assert ask("GET", f"/runs/{begun['run_id']}")["state"] == "running"
    tasks.carry_out_run(begun["run_id"])
    return ask("GET", f"/runs/{begun['run_id']}")


def retold(stage, coin, **changed):
    """The venue's list of fills with one coin's under other words."""
    told = stage.venue.info.routes["userFillsByTime"]

    def answer(body):
        return [row | changed if row["coin"] == coin else row for row in told(body)]

    return answer


def line(run, symbol):
    [found] = [one for one in run["legs"] if one["symbol"] == symbol]
    return found


OUTCOMES = ("applied", "duplicate", "conflicting", "dropped")


def what(leg):
    """What became of the facts that name a leg."""
    counts = leg["counts"]
    assert counts["received"] == sum(counts[name] for name in OUTCOMES)
    return {name for name in OUTCOMES if counts[name]}


class TestACertificate:
    def test_is_complete_and_says_what_was_asked_covered_and_found(self, stage, account, ask, monkeypatch):
        """N14."""
        stage.trade("ETH", "buy", 3)
        stage.trade("BTC", "sell", "0.1")
        stage.do("funding")
        stage.wait(20)
        run = synced(stage, account, ask, monkeypatch)
        assert (run["state"], run["complete"], run["problem"], run["withheld"]) == ("finished", True, "", [])
        assert run["trigger"] == "demand"
        assert {name: window["complete"] for name, window in run["windows"].items()} == {
            "fills": True, "funding": True, "transfers": True,
        }  # fmt: skip
        for window in run["windows"].values():
            (asked_from, asked_to), (covered_from, covered_to) = window["asked"], window["covered"]
            assert asked_from == covered_from < covered_to <= asked_to
        fills = len(stage.venue.exchange.known(USER).fills)
        applied = fills + 2  # the funding of two positions
        assert run["counts"]["applied"] == applied
        for symbol, name, size in (("ETH", "ETH-PERP", "3"), ("BTC", "BTC-PERP", "-0.1")):
            leg = line(run, symbol)
            assert (leg["subject"], leg["leg"], D(leg["venue"]["quantity"])) == (name, "net", D(size))
            assert leg["observed"]
            assert leg["proves"]
            assert leg["complete"]
            assert leg["as_of"] == run["as_of"]
            assert leg["asked"] == run["windows"]["fills"]["asked"]
            assert leg["covered"] == run["windows"]["fills"]["covered"]
            assert leg["counts"]["applied"] >= 2
            assert "applied" in what(leg)
            assert [one for one in leg["differences"] if one["drift"]] == []
        [cash] = run["balances"]
        assert (cash["wallet"], cash["asset"], cash["complete"]) == ("perp", "USDC", True)
        assert cash["as_of"] == run["as_of"]
        assert ask("GET", "/last")["runs"] == [run]

    def test_tells_a_truncated_list_a_repeat_a_conflict_and_a_row_that_nobody_knows(
        self, stage, account, ask, monkeypatch
    ):
        """N14."""
        for coin in ("ETH", "SOL"):
            stage.trade(coin, "buy", 1)
            stage.wait(0.01)
        stage.wait(1)
        poll.facts(account=account, methods=["fills"], now=stage.now(), trace_id="t")  # as the stream does
        stage.venue.info.routes["userFillsByTime"] = retold(stage, "ETH", px="9999.0")
        stage.do("unknown_coin", coin="#4710")
        for coin, size in (("DOGE", 100), ("HYPE", 1), ("BTC", "0.01")):
            stage.wait(0.01)
            stage.trade(coin, "buy", size)
        # Two rows a page, each beginning with the last one of the page before, and no more than four pages.
        monkeypatch.setattr(adapter, "MOST_PAGES", 4)
        stage.fail("page_cut", rows=2)
        stage.wait(2)
        run = synced(stage, account, ask, monkeypatch)

        assert (run["state"], run["complete"]) == ("finished", False)
        fills = run["windows"]["fills"]
        assert not fills["complete"]
        assert fills["covered"][0] == fills["asked"][0]
        assert fills["covered"][1] < fills["asked"][1]
        assert "more than 4 pages" in run["problem"]
        assert run["windows"]["transfers"]["complete"]
        assert run["withheld"] == ["#4710", "ETH"]

        # Whatever differs is asked for again: what is known already by then is counted again, too.
        eth, sol, doge, btc = (line(run, symbol) for symbol in ("ETH", "SOL", "DOGE", "BTC"))
        assert what(eth) == {"conflicting"}
        assert what(sol) == {"duplicate"}
        assert (what(doge), doge["counts"]["applied"]) == ({"applied", "duplicate"}, 1)
        assert what(btc) == set()
        assert run["counts"]["applied"] == 2
        assert run["counts"]["dropped"] >= 1
        assert run["counts"]["received"] == sum(run["counts"][name] for name in OUTCOMES)
        assert held(account) == {"ETH": 1, "SOL": 1, "DOGE": 100, "HYPE": 1}
        found = [(one["kind"], one["book"], one["venue"], one["drift"]) for one in btc["differences"]]
        assert found == [("missing_in_book", "0", "0.01", True)]
        assert [(leg["symbol"], leg["proves"], leg["complete"]) for leg in (eth, sol)] == [
            ("ETH", False, False),  # of two tellings one is wrong
            ("SOL", True, False),  # its state is known; of its fills the newest were not read
        ]
        [cash] = run["balances"]
        assert not cash["complete"]
