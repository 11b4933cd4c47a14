"""The reconciliation pages as a viewer, a trader and an admin meet them, without JavaScript."""

import re
from datetime import timedelta
from decimal import Decimal as D

import pytest
from django.utils import timezone
from django.utils.html import strip_tags

from portfolio import pipeline
from positions.models import Account
from positions.sync import feeds
from reconciliation import tasks
from reconciliation.cases.case_report import CaseReport
from reconciliation.models import Case, Correction, Run, Verdict
from tests.portfolio.market import BTC, ETH, Market

pytestmark = pytest.mark.django_db
HOME = "/reconciliation/"
PAGES = [HOME, *(f"{HOME}{name}/" for name in ("cases", "runs", "sections", "allocation", "statistics"))]


@pytest.fixture
def market(db):
    found = Market(now=timezone.now())
    found.fill("buy", "0.50", "60000", now=timezone.now())
    return found


@pytest.fixture
def run(market):
    now = timezone.now()
    differs = {"kind": "quantity", "book": "0.5", "venue": "0.45", "drift": True}
    return Run.objects.create(
        account=market.account, trigger="demand", started_at=now, finished_at=now + timedelta(seconds=2),
        as_of=now, complete=True, trace_id="trace-7",
        counts={"received": 3, "applied": 1, "duplicate": 2, "conflicting": 0, "dropped": 0},
        windows={"fills": {"asked": ["2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00+00:00"],
                           "covered": ["2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00+00:00"],
                           "complete": True, "withheld": []}},
        legs=[{"symbol": BTC, "leg": "net", "observed": True, "judged": True, "proves": True,
               "differences": [differs]},
              {"symbol": "ETH/USDC:USDC", "leg": "net", "observed": False, "judged": False,
               "proves": False, "differences": []}],
    )  # fmt: skip


@pytest.fixture
def case(market, run):
    now = timezone.now()
    found = Case.objects.create(
        account=market.account, instrument_id=market.instruments[BTC], leg="net", family="size", run=run,
        differences=[{"kind": "quantity", "book": "0.5", "venue": "0.45", "drift": True}],
        diagnosis=[
            {"cause": "placed_elsewhere", "score": "0.92", "text": "A sell of 0.05 made elsewhere.",
             "evidence": ["fill-1", "hl:8841"]},
            {"cause": "unknown", "score": "0.05", "text": "Nothing else explains it.", "evidence": []},
        ],
        report=CaseReport(now, D("0.5"), D(60000), D("0.45"), D(60000), D(97000)).to_plain(),
        opened_at=now, changed_at=now,
    )  # fmt: skip
    Verdict.objects.create(
        account=market.account, instrument_id=market.instruments[BTC], leg="net", status="DRIFT",
        suspected=found.differences, seen_as_of=now, run=run, changed_at=now,
    )  # fmt: skip
    return found


def text_of(answer):
    assert answer.status_code == 200, answer.status_code
    body = re.sub(r"<(script|style).*?</\1>", "", answer.content.decode(), flags=re.S)
    return " ".join(strip_tags(body).replace("\xa0", " ").replace("&nbsp;", " ").split())


class TestEveryPage:
    @pytest.mark.parametrize("path", PAGES)
    def test_opens_before_anything_was_compared(self, as_viewer, path):
        assert as_viewer.get(path).status_code == 200

    @pytest.mark.parametrize("path", PAGES)
    def test_opens_with_a_case(self, as_viewer, case, path):
        assert as_viewer.get(path).status_code == 200

    @pytest.mark.parametrize("path", PAGES)
    def test_is_closed_to_strangers(self, client, path):
        assert client.get(path).status_code == 302

    @pytest.mark.parametrize("path", ["cases/987/", "runs/987/"])
    def test_of_nothing_is_not_found(self, as_viewer, path):
        assert as_viewer.get(HOME + path).status_code == 404

    @pytest.mark.parametrize("path", ["cases/?after=x", "runs/?after=x"])
    def test_refuses_a_cursor_that_is_none(self, as_viewer, path):
        assert as_viewer.get(HOME + path).status_code == 400

    def test_shows_the_same_strip_as_the_board(self, as_viewer, case):
        def strip(path):
            return re.search(r'<div class="stats".*?</div>\s*<div class="clock">', page(path), re.S)[0]

        def page(path):
            return as_viewer.get(path).content.decode()

        pipeline.refresh(timezone.now())
        assert strip(HOME) == strip("/entries/")


