"""The daily digest, the dead man's switch, messengers, settings and their checks."""

import json
import threading
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal as D
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import SystemCheckError

from config.email_url import parsed
from portfolio.models import AccountDay, AlertEvaluation, Delivery, Recipient, Restatement, Subscription
from portfolio.notify import deadman, digest, messenger, state
from portfolio.notify.email import SMTP_BACKEND
from positions.models import AccountHead
from reconciliation.models import Run
from reconciliation.proof_times import proof_times
from tests.portfolio.notify.postbox import html_of, text_of

pytestmark = pytest.mark.django_db


def run_at(account, at, **fields):
    given = {"complete": True, "as_of": at, "finished_at": at} | fields
    return Run.objects.create(account=account, started_at=at, **given)


class TestTheDailyDigest:
    @pytest.fixture
    def day(self, stage, account):
        """The 14th of January in Zurich, from 13 January 23:00 UTC."""
        start = datetime(2026, 1, 13, 23, tzinfo=UTC)
        account.created_at = start - timedelta(days=9)
        account.save()
        AccountDay.objects.create(
            account=account, day=date(2026, 1, 14), starts_at=start + timedelta(hours=1),
            ends_at=start + timedelta(hours=25), as_of=start + timedelta(hours=25), start_equity=D(1150),
            end_equity=D("1250.5"), price=D(110), fees=D(-10), flows=D("0.5"), unexplained=D(0),
        )  # fmt: skip
        AccountHead.objects.update_or_create(
            account=account, defaults={"entry_count": 1234, "digest": bytes(32)}
        )
        stage.now = start + timedelta(hours=2)
        over = stage.raised(subject="over", title="FEED SILENT main")
        stage.later(minutes=7)
        stage.tell(over, "cleared")
        stage.raised(subject="open", title="DRIFT BTC-PERP main", severity="critical")
        for minute in range(0, 12 * 60, 3):
            run_at(account, start + timedelta(minutes=minute))
        return start

    def test_tells_the_day_in_the_readers_zone(self, stage, day, postbox):
        stage.person("ada", zone="Europe/Zurich", digest_at=time(7))
        stage.now = datetime(2026, 1, 15, 5, 59, tzinfo=UTC)
        assert digest.queue_due(now=stage.now) == 0
        stage.now = datetime(2026, 1, 15, 6, 0, tzinfo=UTC)
        assert digest.queue_due(now=stage.now) == 1
        assert digest.queue_due(now=stage.now) == 0
        stage.deliver()
        [mail] = postbox.mails
        text = " ".join(text_of(mail).replace("\xa0", " ").split())
        assert text.startswith("Wednesday, 14 January 2026: 2 raised, 1 recovered, 1 open now")
        assert "Equity at the end 1,250.50 USD" in text
        assert "(the desk's day, until 01:00:00 CET)" in text
        assert "P&L of the day +100.00 USD (realized and unrealized, with fees and funding)" in text
        assert "FEED SILENT main (14 Jan 2026 02:00:00 CET, took 7 min)" in text
        assert "main 50.0 % of the day" in text
        assert "(1,234 entries)" in text
        assert "0" * 64 in text

    @pytest.mark.parametrize(
        ("with_amounts", "told"),
        [
            (True, "+10.00 USD → −2.50 USD (a fill of that day came late, by anna)"),
            (False, "hidden, as you asked → hidden, as you asked"),
        ],
    )
    def test_has_the_closed_days_that_were_corrected(self, stage, account, day, postbox, with_amounts, told):
        for at in (day + timedelta(hours=3), day - timedelta(hours=1)):
            Restatement.objects.create(
                account=account, day=day.date() if at > day else date(2026, 1, 2), old=D(10), new=D("-2.5"),
                why="a fill of that day came late", who="user:anna", at=at,
            )  # fmt: skip
        stage.person("ada", zone="Europe/Zurich", digest_at=time(7), with_amounts=with_amounts)
        stage.now = datetime(2026, 1, 15, 6, 0, tzinfo=UTC)
        digest.queue_due(now=stage.now)
        stage.deliver()
        text = " ".join(text_of(postbox.mails[0]).replace("\xa0", " ").split())
        assert f"main, 13 Jan 2026 {told}" in text
        assert "2 Jan 2026" not in text

    def test_says_what_it_does_not_know(self, stage, account, day, postbox):
        AccountDay.objects.all().delete()
        stage.person("ada", digest_at=time(0))
        stage.now = datetime(2026, 1, 15, 12, tzinfo=UTC)
        digest.queue_due(now=stage.now)
        stage.deliver()
        text = text_of(postbox.mails[0])
        assert "unknown (without 1 account whose figure is unknown)" in " ".join(text.split())

    def test_has_no_amounts_for_who_wants_none(self, stage, day, postbox):
        stage.person("ada", zone="Europe/Zurich", digest_at=time(7), with_amounts=False)
        stage.now = datetime(2026, 1, 15, 6, 0, tzinfo=UTC)
        digest.queue_due(now=stage.now)
        stage.deliver()
        assert "1,250" not in text_of(postbox.mails[0]) + html_of(postbox.mails[0])


