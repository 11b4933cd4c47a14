from dataclasses import replace
from datetime import timedelta

import pytest

from positions.models import Entry
from positions.sync import backfills, poll
from positions.sync.backfills import BackfillRefusal, Stage
from positions.venues.base import EntryBatch, Evidence, Method, Transient
from tests.positions.facts import fill


def ask(now, feed="fills", back=timedelta(hours=1), account=7):
    return backfills.request_backfill(account_id=account, feed=feed, since=now - back, now=now)


class TestARequest:
    def test_waits_until_somebody_does_it(self, now):
        asked = ask(now)
        assert backfills.due(now=now) == [asked]
        assert asked.stage is Stage.WAITING

    def test_for_less_than_what_waits_already_changes_nothing(self, now):
        first = ask(now, back=timedelta(days=2))
        assert ask(now, back=timedelta(days=1)) == first

    def test_for_more_widens_what_waits(self, now):
        ask(now, back=timedelta(days=1))
        wider = ask(now, back=timedelta(days=2))
        assert backfills.due(now=now) == [wider]

    def test_of_another_feed_or_account_is_separate(self, now):
        ask(now)
        ask(now, feed="funding")
        ask(now, account=8)
        assert len(backfills.due(now=now)) == 3
        assert len(backfills.due(account_id=8, now=now)) == 1

    def test_that_nobody_could_do_in_an_hour_has_failed(self, now):
        ask(now)
        assert backfills.due(now=now + timedelta(minutes=61)) == []
        [one] = backfills.known(now=now)
        assert one.stage is Stage.FAILED
        assert "within an hour" in one.problem

    def test_that_is_over_is_shown_for_a_day(self, now):
        backfills.keep(replace(ask(now), stage=Stage.DONE))
        assert len(backfills.known(now=now + timedelta(hours=23))) == 1
        assert backfills.known(now=now + timedelta(hours=25)) == []

    @pytest.mark.parametrize("feed", ["", "trades", "positions"])
    def test_of_what_is_no_feed_is_refused(self, now, feed):
        with pytest.raises(BackfillRefusal, match="a feed is one of fills, funding, transfers"):
            ask(now, feed=feed)

    def test_from_the_future_or_without_a_time_zone_is_refused(self, now):
        with pytest.raises(BackfillRefusal, match="in the past"):
            ask(now, back=timedelta(hours=-1))
        with pytest.raises(BackfillRefusal, match="time zone"):
            backfills.request_backfill(
                account_id=7, feed="fills", since=now.replace(tzinfo=None, year=2020), now=now
            )


class Venue:
    """Has two fills of the last hour."""

    def __init__(self, now, evidence=Evidence.SIMULATED):
        self.now, self.evidence = now, evidence
        self.asked = []
        self.error = None

    @property
    def capabilities(self):
        return {method: type("Declared", (), {"evidence": self.evidence}) for method in Method}

    async def entries(self, *, since, methods):
        if self.error:
            raise self.error
        self.asked.append(since)
        found = tuple(fill("buy 1 @ 100", at=second, ref=f"f{second}") for second in (1, 2))
        window = since, self.now
        return EntryBatch(entries=found, asked=window, covered=window, complete=True)

    async def relist(self, symbols):
        return None

    async def instruments(self):
        return []


@pytest.mark.django_db
class TestARequestThatIsDone:
    @pytest.fixture
    def venue(self, now, monkeypatch):
        venue = Venue(now)
        monkeypatch.setattr(backfills, "connect", lambda account: venue)
        monkeypatch.setattr(poll, "learn", lambda *args, **kwargs: {})
        return venue

    def carry_out(self, account, now, told=None):
        asked = ask(now, account=account.pk)
        more = {} if told is None else {"told": told.append}
        return backfills.carry_out(account=account, asked=asked, now=now, trace_id="test", **more)

    def test_reads_from_the_time_asked_for_and_books_what_is_new(self, account, venue, now):
        assert self.carry_out(account, now).booked == 2
        assert venue.asked[0] <= now - timedelta(hours=1)
        again = self.carry_out(account, now)
        assert (again.stage, again.booked, again.of, again.complete) == (Stage.DONE, 0, 2, True)
        assert Entry.objects.count() == 2

    def test_tells_its_progress(self, account, venue, now):
        told = []
        self.carry_out(account, now, told)
        assert [(one.stage.value, one.done, one.of) for one in told] == [
            ("running", 0, 0), ("running", 2, 2), ("done", 2, 2),
        ]  # fmt: skip

    def test_stays_to_be_done_when_the_venue_cannot_be_read(self, account, venue, now):
        venue.error = Transient("away")
        with pytest.raises(Transient):
            self.carry_out(account, now)
        assert len(backfills.due(account_id=account.pk, now=now)) == 1

    def test_has_failed_where_the_venue_has_no_such_feed(self, account, venue, now):
        venue.evidence = Evidence.UNSUPPORTED
        ended = self.carry_out(account, now)
        assert (ended.stage, ended.problem) == (Stage.FAILED, "the venue has no fills")
