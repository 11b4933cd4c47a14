"""How one looks at the board: order, groups with what they add up to, words searched, columns."""

import pytest
from django.http import QueryDict
from django.utils import timezone

from portfolio.pages import board_view
from tests.browser.view_cases import ORDERS, ROWS, SEARCHES, SUMS
from tests.portfolio.market import BTC, ETH

ROW = {row["id"]: row for row in ROWS}


def view(query):
    return board_view.view_of(QueryDict(query))


def texts(sums):
    return {name: None if value is None else str(value) for name, value in sums.items()}


class TestRows:
    @pytest.mark.parametrize(("query", "groups"), ORDERS)
    def test_stand_in_the_order_that_the_address_asks_for(self, query, groups):
        found = board_view.arrange(ROWS, view(query))
        assert [[row["id"] for row in group.rows] for group in found] == groups

    @pytest.mark.parametrize(("words", "ids"), SEARCHES)
    def test_match_every_word_of_a_search_and_none_after_a_minus(self, words, ids):
        assert [row["id"] for row in ROWS if board_view.matches(row, words)] == ids


class TestAGroup:
    @pytest.mark.parametrize(("ids", "sums"), SUMS)
    def test_adds_up_what_it_shows(self, ids, sums):
        [group] = board_view.arrange([ROW[id] for id in ids], view(""))
        shown = {
            name: value if name in ("count", "left_out") or value is None else f"{value.normalize():f}"
            for name, value in group.totals.items()
        }
        assert shown == sums

    def test_is_named_by_what_its_rows_share(self):
        found = board_view.arrange(ROWS, view("group=account"))
        assert [group.label for group in found] == [
            "Coinbase · spot", "Hyperliquid · hedge", "Hyperliquid · main",
        ]  # fmt: skip


class TestAView:
    def test_comes_back_from_its_own_address(self):
        asked = view("q=btc+-short&sort=-pct&group=venue&hide=fees,age&rows=compact&environment=live")
        assert view(asked.query()) == asked
        assert asked.query(sort="") == (
            "q=btc+-short&group=venue&hide=fees%2Cage&rows=compact&environment=live"
        )

    def test_leaves_out_what_it_does_not_know(self):
        assert view("sort=password&group=x&hide=y,fees&rows=z&environment=mars") == board_view.BoardView(
            hidden=frozenset({"fees"})
        )

    def test_takes_the_ticked_columns_of_its_form(self):
        shown = "&".join(f"show={name}" for name in board_view.COLUMNS if name != "fees")
        assert view(f"shown=1&{shown}").hidden == {"fees"}

    def test_orders_by_a_heading_then_the_other_way_then_as_the_board_does(self):
        def link(query):
            [heading] = [one for one in board_view.headings(view(query)) if one.name == "unrealized"]
            return heading.query, heading.aria_sort

        assert link("") == ("sort=-unrealized", "")
        assert link("sort=-unrealized") == ("sort=unrealized", "descending")
        assert link("sort=unrealized") == ("", "ascending")


class TestThePage:
    @pytest.fixture
    def held(self, market):
        now = timezone.now()
        market.mark(BTC, "97412.5", now=now)
        market.mark(ETH, "3500", now=now)
        market.fill("buy", "0.5", "96240", now=now)
        market.fill("sell", "2", "3600", now=now, instrument=ETH)

    def test_orders_groups_and_narrows_without_a_script(self, as_viewer, held):
        text = as_viewer.get("/?group=asset&sort=-notional&q=eth&hide=fees&rows=compact").content.decode()
        assert text.count('class="pos"') == 1 + 1  # and the template of rows
        assert 'data-group="ETH"' in text
        assert 'data-group="BTC"' not in text
        assert 'data-hide="fees"' in text
        assert "data-compact" in text
        assert 'aria-sort="descending"' in text

    def test_says_when_nothing_matches(self, as_viewer, held):
        text = as_viewer.get("/?q=nothing").content.decode()
        assert "No open position matches the search.</p>" in text
        assert "data-no-match hidden" not in text