class TestTheShareThatWasProven:
    def test_counts_each_moment_once_and_nothing_while_there_was_a_drift(self, stage, account, now):
        account.created_at = now
        valid = timedelta(minutes=3)
        for minute in (0, 1, 2, 30):
            run_at(account, now + timedelta(minutes=minute))
        end = now + timedelta(minutes=100)
        times = proof_times(accounts=[account], start=now, end=end, valid=valid)[account.pk]
        assert times.share == pytest.approx(8)

    def test_of_an_account_that_was_not_there_is_not_known(self, account, now):
        early = now - timedelta(days=3)
        times = proof_times(
            accounts=[account], start=early, end=early + timedelta(days=1), valid=timedelta(minutes=3)
        )
        assert times[account.pk].share is None


class Hook(BaseHTTPRequestHandler):
    """Takes whatever is posted; `status` is what it answers."""

    got: list[tuple[str, bytes]] = []
    status = 200

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        type(self).got.append((self.path, body))
        self.send_response(type(self).status)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def hook():
    class Ours(Hook):
        got = []

    server = HTTPServer(("127.0.0.1", 0), Ours)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    Ours.address = f"127.0.0.1:{server.server_port}"
    yield Ours
    server.shutdown()
    server.server_close()


class TestTheDeadMansSwitch:
    @pytest.fixture
    def going_on(self, stage, account, hook, settings):
        settings.DEADMAN_URL = f"http://{hook.address}/ping"

        def go_on(*but):
            stage.later(minutes=1)
            if "evaluation" not in but:
                AlertEvaluation.objects.update_or_create(pk=1, defaults={"at": stage.now})
            if "delivery" not in but:
                deadman.note_delivery(now=stage.now)
            if "reconciliation" not in but:
                run_at(account, stage.now)
            return deadman.ping(now=stage.now)

        return go_on

    def test_is_pinged_when_all_three_went_on(self, going_on, hook):
        assert going_on() == "this is the first look"
        assert going_on() == ""
        assert going_on() == ""
        assert [path for path, _ in hook.got] == ["/ping", "/ping"]

    @pytest.mark.parametrize("part", ["evaluation", "delivery", "reconciliation"])
    def test_is_not_when_one_stands_still(self, going_on, hook, part):
        going_on()
        assert going_on(part) == f"no progress of {part}"
        assert hook.got == []

    def test_is_not_when_runs_read_nothing(self, going_on, stage, account, hook):
        going_on()
        run_at(account, stage.now + timedelta(seconds=5), problem="no answer", complete=False, as_of=None)
        assert going_on("reconciliation") == "no progress of reconciliation"

    def test_is_not_while_a_mail_waits_for_too_long(self, going_on, stage, hook):
        stage.person("ada")
        going_on()
        stage.raised()
        stage.later(minutes=6)
        assert going_on() == "no progress of delivery"

    def test_is_tried_again_where_it_did_not_answer(self, going_on, hook):
        going_on()
        hook.status = 500
        assert going_on() == "it does not answer"
        hook.status = 200
        assert going_on("evaluation", "delivery", "reconciliation") == ""


