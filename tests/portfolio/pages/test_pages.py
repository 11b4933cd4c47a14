"""Every page: who gets in, what it says when there is nothing, when there is something."""

from datetime import timedelta

import pytest
from django.utils import timezone

from positions import accounts as ledger_accounts
from positions.models import Position
from positions.sync import feeds
from positions.sync.feeds import State
from tests.portfolio.market import BTC, Market

PAGES = [
    "/",
    "/portfolio/",
    "/alerts/",
    "/positions/closed/",
    "/entries/",
    "/feeds/",
]


@pytest.fixture
def closed(market, now):
    market.fill("sell", "2", "60000", now=now)
    market.fill("buy", "2", "59000", now=now + timedelta(hours=3))
    return Position.objects.get()


class TestEachPage:
    @pytest.mark.parametrize("path", [*PAGES, "/positions/1/", "/accounts/1/"])
    def test_needs_a_login(self, client, db, path):
        answer = client.get(path)
        assert (answer.status_code, answer.url) == (302, f"/login/?next={path}")

    @pytest.mark.parametrize("path", PAGES)
    def test_opens_on_an_empty_book(self, as_viewer, path):
        answer = as_viewer.get(path)
        assert answer.status_code == 200
        assert b"no open positions" in answer.content

    @pytest.mark.parametrize("path", PAGES)
    def test_changes_nothing_on_request(self, as_viewer, path):
        assert as_viewer.post(path).status_code == 405

    @pytest.mark.parametrize("path", PAGES)
    def test_has_no_inline_style_or_script(self, as_viewer, market, now, path):
        market.fill("buy", "0.5", "96240", now=now)
        text = as_viewer.get(path).content.decode()
        assert "style=" not in text
        assert "<script>" not in text
        assert "onclick" not in text


class TestTheBoard:
    def test_greets_a_book_without_accounts(self, as_viewer):
        assert "No account is connected yet" in as_viewer.get("/").content.decode()

    def test_of_a_flat_account_says_that_it_watches(self, as_viewer, market):
        text = as_viewer.get("/").content.decode()
        assert "Nothing is held on 1 connected account right now" in text

    def test_shows_one_environment_at_a_time(self, as_viewer, market, now):
        real = Market(now=now, label="real", environment="live")
        real.fill("buy", "3", "96240", now=now)
        market.fill("buy", "0.5", "96240", now=now)
        first = as_viewer.get("/").content.decode()
        other = as_viewer.get("/?environment=simulated").content.decode()
        assert 'data-environment="live"' in first
        assert "3.00000" in first
        assert "0.50000" not in first
        assert "0.50000" in other
        assert "3.00000" not in other

    def test_of_an_environment_that_is_not_there_is_the_first(self, as_viewer, market):
        assert 'data-environment="simulated"' in as_viewer.get("/?environment=moon").content.decode()


class TestAPositionsPage:
    def test_shows_an_open_one(self, as_viewer, market, now):
        market.fill("buy", "0.5", "96240", now=now)
        market.mark(BTC, "97412.5", now=timezone.now())
        text = as_viewer.get(f"/positions/{Position.objects.get().pk}/").content.decode()
        assert "BTC-PERP" in text
        assert "+584.75" in text  # net: 586.25 unrealized less 1.50 of fees
        assert "Opened 0.50000 BTC at 96,240.0" in text

    def test_shows_a_closed_one_by_what_it_was(self, as_viewer, closed):
        text = as_viewer.get(f"/positions/{closed.pk}/").content.decode()
        assert "Short" in text
        assert "+2,000.00" in text
        assert "Closed, realized +2,000.00" in text

    def test_that_never_was_is_not_found(self, as_viewer):
        assert as_viewer.get("/positions/987/").status_code == 404


class TestClosedPositions:
    def test_are_listed_with_their_result(self, as_viewer, closed):
        text = as_viewer.get("/positions/closed/").content.decode()
        assert "+2,000.00" in text
        assert "3\N{NO-BREAK SPACE}h" in text

    def test_come_in_pages(self, as_viewer, market, now, monkeypatch):
        monkeypatch.setattr("portfolio.pages.reads.PAGE", 2)
        for hour in range(0, 6, 2):
            market.fill("buy", "1", str(100 + hour), now=now + timedelta(hours=hour))
            market.fill("sell", "1", "200", now=now + timedelta(hours=hour + 1))
        answer = as_viewer.get("/positions/closed/")
        assert len(answer.context["closed"]) == 2
        rest = as_viewer.get("/positions/closed/", {"after": answer.context["older"]})
        assert len(rest.context["closed"]) == 1
        assert rest.context["older"] is None


class TestEntries:
    def test_are_listed_newest_first(self, as_viewer, closed):
        answer = as_viewer.get("/entries/")
        assert [str(entry.quantity.normalize()) for entry in answer.context["entries"]] == ["2", "-2"]
        assert "59,000.0" in answer.content.decode()

    def test_with_a_made_up_cursor_are_refused(self, as_viewer):
        assert as_viewer.get("/entries/?after=nonsense").status_code == 400


class TestAnAccountsPage:
    def test_shows_what_it_holds(self, as_viewer, market, now):
        market.fill("buy", "0.5", "96240", now=now)
        text = as_viewer.get(f"/accounts/{market.account.pk}/").content.decode()
        assert "BTC-PERP" in text
        assert "Simulated" in text

    def test_that_never_was_is_not_found(self, as_viewer):
        assert as_viewer.get("/accounts/987/").status_code == 404


class TestTheTableOfFeeds:
    @pytest.fixture(params=["/feeds/", "/accounts/{}/"])
    def page(self, request, as_viewer, market):
        return lambda: as_viewer.get(request.param.format(market.account.pk)).content.decode()

    def test_shows_what_is_read_and_why(self, page, market):
        now = timezone.now()
        progress = {"feed": "fills", "booked": 500, "of": 9000}
        times = {"since": now, "at": now, "last_event": now}
        feed = feeds.Feed(
            account=market.account.pk, state=State.BACKFILLING, reason="connected", progress=progress, **times
        )
        feeds.keep(feeds=[feed])
        text = page()
        assert "Backfilling" in text
        assert "fills 500 of 9,000" in " ".join(text.split())
        assert f'data-ago="{now.isoformat()}"' in text
        assert "connected" in text

    def test_says_that_an_account_is_not_streamed_any_more(self, page, market):
        assert "Not streamed" in page()
        gone = timezone.now() - timedelta(minutes=1)
        feeds.keep(feeds=[feeds.Feed(account=market.account.pk, state=State.LIVE, since=gone, at=gone)])
        text = page()
        assert "Not streamed" in text
        assert "nothing was read from the venue yet" in text

    def test_leaves_out_an_account_kept_by_hand(self, as_viewer, now):
        account = ledger_accounts.manual(now=now)
        assert "data-feeds" not in as_viewer.get(f"/accounts/{account.pk}/").content.decode()
        assert "No account is connected yet" in as_viewer.get("/feeds/").content.decode()


class TestTheEvidenceOfAnAccount:
    def test_is_shown_beside_what_it_holds(self, as_viewer, market):
        page = as_viewer.get(f"/accounts/{market.account.pk}/").content.decode()
        assert "How well our reading of Hyperliquid is proven" in page
        assert "Recorded answers" in page
        assert "Simulator only" in page

    def test_is_called_unproven_where_it_is(self, as_viewer, market):
        type(market.account).objects.filter(pk=market.account.pk).update(venue="kraken")
        page = as_viewer.get(f"/accounts/{market.account.pk}/").content.decode()
        assert "Unproven" in page
