"""The pure parts: threads, parcels, quiet hours, back-off, the text twin."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio.notify import backoff, grouping, quiet, threads
from portfolio.notify.grouping import Waiting
from portfolio.notify.sheet import WIDTH, Line, Section, Sheet, text_of
from reconciliation.proof_times import joined

ZURICH = ZoneInfo("Europe/Zurich")


def waiting():
    return st.builds(
        Waiting,
        id=st.integers(1, 10_000),
        alert=st.one_of(st.none(), st.integers(1, 6)),
        batch=st.integers(1, 3),
        held=st.booleans(),
        mail=st.one_of(st.none(), st.integers(1, 3)),
    )


class TestParcels:
    @given(st.lists(waiting(), unique_by=lambda one: one.id), st.integers(0, 9))
    def test_carry_each_delivery_once(self, rows, lately):
        found = grouping.parcels(rows, mails_in_the_last_minute=lately)
        carried = [pk for parcel in found for pk in (*parcel.told, *parcel.outdated)]
        assert sorted(carried) == sorted(row.id for row in rows)

    @given(st.lists(waiting(), unique_by=lambda one: one.id), st.integers(0, 9))
    def test_tell_of_each_alert_its_newest_state_only(self, rows, lately):
        by_id = {row.id: row for row in rows}
        for parcel in grouping.parcels(rows, mails_in_the_last_minute=lately):
            if parcel.mail is None:
                alerts = [by_id[pk].alert for pk in parcel.told if by_id[pk].alert is not None]
                assert len(alerts) == len(set(alerts))
                assert all(
                    any(by_id[new].alert == by_id[old].alert and new > old for new in parcel.told)
                    for old in parcel.outdated
                )

    def test_after_five_mails_within_a_minute_are_one(self):
        rows = [Waiting(n, alert=n, batch=n) for n in range(1, 4)]
        assert len(grouping.parcels(rows, mails_in_the_last_minute=2)) == 3
        assert len(grouping.parcels(rows, mails_in_the_last_minute=5)) == 1


class TestASubject:
    @given(st.text())
    def test_is_one_printable_line_without_brackets(self, text):
        line = threads.subject_line(text)
        assert line == line.strip()
        assert line
        assert not set("[]\r\n\0") & set(line)
        assert len(line) <= threads.MAX_SUBJECT
        assert not line.lower().startswith("re:")

    def test_of_a_storm_keeps_its_number_though_the_title_is_long(self):
        subject = threads.storm_subject(["x" * 300, "b", "c"])
        assert subject.endswith("… · and 2 more")
        assert len(subject) <= threads.MAX_SUBJECT


class TestReferences:
    def test_keep_the_root_when_the_thread_is_long(self):
        ids = tuple(f"<{n}@x>" for n in range(200))
        place = threads.Place("<new@x>", "<root@x>", "A", ids)
        assert place.references[0] == "<root@x>"
        assert place.references[-1] == place.in_reply_to == "<199@x>"
        assert len(place.references) == threads.MAX_REFERENCES

    def test_of_the_root_itself_are_none(self):
        assert threads.Place("<root@x>", "<root@x>", "A").references == ()


class TestTheDomainOfIds:
    @pytest.mark.parametrize(
        ("address", "domain"),
        [
            ("a@desk.example", "desk.example"),
            ("a@bücher.example", "xn--bcher-kva.example"),
            ("a", "x"),
            ("a@b c", "x"),
        ],
    )
    def test_is_one_that_an_id_may_carry(self, address, domain):
        assert threads.domain_of(address, otherwise="x") == domain


class TestQuietHours:
    @pytest.mark.parametrize(
        ("hour", "until"),
        [(22, 6), (5, 6), (6, None), (20, None), (21, 6)],
        ids=["in the night", "at dawn", "at the end", "before", "at the beginning"],
    )
    def test_over_midnight_end_in_the_readers_morning(self, hour, until):
        found = quiet.quiet_until(
            now=datetime(2026, 1, 15, hour, tzinfo=UTC), zone=ZURICH, start=time(22), end=time(7)
        )
        assert (found.hour if found else None) == until

    def test_end_by_the_clock_on_the_wall_when_it_is_changed(self):
        found = quiet.quiet_until(
            now=datetime(2026, 3, 28, 23, tzinfo=UTC), zone=ZURICH, start=time(22), end=time(7)
        )
        assert found == datetime(2026, 3, 29, 5, tzinfo=UTC)

    def test_a_day_has_23_hours_when_clocks_go_forward(self):
        start, end = quiet.bounds(day=date(2026, 3, 29), zone=ZURICH)
        assert end - start == timedelta(hours=23)


class TestTheBackOff:
    @given(st.integers(0, 10_000), st.floats(0, 1))
    def test_is_never_shorter_than_four_seconds_nor_longer_than_six_minutes(self, attempts, chance):
        assert timedelta(seconds=4) <= backoff.wait(attempts=attempts, chance=chance) <= timedelta(minutes=6)


class TestSpansOfTime:
    def test_that_touch_are_one(self):
        at = [datetime(2026, 1, 1, hour, tzinfo=UTC) for hour in range(6)]
        assert joined([(at[3], at[4]), (at[0], at[2]), (at[1], at[3])]) == [(at[0], at[4])]


class TestTheText:
    def test_says_all_that_the_sheet_does_in_lines_that_nothing_breaks(self):
        words = "the quick brown fox jumps over the lazy dog " * 6
        sheet = Sheet(
            state="Worse",
            title="DRIFT BTC-PERP main",
            headline=words.strip(),
            sections=(
                Section("Evidence", (Line("Book", "0.50 BTC", "2 s old"), Line("x" * 40, words.strip()))),
                Section("What to do", paragraphs=(words.strip(),)),
            ),
            footer=(Line("Turn it off", url="https://plumbline.example/" + "a" * 90),),
            links=(Line("Case", url="https://plumbline.example/cases/1"),),
        )
        text = text_of(sheet)
        assert text.startswith("Worse\n")
        assert "  Book  0.50 BTC (2 s old)" in text
        assert "Case: https://plumbline.example/cases/1" in text
        assert all(len(line) <= WIDTH for line in text.splitlines() if "://" not in line)
