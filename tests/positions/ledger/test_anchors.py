"""A ledger that was rewritten with all its digests is found by what was signed outside of the database."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from core.models import SecurityEvent
from core.security.security_events import Act
from positions import tasks
from positions.ledger import anchors
from positions.ledger.hash_chain import GENESIS, chained
from positions.models import AccountHead, Entry
from tests.positions.ledger.test_audit import booked, by_sql

__all__ = ["booked"]
pytestmark = pytest.mark.django_db


@pytest.fixture
def log(tmp_path, monkeypatch, settings):
    """audit.jsonl, as the logger `audit` writes it."""
    file = tmp_path / "audit.jsonl"
    settings.LOG_DIR = str(tmp_path)

    def info(event, **facts):
        with file.open("a") as lines:
            lines.write(json.dumps({"event": "security event", "act": "key.made"}) + "\n")
            lines.write(json.dumps({"event": event, "level": "info"} | facts) + "\n")

    monkeypatch.setattr(anchors.audit, "info", info)
    return file


def rewrite(account) -> None:
    """Change the first fill and every digest after it, as somebody with all rights would."""
    by_sql("UPDATE positions_entry SET content = replace(content, '60000', '59000'), price = 59000"
           " WHERE venue_ref = 'f1'")  # fmt: skip
    previous = GENESIS
    for row in Entry.objects.filter(account=account).order_by("sequence"):
        previous = chained(
            previous, sequence=row.sequence, received_at=row.received_at, source=row.source,
            trace_id=row.trace_id, content=row.content,
        )  # fmt: skip
        by_sql(f"UPDATE positions_entry SET digest = '\\x{previous.hex()}' WHERE id = {row.pk}")
    by_sql(f"UPDATE positions_accounthead SET digest = '\\x{previous.hex()}'")


def anchored(log, times) -> list[str]:
    """Write so many anchors; return their lines."""
    for _ in range(times):
        tasks.anchor_books()
    return [line for line in log.read_text().splitlines(keepends=True) if anchors.EVENT in line]


def verify(*args):
    out = StringIO()
    try:
        call_command("verify_book", *args, stdout=out, stderr=StringIO())
    except CommandError:
        return out.getvalue(), False
    return out.getvalue(), True


class TestAnAnchor:
    def test_is_compared_by_verify_book(self, booked, log):
        tasks.anchor_books()
        said, good = verify()
        assert "1 anchors compared" in said
        assert good

    def test_finds_a_chain_that_was_rewritten_to_its_end(self, booked, log):
        tasks.anchor_books()
        rewrite(booked)
        said, good = verify()
        assert f"{booked.label}: the digest of entry 4 is" in said
        assert "audit.jsonl:2" in said
        assert not good
        event = SecurityEvent.objects.get(act=Act.LEDGER_DIFFERS)
        assert event.after["reason"].endswith("findings of verify_book")

    def test_finds_a_chain_that_was_cut_off(self, booked, log):
        tasks.anchor_books()
        by_sql("DELETE FROM positions_entry WHERE venue_ref = 'f3'")
        last = Entry.objects.get(venue_ref="f2")
        AccountHead.objects.update(entry_count=3, digest=last.digest)
        said, good = verify()
        assert "the digest of entry 4 is no such entry" in said
        assert not good

    def test_holds_while_the_ledger_grows(self, booked, log, now):
        from positions import ingest
        from tests.positions.facts import fill

        tasks.anchor_books()
        ingest.record(account=booked, entries=[fill("buy 1 @ 60000 fee 1 USDC", at=9, ref="f9")], source="t",
                      trace_id="t", now=now)  # fmt: skip
        tasks.anchor_books()
        said, good = verify()
        assert "2 anchors compared" in said
        assert good

    def test_that_was_taken_out_is_missed_by_the_next_one(self, booked, log):
        lines = anchored(log, 3)
        log.write_text("".join([lines[0], lines[2]]))
        said, good = verify()
        assert "audit.jsonl:2: the anchor before anchor 3 is missing" in said
        assert not good

    def test_that_stands_elsewhere_is_a_finding(self, booked, log):
        lines = anchored(log, 3)
        log.write_text("".join([lines[0], lines[2], lines[1]]))
        said, good = verify()
        assert "audit.jsonl:3: anchor 2 stands after anchor 3" in said
        assert not good

    def test_that_was_the_newest_is_missed_by_the_database(self, booked, log):
        lines = anchored(log, 3)
        log.write_text("".join(lines[:1]))
        said, good = verify()
        assert "2 anchors after anchor 1 were written, and are not in these files" in said
        assert not good

    def test_is_missed_where_the_whole_file_is_gone(self, booked, log):
        anchored(log, 3)
        log.unlink()
        said, good = verify()
        assert "3 anchors were written, and none is here" in said
        assert not good

    def test_of_a_shipped_copy_is_missed_in_the_database(self, booked, log):
        """Whoever empties the table of anchors as well is found by a copy of the file elsewhere."""
        copy = log.parent / "copy.jsonl"
        copy.write_text("".join(anchored(log, 3)))
        by_sql("DELETE FROM positions_ledgeranchor WHERE number > 1")
        said, good = verify("--anchors", str(copy))
        assert "copy.jsonl:2: anchor 2 is not the one that the database knows" in said
        assert not good

    def test_of_rotated_files_is_compared_with_the_others(self, booked, log):
        lines = anchored(log, 4)
        (log.parent / "audit.jsonl.1").write_text("".join(lines[1:2]))
        log.write_text("".join(lines[2:]))
        said, good = verify()
        assert "anchors up to 1 are not in these files" in said
        assert "3 anchors compared" in said
        assert good

    def test_of_an_older_copy_is_no_finding(self, booked, log):
        copy = log.parent / "copy.jsonl"
        copy.write_text("".join(anchored(log, 3)[:2]))
        said, good = verify("--anchors", str(copy))
        assert "1 anchors after anchor 2 were written" in said
        assert good

    def test_whose_commit_failed_is_none_any_more(self, booked, log):
        tasks.anchor_books()
        by_sql("DELETE FROM positions_ledgeranchor")
        tasks.anchor_books()
        tasks.anchor_books()
        said, good = verify()
        assert "3 anchors compared" in said
        assert good, said

    def test_that_nobody_of_us_signed_is_a_finding(self, booked, log, settings):
        tasks.anchor_books()
        forged = json.loads(log.read_text().splitlines()[1])
        forged["heads"][str(booked.pk)][1] = 3
        log.write_text(json.dumps(forged) + "\n" + '{"event": "ledger anchored"}\n{"event": "ledger anch\n')
        said, good = verify()
        assert "audit.jsonl:1: an anchor that no key of ANCHOR_KEYS has signed" in said
        assert "audit.jsonl:2: an anchor that cannot be read" in said
        assert not good

    def test_is_verified_by_an_older_key_and_by_no_other(self, booked, log, settings):
        settings.ANCHOR_KEYS = ["old"]
        tasks.anchor_books()
        settings.ANCHOR_KEYS = ["new", "old"]
        assert verify()[1]
        settings.ANCHOR_KEYS = ["new"]
        assert not verify()[1]

    def test_is_missed_where_there_is_none(self, booked, settings):
        settings.LOG_DIR = ""
        said, good = verify()
        assert "no anchors found" in said
        assert good

    def test_of_an_account_that_is_gone_is_a_finding(self, booked, log):
        anchor = log.parent / "copy.jsonl"
        tasks.anchor_books()
        anchor.write_text(log.read_text())
        by_sql("DELETE FROM positions_accounthead")
        for table in ("balance", "positionevent", "position", "checkpoint", "entry"):
            by_sql(f"DELETE FROM positions_{table}")
        by_sql("DELETE FROM positions_account")
        said, good = verify("--anchors", str(anchor))
        assert "there is no such account" in said
        assert not good
