"""A ledger that was rewritten with all its digests is found by what was signed outside of the database."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

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
