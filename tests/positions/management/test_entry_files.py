"""Facts to and from files, old positions into the archive, accounts from a file."""

from __future__ import annotations

import csv
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from core.values import spreadsheets
from positions import ingest
from positions.book import Cause
from positions.management import archive, entry_files
from positions.models import Account, Balance, Entry, Position, QuarantinedEntry
from positions.sync import connections
from tests.positions.conftest import VENUE, assert_rebuild_changes_nothing
from tests.positions.facts import amend, bust, fill, funding, moment, transfer

pytestmark = pytest.mark.django_db


def run(command: str, *args: object) -> str:
    out, errors = StringIO(), StringIO()
    try:
        call_command(command, *map(str, args), stdout=out, stderr=errors)
    except CommandError as error:
        raise CommandError(f"{errors.getvalue()}{error}") from error
    return out.getvalue()


@pytest.fixture
def booked(book):
    book(
        transfer("1000 USDC", at=0),
        fill("buy 2 @ 60000 fee 1 USDC", at=1, ref="a"),
        fill("buy 2 @ ?", at=2, ref="unknown"),
        funding("-1.000000000000000001 USDC", at=3),
        fill("sell 1 @ 61000 fee 1 USDC", at=4, ref="wrong"),
        bust("wrong", at=5, reason="said twice, “by mistake”"),
        amend("a", at=6, quantity=None, price=None, fee=None, amended_time=None, reason="nothing changed"),
    )


@pytest.fixture
def other(account, now):
    return Account.objects.create(label="other", venue=VENUE, created_at=now)


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
class TestAnExport:
    def test_imported_elsewhere_is_the_same_book(self, booked, account, other, tmp_path, suffix, now):
        file = tmp_path / f"entries.{suffix}"
        assert "7 entries of main written" in run("export_entries", file, "--account", "main")
        assert "7 rows: 7 booked" in run("import_entries", file, "--account", "other")
        contents = [
            list(Entry.objects.filter(account=one).order_by("sequence").values_list("content", flat=True))
            for one in (account, other)
        ]
        assert contents[0] == contents[1]
        brought = [
            list(Entry.objects.filter(account=one).order_by("sequence").values_list("source", "trace_id"))
            for one in (account, other)
        ]
        assert brought[0] == brought[1] == [("test", "trace-0001")] * 7
        states = [Position.objects.get(account=one).state for one in (account, other)]
        assert states[0] == states[1]
        assert_rebuild_changes_nothing(other, now)

    def test_imported_again_books_nothing(self, booked, tmp_path, suffix):
        file = tmp_path / f"entries.{suffix}"
        run("export_entries", file, "--account", "main")
        assert "7 rows: 7 duplicate" in run("import_entries", file, "--account", "main")
        assert Entry.objects.count() == 7

    def test_of_a_replaced_fill_can_be_imported_elsewhere(self, book, other, tmp_path, suffix, now):
        """The other ledger busts the inferred fill by itself: the file's bust is a repeat of that."""
        guess = fill("buy 2 @ 60000", at=5, ref="guess", cause=Cause.INFERRED, watermark=moment(10))
        book(guess, fill("buy 2 @ 60010 fee 1 USDC", at=8, ref="real"))
        file = tmp_path / f"entries.{suffix}"
        run("export_entries", file, "--account", "main")
        assert "3 rows: 2 booked, 1 duplicate" in run("import_entries", file, "--account", "other")
        states = [row.state for row in Position.objects.exclude(status="VOID").order_by("account")]
        assert len(states) == 2
        assert states[0] == states[1]
        assert_rebuild_changes_nothing(other, now)


