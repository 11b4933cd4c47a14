"""The lists of entries and closed positions: narrowed by a form, added up, taken away as files."""

import csv
import io
import json
from datetime import timedelta

import pytest

from positions.models import Entry
from tests.portfolio.market import ETH


@pytest.fixture
def booked(market, now):
    """BTC long, closed at a profit of 500 today; ETH short, closed at a loss of 200 two days later."""
    market.fill("buy", "0.5", "60000", now=now)
    market.fill("sell", "0.5", "61000", now=now + timedelta(hours=1))
    later = now + timedelta(days=2)
    market.fill("sell", "2", "3500", now=later, instrument=ETH)
    market.fill("buy", "2", "3600", now=later + timedelta(hours=1), instrument=ETH)
    return market


def text(client, path):
    answer = client.get(path)
    assert answer.status_code == 200
    return answer.content.decode()


def body(answer):
    return b"".join(answer.streaming_content).decode()


class TestTheListOfEntries:
    @pytest.mark.parametrize(
        ("query", "count"),
        [
            ("", 4), ("asset=btc", 2), ("asset=ETH-PERP", 2), ("kind=buy", 2), ("kind=funding", 0),
            ("until=2026-01-15", 2), ("since=2026-01-16", 2), ("since=2026-01-15&until=2026-01-15", 2),
            ("source=nobody", 0), ("kind=sell&asset=ETH", 1),
        ],
    )  # fmt: skip
    def test_shows_what_matches(self, as_viewer, booked, query, count):
        shown = as_viewer.get(f"/entries/?{query}").context["entries"]
        assert len(shown) == count

    def test_says_what_is_wrong_in_place_and_shows_nothing(self, as_viewer, booked):
        answer = as_viewer.get("/entries/?since=2026-01-20&until=2026-01-01")
        assert "This is before 20 Jan 2026: swap the two days." in answer.content.decode()
        assert answer.context["entries"] == []

    @pytest.mark.parametrize("query", ["account=999", "kind=theft", "since=soon", "venue=x"])
    def test_refuses_what_it_does_not_know(self, as_viewer, booked, query):
        answer = as_viewer.get(f"/entries/?{query}")
        assert answer.status_code == 200
        assert answer.context["form"].errors
        assert answer.context["entries"] == []

    def test_keeps_the_filter_from_page_to_page(self, as_viewer, booked, monkeypatch):
        monkeypatch.setattr("portfolio.pages.reads.PAGE", 1)
        shown = text(as_viewer, "/entries/?asset=btc")
        assert 'href="?asset=btc&amp;after=' in shown

    def test_is_taken_away_as_csv_without_formulas(self, as_viewer, booked):
        answer = as_viewer.get("/entries/?format=csv&asset=btc")
        assert answer["Content-Disposition"] == 'attachment; filename="entries.csv"'
        rows = list(csv.DictReader(io.StringIO(body(answer))))
        assert [(row["label"], row["quantity"], row["price"]) for row in rows] == [
            ("Buy", "0.5", "60000"), ("Sell", "-0.5", "61000"),
        ]  # fmt: skip
        assert rows[0]["at"] == "2026-01-15T12:00:00Z"

    def test_is_taken_away_as_json_lines_page_by_page(self, as_viewer, booked, monkeypatch):
        monkeypatch.setattr("portfolio.pages.exports.PAGE", 3)
        lines = body(as_viewer.get("/entries/?format=jsonl")).splitlines()
        assert [json.loads(line)["instrument"] for line in lines] == [
            Entry.objects.get(pk=json.loads(line)["id"]).instrument.symbol for line in lines
        ]
        assert len(lines) == 4

    def test_refuses_a_format_that_is_none(self, as_viewer, booked):
        assert as_viewer.get("/entries/?format=xls").status_code == 400

    def test_is_no_file_while_the_filter_is_wrong(self, as_viewer, booked):
        answer = as_viewer.get("/entries/?format=csv&since=soon")
        assert answer["Content-Type"].startswith("text/html")


class TestTheListOfClosedPositions:
    def test_adds_up_what_it_is_narrowed_to(self, as_viewer, booked):
        answer = as_viewer.get("/positions/closed/?asset=eth")
        assert [row["symbol"] for row in answer.context["closed"]] == [
            Entry.objects.filter(instrument__symbol__startswith="ETH").first().instrument.symbol
        ]
        [sums] = answer.context["sums"]
        assert sums.realized == -200

    def test_narrows_by_the_day_it_was_closed(self, as_viewer, booked):
        shown = as_viewer.get("/positions/closed/?until=2026-01-15").context
        assert [sums.realized for sums in shown["sums"]] == [500]

    def test_adds_nothing_up_that_nobody_narrowed(self, as_viewer, booked):
        assert as_viewer.get("/positions/closed/").context["sums"] == []

    def test_is_taken_away_as_csv(self, as_viewer, booked):
        rows = list(csv.DictReader(io.StringIO(body(as_viewer.get("/positions/closed/?format=csv")))))
        assert [row["realized_pnl"] for row in rows] == ["500", "-200"]

    def test_says_when_nothing_matches(self, as_viewer, booked):
        assert "Nothing matches. Clear the filter" in text(as_viewer, "/positions/closed/?asset=doge")


class TestACell:
    @pytest.mark.parametrize(
        ("text", "cell"),
        [("=1+1", "'=1+1"), ("+49", "+49"), ("-0.5", "-0.5"), ("@x", "'@x"), ("-x", "'-x"), ("BTC", "BTC")],
    )
    def test_is_never_a_formula(self, text, cell):
        from core.values import spreadsheets

        assert spreadsheets.cell(text) == cell
        assert spreadsheets.from_cell(cell) == text