class TestAMessenger:
    @pytest.fixture
    def rule(self, stage, hook, settings):
        settings.MESSENGERS = True
        url = messenger.checked(f"json://{hook.address}/secret-path-1234")
        return stage.rule(
            stage.person("nora", rule=False), channel="messenger", target=messenger.encrypted(url),
            target_label=messenger.label_of(url),
        )  # fmt: skip

    def test_gets_subject_and_text(self, stage, rule, hook):
        stage.raised()
        assert stage.deliver().sent == 1
        [(path, body)] = hook.got
        told = json.loads(body)
        assert path == "/secret-path-1234"
        assert told["title"] == "DRIFT BTC-PERP main: book 0.50, venue 0.45 · case 412"
        assert "Book says 0.50" in told["message"]

    def test_that_fails_is_tried_again(self, stage, rule, hook):
        hook.status = 503
        stage.raised()
        assert stage.deliver().postponed == 1
        hook.status = 200
        stage.later(seconds=6)
        assert stage.deliver().sent == 1

    def test_keeps_its_address_secret(self, stage, rule, hook, as_admin):
        stage.raised()
        stage.deliver()
        kept = f"{Subscription.objects.values()[0]}{Delivery.objects.values()[0]}"
        assert "secret-path" not in kept
        assert "secret-path" not in as_admin.get("/alerts/mails/").content.decode()

    def test_waits_while_messengers_are_off(self, stage, rule, hook, settings):
        settings.MESSENGERS = False
        stage.raised()
        assert stage.deliver().postponed == 1
        assert "MESSENGERS=on" in Delivery.objects.get().last_error
        assert hook.got == []

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "nothing",
            "unknown://x",
            "mailto://a:b@example.com",
            "syslog://",
            "json://",
            "json://x y",
            "j" * 600,
        ],
    )
    def test_with_an_address_that_makes_no_sense_is_refused(self, settings, url):
        settings.MESSENGERS = True
        with pytest.raises(messenger.AddressRefused):
            messenger.checked(url)


class TestEmailUrl:
    @pytest.mark.parametrize(
        ("url", "host", "port", "starttls", "tls"),
        [
            ("smtp://mail.example", "mail.example", 587, True, False),
            ("smtp://u:p%40ss@mail.example:2525", "mail.example", 2525, True, False),
            ("smtp://mail.example?tls=none", "mail.example", 25, False, False),
            ("smtp://localhost", "localhost", 25, False, False),
            ("smtps://mail.example", "mail.example", 465, False, True),
        ],
    )
    def test_says_how_a_server_is_reached(self, url, host, port, starttls, tls):
        found = parsed(url)
        assert (found["EMAIL_BACKEND"], found["EMAIL_HOST"], found["EMAIL_PORT"]) == (
            SMTP_BACKEND,
            host,
            port,
        )
        assert (found["EMAIL_USE_TLS"], found["EMAIL_USE_SSL"]) == (starttls, tls)

    @pytest.mark.parametrize(
        "url",
        ["mail.example", "http://mail.example", "smtp://", "smtp://h:x", "smtp://h?tls=maybe", "smtps://h?tls=none",
         "smtp://user:hunter22@h/path"],
    )  # fmt: skip
    def test_that_is_wrong_stops_the_start_without_the_password(self, url):
        with pytest.raises(ImproperlyConfigured, match="EMAIL_URL") as raised:
            parsed(url)
        assert "hunter22" not in str(raised.value)


class TestTheSystemCheck:
    @pytest.mark.parametrize(
        ("wrong", "said"),
        [
            ({"EMAIL_HOST_USER": "ada"}, "a user and no password"),
            (
                {"EMAIL_HOST": "mail.example", "EMAIL_HOST_USER": "a", "EMAIL_HOST_PASSWORD": "b"},
                "without TLS",
            ),
            ({"DEFAULT_FROM_EMAIL": "Plumbline <plumbline@localhost>"}, "EMAIL_FROM is not set"),
            ({"DEFAULT_FROM_EMAIL": "plumbline"}, "is no address"),
            ({"PUBLIC_URL": "http://127.0.0.1:8000"}, "the reader's own machine"),
        ],
    )
    def test_names_the_setting_that_is_wrong(self, to_smtp, wrong, said):
        to_smtp(25, **wrong)
        with pytest.raises(SystemCheckError, match=said):
            call_command("check")

    def test_is_content_with_settings_that_are_right(self, to_smtp):
        to_smtp(25)
        assert state.settings_problems() == []

    def test_has_a_health_line_where_nobody_is_e_mailed(self, settings):
        settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
        settings.EMAIL_FILE_PATH = "/data/mails"
        assert "e-mail goes to the folder /data/mails and to nobody's mailbox" in state.line(
            datetime(2026, 1, 15, tzinfo=UTC)
        )


class TestAReaderWithoutAmounts:
    def test_reads_no_amount_anywhere(self, stage, postbox):
        recipient = stage.person("ada", with_amounts=False)
        alert = stage.raised()
        stage.deliver()
        stage.tell(alert, "cleared")
        stage.deliver()
        for mail in postbox.mails:
            everything = f"{mail['Subject']}{text_of(mail)}{html_of(mail)}"
            for amount in ("0.50", "0.45", "2,500"):
                assert amount not in everything
        assert postbox.subjects == ["DRIFT main", "Re: DRIFT main"]
        assert Recipient.objects.get() == recipient