class TestTheOverview:
    def test_shows_each_accounts_worst_verdict_and_what_waits(self, as_viewer, case):
        text = text_of(as_viewer.get(HOME))
        assert "main" in text
        assert "Drift" in text
        assert "Book says 0.5 BTC, Hyperliquid says 0.45 BTC." in text
        assert "Likely: Traded elsewhere 95 %" in text

    def test_says_when_a_synced_rests_on_a_reading_that_nothing_proves(self, as_viewer, market):
        now = timezone.now()
        other = Account.objects.create(label="hedge", venue="bybit", created_at=now)
        run = Run.objects.create(account=other, started_at=now, finished_at=now, as_of=now, complete=True)
        Verdict.objects.create(
            account=other, wallet="unified", asset="USDT", status="SYNCED", as_of=now, run=run, changed_at=now
        )
        feeds.note_poll(account=other.pk, read_at=now)
        assert "Synced, reading unproven" in text_of(as_viewer.get(HOME))
        feeds.note_poll(account=other.pk, read_at=None)
        shown = text_of(as_viewer.get(HOME))
        assert "Synced, reading unproven" not in shown
        assert f"Synced at {now:%H:%M:%S} UTC, reading unproven" in shown

    def test_never_calls_an_account_synced_after_a_run_that_was_not_complete(self, as_viewer, market):
        now = timezone.now()
        run = Run.objects.create(
            account=market.account, started_at=now, finished_at=now, as_of=now, problem="cut"
        )
        Verdict.objects.create(
            account=market.account, wallet="perp", asset="USDC", status="SYNCED", as_of=now, run=run,
            changed_at=now,
        )  # fmt: skip
        [one] = as_viewer.get(HOME).context["accounts"]
        assert one.status == "PENDING"

    def test_keeps_an_account_synced_with_its_age_when_the_venue_could_not_be_read(self, as_viewer, market):
        now = timezone.now()
        run = Run.objects.create(
            account=market.account, started_at=now, finished_at=now, as_of=now, complete=True
        )
        Verdict.objects.create(
            account=market.account, wallet="perp", asset="USDC", status="SYNCED", as_of=now, run=run,
            changed_at=now,
        )  # fmt: skip
        Run.objects.create(
            account=market.account,
            started_at=now + timedelta(seconds=5),
            finished_at=now,
            problem="timed out",
        )
        [one] = as_viewer.get(HOME).context["accounts"]
        assert one.status == "SYNCED"
        [told] = as_viewer.get("/api/v1/reconciliation/status").json()["accounts"]
        assert (told["status"], told["last_run"]["state"]) == ("SYNCED", "failed")

    def test_reads_many_accounts_in_as_many_queries_as_one(
        self, as_viewer, case, django_assert_max_num_queries
    ):
        now = timezone.now()
        for number in range(12):
            other = Account.objects.create(label=f"a{number}", venue="hyperliquid", created_at=now)
            Run.objects.create(account=other, started_at=now, finished_at=now)
        with django_assert_max_num_queries(40):
            as_viewer.get(HOME)


class TestSyncNow:
    @pytest.fixture
    def begun(self, monkeypatch):
        found = []
        monkeypatch.setattr(tasks.carry_out_run, "delay", found.append)
        return found

    def test_is_no_button_for_a_viewer_and_refused(self, as_viewer, market, begun):
        assert "Sync now" not in text_of(as_viewer.get(HOME))
        assert as_viewer.post(f"{HOME}sync/").status_code == 403
        assert begun == []

    def test_begins_a_run_and_shows_how_far_it_is(self, as_trader, market, begun):
        answer = as_trader.post(f"{HOME}sync/", follow=True)
        text = text_of(answer)
        assert "Comparing 1 account now." in text
        assert "waiting…" in text
        assert b'http-equiv="refresh"' in answer.content
        assert begun == [Run.objects.get().pk]

    def test_leaves_a_paused_account_alone(self, as_trader, market, begun):
        Account.objects.update(paused_until="2100-01-01T00:00Z", pause_reason="maintenance")
        text = text_of(as_trader.post(f"{HOME}sync/", {"account": market.account.pk}, follow=True))
        assert "Paused: main" in text
        assert begun == []