class TestAnImport:
    def test_of_rows_that_do_not_say_who_brought_them_is_its_source(self, other, tmp_path):
        file = tmp_path / "entries.jsonl"
        fee = '"kind":"fee","time":"2026-01-15T11:00:00Z","amount":"-1","currency":"USDC"'
        file.write_text(f'{{"venue_ref":"a",{fee}}}\n{{"venue_ref":"b","source":"stream",{fee}}}\n')
        run("import_entries", file, "--account", "other")
        assert list(Entry.objects.order_by("venue_ref").values_list("source", flat=True)) == [
            "import",
            "stream",
        ]

    def test_refuses_a_source_that_no_entry_can_have(self, other, tmp_path):
        file = tmp_path / "entries.csv"
        file.write_text(
            f"kind,venue_ref,time,amount,currency,source\nfee,a,2026-01-15T11:00:00Z,-1,USDC,{'s' * 61}\n"
        )
        with pytest.raises(CommandError, match="row 2: source has more than 60 letters"):
            run("import_entries", file, "--account", "other")

    def test_tried_dry_books_nothing(self, booked, other, tmp_path):
        file = tmp_path / "entries.jsonl"
        run("export_entries", file, "--account", "main")
        assert "7 booked (would be" in run("import_entries", file, "--account", "other", "--dry-run")
        assert not Entry.objects.filter(account=other).exists()
        assert not Balance.objects.filter(account=other).exists()

    def test_names_each_bad_row_and_books_nothing(self, booked, other, tmp_path):
        file = tmp_path / "entries.jsonl"
        run("export_entries", file, "--account", "main")
        lines = file.read_text().splitlines()
        lines[1] = lines[1].replace('"60000"', '"NaN"')
        lines[2] = "{"
        lines[3] = '{"kind":"fee","venue_ref":"x","time":"2026-01-15T11:00:00Z","amount":1.5}'
        file.write_text("\n".join(lines))
        with pytest.raises(CommandError) as refused:
            run("import_entries", file, "--account", "other")
        told = str(refused.value)
        assert "row 2: price of entry a" in told
        assert "row 3: not JSON" in told
        assert "row 4: amount must be a string" in told
        assert "3 rows cannot be booked; nothing was" in told
        assert not Entry.objects.filter(account=other).exists()

    def test_names_the_row_that_the_ledger_refuses(self, booked, other, tmp_path):
        file = tmp_path / "entries.jsonl"
        run("export_entries", file, "--account", "main")
        file.write_text(file.read_text().replace('"a"', '"b"').replace("BTC/USDC:USDC", "DOGE"))
        with pytest.raises(CommandError, match="row 2: b: the venue's list has no instrument DOGE"):
            run("import_entries", file, "--account", "other")
        assert not Entry.objects.filter(account=other).exists()
        assert QuarantinedEntry.objects.filter(account=other).count() > 0

    def test_of_a_csv_counts_lines_as_an_editor_does(self, other, tmp_path):
        file = tmp_path / "entries.csv"
        file.write_text(
            'kind,venue_ref,time,amount,currency,reason\nfee,a,2026-01-15T11:00:00Z,-1,USDC,"two\nlines"\nfee,b,never,-1,USDC,\n'
        )
        with pytest.raises(CommandError, match="row 4: time of entry b"):
            run("import_entries", file, "--account", "other")

    def test_refuses_another_kind_of_file(self, other, tmp_path):
        with pytest.raises(CommandError, match=r"ends in \.jsonl or \.csv"):
            run("import_entries", tmp_path / "entries.xlsx", "--account", "other")


class TestArchiving:
    def test_writes_old_closed_positions_and_takes_them_out_of_the_lists(self, book, tmp_path):
        book(fill("buy 1 @ 60000 fee 1 USDC", at=1), fill("sell 1 @ 61000 fee 1 USDC", at=2))
        book(fill("buy 1 @ 60000 fee 1 USDC", at=3))
        closed = Position.objects.get(status="CLOSED")
        days = (timezone.now() - closed.closed_at).days
        assert "0 positions archived" in run(
            "archive_closed", "--older-than-days", days + 2, "--folder", tmp_path
        )
        assert "1 positions archived" in run(
            "archive_closed", "--older-than-days", days, "--folder", tmp_path
        )
        (file,) = tmp_path.glob("*.jsonl.gz")
        (line,) = archive.read(file)
        assert line["position"]["realized_pnl"].startswith("1000.")
        assert [event["kind"] for event in line["events"]] == ["opened", "closed"]
        closed.refresh_from_db()
        assert closed.archived_at is not None
        assert Position.objects.count() == 2
        assert "0 positions archived" in run(
            "archive_closed", "--older-than-days", days, "--folder", tmp_path
        )

    def test_leaves_an_archived_position_open_to_correction(self, book, tmp_path, now):
        book(fill("buy 1 @ 60000 fee 1 USDC", at=1), fill("sell 1 @ 61000 fee 1 USDC", at=2, ref="wrong"))
        ingest.set_archived(positions=[Position.objects.get().pk], source="t", trace_id="t", now=now)
        book(bust("wrong", at=3))
        row = Position.objects.get()
        assert (row.status, row.archived_at) == ("OPEN", None)


