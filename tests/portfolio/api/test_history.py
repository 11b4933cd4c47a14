"""Snapshots over HTTP: steps with gaps, rows by page, by hand, and files that are streamed."""

import csv
import io
import json
from datetime import timedelta

import pytest
from django.test import Client

from core.security.scopes import Scope
from portfolio.models import AccountSnapshot, PositionSnapshot
from portfolio.snapshots import taking
from tests.portfolio.market import BTC, Market

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


@pytest.fixture
def reader(api_key):
    return Client(headers=api_key(Scope.READ))


@pytest.fixture
def writer(api_key):
    return Client(headers=api_key(Scope.READ, Scope.WRITE))


@pytest.fixture
def limited(api_key, other):
    """Sees another account only."""
    return Client(headers=api_key(Scope.READ, accounts=[other.account.pk]))


@pytest.fixture
def history(market, position, now):
    """Ten minutes of the position, the fifth one missed."""
    for minute in range(10):
        at = now + minute * MINUTE
        market.mark(BTC, str(61000 + minute), now=at)
        if minute != 5:
            taking.take(now=at)
    return position


def span(now, **more):
    return {"since": now.isoformat(), "until": (now + 10 * MINUTE).isoformat(), **more}


class TestAPositionsSnapshots:
    def test_come_in_steps_with_the_missed_minute_as_a_gap(self, reader, history, now):
        body = reader.get(f"/api/v1/positions/{history.pk}/snapshots", span(now)).json()
        assert len(body["items"]) == 9
        assert body["step_seconds"] == 60
        [gap] = body["gaps"]
        assert gap["since"] == (now + 4 * MINUTE).isoformat().replace("+00:00", "Z")
        first = body["items"][0]
        assert first["quality"] == []
        assert set(first) >= {"unrealized_pnl_pct", "time_held_minutes", "position_size_norm"}

    def test_come_row_by_row_with_a_cursor_or_an_offset(self, reader, history, now):
        path, asked = f"/api/v1/positions/{history.pk}/snapshots", {"resolution": "raw", "limit": 4}
        first = reader.get(path, asked).json()
        second = reader.get(path, asked | {"cursor": first["next_cursor"]}).json()
        times = [one["at"] for one in first["items"] + second["items"]]
        assert times == sorted(times, reverse=True)
        assert len(set(times)) == 8
        assert reader.get(path, asked | {"offset": 4}).json()["items"] == second["items"]

    def test_of_another_account_do_not_exist_for_a_limited_key(self, limited, history):
        assert limited.get(f"/api/v1/positions/{history.pk}/snapshots").status_code == 404

    @pytest.mark.parametrize(
        ("asked", "status"),
        [
            ({"since": "yesterday"}, 422),
            ({"since": "2026-01-16T00:00:00Z", "until": "2026-01-15T00:00:00Z"}, 422),
            ({"since": "2020-01-01T00:00:00Z", "resolution": "1m"}, 422),
            ({"cursor": "x"}, 422),
            ({"resolution": "raw", "cursor": "x"}, 400),
            ({"resolution": "raw", "limit": "9999"}, 400),
            ({"resolution": "3s"}, 422),
        ],
    )
    def test_refuse_what_makes_no_sense(self, reader, history, asked, status):
        answer = reader.get(f"/api/v1/positions/{history.pk}/snapshots", asked)
        assert answer.status_code == status
        assert answer.json()["code"]

    def test_are_taken_by_hand(self, writer, position):
        answer = writer.post(f"/api/v1/positions/{position.pk}/snapshot")
        assert answer.status_code == 201
        assert answer.json()["items"][0]["quantity"] == "2"
        assert PositionSnapshot.objects.count() == 1

    def test_are_not_taken_by_who_may_only_read(self, reader, position):
        assert reader.post(f"/api/v1/positions/{position.pk}/snapshot").status_code == 403


class TestThePortfoliosSnapshots:
    def test_are_of_one_environment(self, reader, history, now):
        Market(now=now, label="live one", environment="live")
        body = reader.get("/api/v1/portfolio/snapshots", span(now, environment="simulated")).json()
        assert {one["environment"] for one in body["items"]} == {"simulated"}
        assert body["items"][0]["accounts"] >= 1

    def test_are_of_one_account(self, reader, market, history, now):
        body = reader.get("/api/v1/portfolio/snapshots", span(now, account=market.account.label)).json()
        assert {one["account_id"] for one in body["items"]} == {market.account.pk}

    def test_over_everything_are_not_for_a_limited_key(self, limited, history):
        assert limited.get("/api/v1/portfolio/snapshots").json()["code"] == "limited_key"

    def test_refuse_an_account_of_another_environment(self, reader, market, history):
        asked = {"account": market.account.label, "environment": "live"}
        assert reader.get("/api/v1/portfolio/snapshots", asked).status_code == 422

    def test_are_taken_by_hand(self, writer, position):
        body = writer.post("/api/v1/portfolio/snapshot").json()
        assert body["positions"] == 1
        assert AccountSnapshot.objects.exists()


class TestFiles:
    def test_csv_has_every_row_of_the_range(self, reader, history, now):
        answer = reader.get(f"/api/v1/positions/{history.pk}/snapshots/export", span(now))
        rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))
        assert len(rows) == 9
        assert rows[0]["mark_price"] == "61000"
        assert "attachment" in answer["Content-Disposition"]

    def test_json_lines_have_money_as_text_and_unknown_as_null(self, reader, market, history, now):
        AccountSnapshot.objects.filter(account=market.account).update(equity=None, quality=8)
        asked = span(now, account=market.account.label, format="jsonl")
        answer = reader.get("/api/v1/portfolio/snapshots/export", asked)
        rows = [json.loads(line) for line in b"".join(answer.streaming_content).splitlines()]
        assert len(rows) == 9
        assert rows[0]["equity"] is None
        assert rows[0]["quality"] == ["cash_unknown"]
        assert isinstance(rows[0]["realized_pnl"], str)

    def test_without_rows_has_its_head(self, reader, position):
        answer = reader.get(f"/api/v1/positions/{position.pk}/snapshots/export")
        assert b"".join(answer.streaming_content).startswith(b"position_id,at,")