class TestAPause:
    def url(self, market):
        return f"{HOME}accounts/{market.account.pk}/pause/"

    def test_is_for_admins(self, as_trader, market):
        assert as_trader.post(self.url(market), {"until": "2100-01-01T00:00"}).status_code == 403

    def test_has_an_end_and_a_reason_and_is_ended(self, as_admin, market):
        until = (timezone.now() + timedelta(hours=3)).strftime("%Y-%m-%dT%H:%M")
        body = {"until": until, "reason": "planned maintenance"}
        assert "Paused until" in text_of(as_admin.post(self.url(market), body, follow=True))
        assert Account.objects.get().pause_reason == "planned maintenance"
        as_admin.post(self.url(market), {"resume": "1"})
        assert Account.objects.get().paused_until is None
        told = text_of(as_admin.get(f"{HOME}statistics/"))
        assert "planned maintenance" in told
        assert "by user:ada" in told

    @pytest.mark.parametrize(
        "body", [{"until": "", "reason": "x"}, {"until": "2020-01-01T00:00", "reason": "x"}]
    )
    def test_that_cannot_be_meant_is_refused(self, as_admin, market, body):
        as_admin.post(self.url(market), body)
        assert Account.objects.get().paused_until is None


class TestReadingAFeedAgain:
    def post(self, browser, market, **body):
        url = f"{HOME}accounts/{market.account.pk}/backfill/"
        return browser.post(url, {"feed": "fills", "since": "2026-01-01T00:00", **body}, follow=True)

    def test_is_asked_for_and_its_progress_shown(self, as_trader, market):
        text = text_of(self.post(as_trader, market))
        assert "Fills of main will be read again shortly." in text
        assert "Fills wait to be read again" in text

    @pytest.mark.parametrize(
        "wrong", [{"since": ""}, {"since": "2999-01-01T00:00"}, {"since": "2026-02-31T00:00"}, {"feed": "x"}]
    )
    def test_that_makes_no_sense_is_refused(self, as_trader, market, wrong):
        assert "wait to be read again" not in text_of(self.post(as_trader, market, **wrong))

    def test_is_not_for_viewers(self, as_viewer, market):
        assert self.post(as_viewer, market).status_code == 403


class TestTheInbox:
    @pytest.mark.parametrize(
        ("query", "count"),
        [("", 1), ("state=dismissed", 0), ("state=all", 1), ("account=main", 1), ("account=x", 0),
         ("family=cash", 0), ("family=size", 1), ("assignee=ada", 0)],
    )  # fmt: skip
    def test_filters(self, as_viewer, case, query, count):
        assert len(as_viewer.get(f"{HOME}cases/?{query}").context["cases"]) == count


class TestACertificate:
    def test_tells_what_was_asked_seen_and_found(self, as_viewer, run):
        text = text_of(as_viewer.get(f"{HOME}runs/{run.pk}/"))
        assert "Size: book says 0.5, venue says 0.45" in text
        assert "Not observed" in text
        assert "On demand" in text
        assert "2 Jan 2026 00:00:00" in text
        assert "trace-7" in text


