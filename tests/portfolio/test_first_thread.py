"""The main job from end to end: a real trader's recorded fills, from a venue's wire to the board's figures.

The venue is a separate process that speaks Hyperliquid's protocol; unmodified ccxt reads it over HTTP; the
book is in Postgres. The judge is the exchange itself: its `closedPnl` of each fill.
"""

import json
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from config.servers import free_port
from portfolio.live import rows
from portfolio.models import AccountSnapshot
from portfolio.snapshots import taking
from positions.book import Leg
from positions.models import Account, Entry, Mark, Position, VenueState
from positions.sync import connections, poll
from positions.venues.base import Method, PositionRow, VenueError
from reconciliation.models import Run, Verdict, VerdictStatus
from reconciliation.runs import runs
from simulator.recording import load_recording

ROOT = Path(__file__).resolve().parents[2]
RECORDING = load_recording()
TRADES = Entry.objects.filter(kind="fill")
pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def venue(tmp_path):
    """Start a venue at a pace (seconds a fill) and return its address."""
    started = []

    def start(pace):
        port = free_port()
        command = [sys.executable, "-m", "simulator.recorded", "--port", str(port)]
        command += ["--pace", str(pace), "--state", str(tmp_path / "venue.json")]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        started.append(process)
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 30
        while True:
            try:
                ask(url, type="allMids")
            except OSError:
                assert time.monotonic() < deadline, "the venue did not start"
                time.sleep(0.1)
            else:
                return url

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def account():
    def make(url):
        return Account.objects.create(
            label="recorded", venue="hyperliquid", environment="simulated", base_url=url,
            address=RECORDING.user, created_at=now(),
        )  # fmt: skip

    yield make
    for pk in Account.objects.values_list("pk", flat=True):
        connections.forget(pk)


def now():
    return datetime.now(UTC)


def ask(url, **body):
    request = urllib.request.Request(
        f"{url}/info", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)


def poll_fills(account):
    return poll.facts(account=account, methods=[Method.FILLS], now=now(), trace_id="test")


def until_all_booked(account):
    deadline = time.monotonic() + 60
    while TRADES.count() < len(RECORDING.fills):
        assert time.monotonic() < deadline, f"{TRADES.count()} of {len(RECORDING.fills)} booked"
        poll_fills(account)
        time.sleep(0.2)


class TestARealTradersFills:
    def test_end_at_the_profit_that_the_exchange_computed(self, venue, account):
        trader = account(venue(pace=0.002))
        until_all_booked(trader)
        episodes = Position.objects.filter(account=trader)
        exchange = sum((fill.closed_pnl for fill in RECORDING.fills), Decimal(0))
        closed = sum((abs(fill.signed) for fill in RECORDING.fills if fill.closed_pnl), Decimal(0))
        tick = Decimal(1).scaleb(-RECORDING.price_decimals)
        ours = sum((episode.realized_pnl for episode in episodes), Decimal(0))
        assert abs(ours - exchange) <= tick * closed, f"book {ours}, exchange {exchange}"
        assert exchange != 0
        assert {episode.status for episode in episodes} == {"CLOSED"}
        fees = sum((Decimal(episode.fees["USDC"]) for episode in episodes), Decimal(0))
        assert fees == sum((fill.fee for fill in RECORDING.fills), Decimal(0))

    def test_are_booked_once_however_often_they_are_asked_for(self, venue, account):
        trader = account(venue(pace=0.002))
        until_all_booked(trader)
        before = list(Position.objects.order_by("pk").values())
        for _ in range(3):
            poll_fills(trader)
        poll.facts(account=trader, methods=[Method.FILLS, *poll.CASH], now=now(), trace_id="test")
        assert TRADES.count() == len(RECORDING.fills)
        assert list(Position.objects.order_by("pk").values()) == before


class TestOnTheWay:
    @pytest.fixture
    def trader(self, venue, account):
        return account(venue(pace=3600))  # no fill for an hour

    def test_the_book_agrees_with_the_venue_and_says_so(self, venue, account, tmp_path):
        trader = account(venue(pace=0.03))
        deadline = time.monotonic() + 60
        while TRADES.count() < 20:
            assert time.monotonic() < deadline
            poll_fills(trader)
        while not Verdict.objects.filter(status=VerdictStatus.SYNCED).exists():
            assert time.monotonic() < deadline, list(Run.objects.values_list("legs", "problem"))
            run = runs.reconcile(account=trader, now=now(), trace_id="test")
        assert run.complete
        assert run.problem == ""
        poll.marks(account=trader, now=now())
        [row] = rows.board(now=now())
        said = VenueState.objects.get(instrument__isnull=False)
        assert row["proof"] == "SYNCED"
        assert row["name"].startswith("BTC")
        assert Mark.objects.get().price == Decimal(row["mark_price"])
        assert said.liquidation_price is not None
        assert Decimal(row["liquidation_price"]) == said.liquidation_price
        taking.take(now=now())
        [snapshot] = AccountSnapshot.objects.all()
        assert snapshot.open_positions == 1
        assert snapshot.equity is not None

    def test_a_fill_kept_from_the_book_is_called_drift_in_the_second_report(self, trader, monkeypatch):
        report = poll.report

        def with_a_position(as_of=None):
            """The venue says 1 BTC more than any fill explains; every report is of one moment, if given."""
            ghost = PositionRow(venue_symbol="BTC", leg=Leg.NET, quantity=Decimal(1), currency="USDC")

            def changed(**arguments):
                found = report(**arguments)
                return replace(found, positions=(ghost,), as_of=as_of or found.as_of)

            return changed

        poll_fills(trader)
        assert not Position.objects.exists()
        # One moment: on a busy machine one run lasts long enough for two reports that confirm each other.
        monkeypatch.setattr(poll, "report", with_a_position(as_of=now()))
        runs.reconcile(account=trader, now=now(), trace_id="test", pause=lambda _: None)
        first = Verdict.objects.get(instrument__isnull=False)
        assert (first.status, first.suspected[0]["kind"]) == (VerdictStatus.PENDING, "missing_in_book")
        monkeypatch.setattr(poll, "report", with_a_position())
        time.sleep(1.1)
        runs.reconcile(account=trader, now=now(), trace_id="test")
        assert Verdict.objects.get(instrument__isnull=False).status == VerdictStatus.DRIFT
        monkeypatch.setattr(poll, "report", report)
        runs.reconcile(account=trader, now=now(), trace_id="test")
        assert Verdict.objects.get(instrument__isnull=False).status == VerdictStatus.SYNCED

    def test_a_venue_that_is_down_proves_and_disproves_nothing(self, account):
        trader = account(f"http://127.0.0.1:{free_port()}")
        run = runs.reconcile(account=trader, now=now(), trace_id="test")
        assert not run.complete
        assert run.problem
        assert run.as_of is None
        assert not Verdict.objects.exists()
        with pytest.raises(VenueError):
            poll_fills(trader)