class TestLoadingAccounts:
    FILE = """
    [[accounts]]
    label = "hl"
    venue = "hyperliquid"
    address = "0x0000000000000000000000000000000000000001"
    options = { trading = "off" }
    [[accounts]]
    label = "cb"
    venue = "coinbase"
    credentials = { api_key = "env:TEST_KEY", secret = "env:TEST_SECRET" }
    options = { allow_trade = true, allow_withdraw = true, allow_unknown = true }
    """

    @pytest.fixture
    def file(self, tmp_path, monkeypatch, db, settings):
        settings.CREDENTIALS_KEY_IS_GENERATED, settings.HTTPS = False, True
        monkeypatch.setenv("TEST_KEY", "key-1")
        monkeypatch.setenv("TEST_SECRET", "secret-1")
        path = tmp_path / "accounts.toml"
        path.write_text(self.FILE)
        return path

    def test_makes_them_with_encrypted_keys(self, file):
        assert "hl: added" in run("load_accounts", file)
        account = Account.objects.get(label="cb")
        assert "key-1" not in account.credentials
        assert connections.decrypt(account.credentials, account="cb").api_key == "key-1"

    def test_again_renews_keys_and_options_only(self, file, monkeypatch):
        run("load_accounts", file)
        monkeypatch.setenv("TEST_KEY", "key-2")
        assert "cb: updated" in run("load_accounts", file)
        account = Account.objects.get(label="cb")
        assert connections.decrypt(account.credentials, account="cb").api_key == "key-2"
        file.write_text(self.FILE.replace("0001", "0002"))
        with pytest.raises(CommandError, match="hl: address cannot change"):
            run("load_accounts", file)

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (('"env:TEST_KEY"', '"plain"'), "secrets stay out of files"),
            (('"env:TEST_KEY"', '"env:NOT_SET_ANYWHERE"'), "NOT_SET_ANYWHERE is not set"),
            (('venue = "coinbase"', 'vnue = "coinbase"'), "unknown vnue"),
            (('venue = "coinbase"', 'venue = "coinbase"\nenvironment = "moon"'), "'moon' is not known"),
        ],
    )
    def test_names_what_is_wrong_and_makes_none(self, file, change, said):
        file.write_text(self.FILE.replace(*change))
        with pytest.raises(CommandError, match=said):
            run("load_accounts", file)
        assert not Account.objects.exists()

    def test_refuses_a_key_that_is_not_needed(self, file):
        there = 'venue = "hyperliquid"\naddress = "0x' + 40 * "1" + '"'
        file.write_text(self.FILE.replace('venue = "coinbase"', there))
        with pytest.raises(CommandError, match="cb: hyperliquid is read by address: it takes no key"):
            run("load_accounts", file)
        assert not Account.objects.filter(label="cb").exists()


class TestAFileForASpreadsheet:
    FORMULA = '=HYPERLINK("https://evil.example")'

    def test_has_no_cell_that_runs_as_a_formula(self, tmp_path):
        rows = [
            {"venue_ref": text, "quantity": "-0.5"}
            for text in (self.FORMULA, "@x", "+1+1", "-cmd", "'=1", "a=1")
        ]
        path = tmp_path / "out.csv"
        with path.open("w", newline="") as out:
            entry_files.write(rows, out, suffix=".csv")
        with path.open(newline="") as text:
            cells = list(csv.DictReader(text))
        assert [one["venue_ref"][0] for one in cells] == ["'"] * 5 + ["a"]
        assert {one["quantity"] for one in cells} == {"-0.5"}

    def test_is_read_as_it_was_before(self, tmp_path):
        for text in (self.FORMULA, "@x", "-cmd", "'=1", "'quoted'", "-0.5"):
            assert spreadsheets.from_cell(spreadsheets.cell(text)) == text

    def test_is_its_owners_alone(self, booked, account, tmp_path):
        path = tmp_path / "out.csv"
        path.touch(mode=0o644)
        run("export_entries", path, "--account", account.label)
        assert path.stat().st_mode & 0o777 == 0o600