class TestACasePage:
    def url(self, case, do=""):
        return f"{HOME}cases/{case.pk}/{do}"

    def test_ranks_causes_with_the_entries_and_records_they_rest_on(self, as_viewer, case):
        answer = as_viewer.get(self.url(case))
        text = text_of(answer)
        assert text.index("Traded elsewhere") < text.index("Nothing else explains it")
        assert "buy of 0.50 at 60,000.00" in text or "buy of 0.5 at 60,000.00" in text
        assert "hl:8841" in text
        [first, _] = answer.context["page"].causes
        assert [one.position is not None for one in first.evidence] == [True, False]
        assert f'href="/positions/{first.evidence[0].position}/"' in answer.content.decode()

    def test_offers_a_viewer_nothing_to_do(self, as_viewer, case):
        text = text_of(as_viewer.get(self.url(case) + "?action=dismiss"))
        assert "Your role may look, not act" in text
        assert "Dismiss the case" not in text

    @pytest.mark.parametrize("do", ["confirm/", "undo/", "acknowledge/", "comment/", "assign/"])
    def test_refuses_a_viewers_actions(self, as_viewer, case, do):
        assert as_viewer.post(self.url(case, do), {"action": "dismiss", "reason": "x"}).status_code == 403

    def test_shows_what_an_action_would_change_before_it_is_done(self, as_trader, case):
        text = text_of(as_trader.get(self.url(case) + "?action=book_adjustment&price=61000"))
        assert "0.5 → 0.45" in text
        assert "+50.00" in text
        assert not Correction.objects.exists()

    @pytest.mark.parametrize("price", ["much", "-1", "NaN"])
    def test_says_that_a_price_is_none(self, as_trader, case, price):
        assert "Not possible" in text_of(
            as_trader.get(self.url(case), {"action": "book_adjustment", "price": price})
        )

    def test_dismisses_with_a_reason_once(self, as_trader, case):
        page = as_trader.get(self.url(case) + "?action=dismiss")
        body = {"action": "dismiss", "token": page.context["planned"]["token"], "reason": "their mistake"}
        assert (
            "their mistake" in text_of(as_trader.post(self.url(case, "confirm/"), body, follow=True)).lower()
        )
        assert Case.objects.get().state == "dismissed"
        assert "Nothing was done" in text_of(as_trader.post(self.url(case, "confirm/"), body, follow=True))
        assert Correction.objects.count() == 1

    def test_does_nothing_without_a_reason_or_after_a_change(self, as_trader, case):
        page = as_trader.get(self.url(case) + "?action=dismiss")
        token = page.context["planned"]["token"]
        for body in ({"token": token, "reason": " "}, {"token": "old", "reason": "x"}):
            answer = as_trader.post(self.url(case, "confirm/"), {"action": "dismiss", **body}, follow=True)
            assert "Nothing was done" in text_of(answer)
        assert Case.objects.get().state == "open"

    def test_keeps_comments_assignee_and_acknowledgement(self, as_trader, case):
        as_trader.post(self.url(case, "acknowledge/"))
        as_trader.post(self.url(case, "assign/"), {"assignee": "ada"})
        text = text_of(as_trader.post(self.url(case, "comment/"), {"text": "asked <support>"}, follow=True))
        case.refresh_from_db()
        assert (case.state, case.assignee) == ("acknowledged", "ada")
        assert "Assigned to ada" in text
        assert "asked &lt;support&gt;" in text
        assert "user:tom" in text

    @pytest.mark.parametrize("correction", ["", "x", "99"])
    def test_takes_no_correction_back_that_there_is_not(self, as_trader, case, correction):
        body = {"correction": correction, "reason": "x"}
        assert as_trader.post(self.url(case, "undo/"), body).status_code == 404


class TestAllocationPage:
    def test_names_an_equity_that_is_not_known(self, as_viewer, market, settings):
        settings.ALLOCATION_DEFAULTS = {"hyperliquid": D("0.80")}
        text = text_of(as_viewer.get(f"{HOME}allocation/"))
        assert "The equity of main is not known" in text
        assert "80.0 %" in text


class TestTheLegsOfTheOverview:
    def test_are_listed_the_worst_first_with_both_sides(self, as_viewer, market, case):
        now = timezone.now()
        Verdict.objects.create(
            account=market.account, instrument_id=market.instruments[ETH], leg="net", status="SYNCED",
            as_of=now, run=case.run, changed_at=now,
        )  # fmt: skip
        answer = as_viewer.get(HOME)
        assert [leg.status for leg in answer.context["legs"]] == ["DRIFT", "SYNCED"]
        text = text_of(answer)
        assert "Size: book says 0.5, venue says 0.45" in text
        assert "no difference" in text

    def test_have_the_address_of_the_page_that_once_listed_them(self, as_viewer, case):
        answer = as_viewer.get(f"{HOME}legs/")
        assert (answer.status_code, answer.url) == (301, "/reconciliation/#legs")
        assert 'id="legs"' in as_viewer.get(HOME).content.decode()


class TestTheRunsOfTheOverview:
    def test_say_why_the_venue_could_not_be_read(self, as_viewer, market):
        now = timezone.now()
        Run.objects.create(account=market.account, started_at=now, finished_at=now, problem="timed out")
        text = text_of(as_viewer.get(HOME))
        assert "Could not check" in text
        assert "timed out" in text

    def test_count_legs_that_differ_and_legs_that_were_not_observed(self, as_viewer, run):
        [line] = as_viewer.get(HOME).context["runs"]
        assert (line.compared, line.differing, line.unseen) == (2, 1, 1)


class TestTheSectionsAlone:
    def test_are_sent_again_only_when_something_changed(self, as_trader, market, case):
        first = as_trader.get(f"{HOME}sections/")
        assert "<html" not in first.content.decode()
        again = as_trader.get(f"{HOME}sections/", headers={"if-none-match": first["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
        Case.objects.update(assignee="ada")
        assert as_trader.get(f"{HOME}sections/", headers={"if-none-match": first["ETag"]}).status_code == 200

    def test_read_neither_the_book_nor_the_strip(self, as_viewer, case, django_assert_num_queries):
        with django_assert_num_queries(14):
            as_viewer.get(f"{HOME}sections/")
