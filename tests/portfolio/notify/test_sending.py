"""Mail over a real socket: what servers answer, what breaks, and that each thing is told once."""

import re
import uuid

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from portfolio.models import Delivery, DeliveryState, Mail, Recipient
from portfolio.notify import outbox, sending
from portfolio.notify.email import EmailSender
from tests.portfolio.notify.postbox import Postbox, Server, header, html_of, text_of
from tests.portfolio.notify.stage import TITLE

pytestmark = [pytest.mark.django_db, pytest.mark.sockets]


def only():
    [row] = Delivery.objects.select_related("recipient", "mail")
    return row


class TestARaisedAlert:
    def test_is_one_mail_however_often_it_is_queued(self, stage, postbox):
        stage.person("ada")
        alert = stage.alert()
        told = stage.tell(alert)
        for _ in range(10):
            outbox.queue(transition=told, now=stage.now)
        stage.deliver()
        stage.deliver()
        assert postbox.subjects == [TITLE]

    def test_reaches_each_person_alone(self, stage, postbox):
        stage.person("ada")
        stage.person("bob")
        stage.raised()
        assert stage.deliver().sent == 2
        assert [to for to, _ in postbox.got] == [["ada@example.com"], ["bob@example.com"]]
        assert postbox.connections == 1

    def test_carries_the_headers_of_something_automatic_that_one_can_leave(self, stage, postbox):
        stage.person("ada")
        stage.raised()
        stage.deliver()
        [mail] = postbox.mails
        assert mail["Auto-Submitted"] == "auto-generated"
        assert mail["List-Id"] == "Plumbline alerts <alerts.desk.example>"
        assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        assert re.fullmatch(
            r"<https://plumbline\.example/alerts/unsubscribe/\S+/>", header(mail, "List-Unsubscribe")
        )

    def test_to_many_people_is_few_transactions_of_outcomes(self, stage, postbox):
        for number in range(60):
            stage.person(f"reader{number}")
        stage.raised()
        with CaptureQueriesContext(connection) as asked:
            assert stage.deliver().sent == 60
        outcomes = [one for one in asked if one["sql"].startswith('UPDATE "portfolio_delivery"')]
        assert len(outcomes) <= 4  # the claim, and 25 at a time
        assert len(asked) <= 45, [one["sql"][:90] for one in asked]
        assert postbox.connections == 1


class TestOneIncident:
    def test_is_one_thread_from_raised_to_recovered(self, stage, postbox):
        stage.person("ada")
        alert = stage.raised(severity="critical")
        stage.deliver()
        for kind in ("worsened", "acknowledged", "cleared"):
            stage.later(minutes=5)
            stage.tell(alert, kind, who="user:bob")
            stage.deliver()
        mails = postbox.mails
        ids = [mail["Message-ID"] for mail in mails]
        root = f"<alert.{alert.pk}@desk.example>"
        assert postbox.subjects == [TITLE, *[f"Re: {TITLE}"] * 3]
        assert len(set(ids)) == 4
        assert [mail["In-Reply-To"] for mail in mails] == [None, *ids[:3]]
        assert [mail["References"].split() for mail in mails] == [[root, *ids[:n]] for n in range(4)]
        firsts = [text_of(mail).splitlines()[0] for mail in mails]
        assert firsts == [
            "Critical",
            "Worse",
            "Acknowledged by bob",
            "Recovered after 15\N{NO-BREAK SPACE}min",
        ]

    def test_keeps_its_subject_when_the_title_is_another_by_then(self, stage, postbox):
        stage.person("ada")
        alert = stage.raised()
        stage.deliver()
        alert.title = "DRIFT BTC-PERP main: book 0.50, venue 0.10"
        alert.save()
        stage.tell(alert, "worsened")
        stage.deliver()
        assert postbox.subjects == [TITLE, f"Re: {TITLE}"]

    def test_that_nobody_was_told_of_ends_without_a_word(self, stage, postbox):
        stage.person("ada", rule=False)
        alert = stage.raised()
        stage.rule(Recipient.objects.get())
        stage.tell(alert, "cleared")
        assert stage.deliver().sent == 0


class TestAServerThatAnswers4xx:
    def test_gets_the_same_message_later(self, stage, postbox):
        postbox.answers = ["451 try again later"]
        stage.person("ada")
        stage.raised()
        assert stage.deliver().postponed == 1
        first = only()
        assert (first.state, first.attempts, first.last_error) == ("queued", 1, "451 try again later")
        assert stage.deliver().sent == 0
        stage.later(seconds=6)
        assert stage.deliver().sent == 1
        assert postbox.mails[0]["Message-ID"] == first.message_id

    def test_is_asked_less_and_less_often_and_given_up_after_a_day(self, stage, postbox):
        stage.person("ada")
        postbox.refuses["ada@example.com"] = "450 mailbox busy"
        stage.raised()
        waits = []
        while only().state == DeliveryState.QUEUED:
            stage.deliver()
            row = only()
            if row.state == DeliveryState.QUEUED:
                waits.append((row.next_at - stage.now).total_seconds())
                stage.now = row.next_at
        assert waits[:8] == [5, 10, 20, 40, 80, 160, 300, 300]
        assert only().why == "not accepted for a day: 450 mailbox busy"
        assert Recipient.objects.get().refused_at is None


class TestAServerThatAnswers5xx:
    def test_ends_the_delivery_to_that_address_only(self, stage, postbox):
        postbox.refuses["ada@example.com"] = "550 no such user"
        stage.person("ada")
        stage.person("bob")
        stage.raised()
        done = stage.deliver()
        assert (done.sent, done.dead) == (1, 1)
        assert stage.fates() == [("ada", "dead"), ("bob", "sent")]
        ada = Recipient.objects.get(user__username="ada")
        assert (ada.is_refused, ada.refused_why) == (True, "550 no such user")

    def test_is_asked_again_by_the_next_alert_whose_success_takes_the_mark_away(self, stage, postbox):
        postbox.refuses["ada@example.com"] = "550 no such user"
        stage.person("ada")
        stage.raised()
        stage.deliver()
        postbox.refuses.clear()
        stage.raised(subject="another")
        stage.deliver()
        assert stage.fates() == [("ada", "dead"), ("ada", "sent")]
        assert Recipient.objects.get().refused_at is None

    def test_never_marks_an_address_when_the_sender_is_refused(self, stage, to_smtp):
        class NoSender(Postbox):
            async def handle_MAIL(self, server, session, envelope, address, options):  # noqa: N802
                return "550 sender not allowed"

        server = Server(NoSender())
        server.start()
        to_smtp(server.port)
        stage.person("ada")
        stage.raised()
        stage.deliver()
        server.stop()
        assert only().state == DeliveryState.QUEUED
        assert "see EMAIL_FROM" in only().last_error
        assert not Recipient.objects.get().is_refused


class TestAConnectionThatBreaksAfterData:
    def test_is_followed_by_the_same_bytes_under_the_same_id(self, stage, postbox):
        postbox.answers = ["drop"]
        stage.person("ada")
        stage.raised()
        assert stage.deliver().postponed == 1
        stage.later(seconds=6)
        assert stage.deliver().sent == 1
        first, second = postbox.mails
        assert first["Message-ID"] == second["Message-ID"]
        assert text_of(first) == text_of(second)
        assert html_of(first) == html_of(second)

    def test_keeps_the_order_when_the_alert_is_over_meanwhile(self, stage, postbox):
        postbox.answers = ["drop"]
        stage.person("ada")
        alert = stage.raised()
        stage.deliver()
        stage.later(seconds=1)
        stage.tell(alert, "cleared")
        stage.deliver()
        assert postbox.subjects == [TITLE, TITLE, f"Re: {TITLE}"]

    def test_lets_nothing_newer_pass_while_it_is_not_accepted(self, stage, postbox):
        postbox.answers = ["drop", "451 not now"]
        stage.person("ada")
        alert = stage.raised()
        stage.deliver()
        stage.later(seconds=1)
        stage.tell(alert, "cleared")
        stage.deliver()
        assert postbox.subjects == [TITLE]
        stage.later(seconds=30)
        stage.deliver()
        assert postbox.subjects == [TITLE, TITLE, f"Re: {TITLE}"]


class TestAServerThatIsDown:
    def test_gets_how_things_stand_once_it_is_back_after_an_hour(self, stage, to_smtp):
        postbox = Postbox()
        server = Server(postbox)
        server.start()
        port = server.port
        server.stop()
        to_smtp(port)
        stage.person("ada")
        alert = stage.raised()
        for _ in range(60):
            stage.later(minutes=1)
            stage.deliver()
        assert "nothing listens there" in only().last_error
        stage.tell(alert, "cleared")
        stage.deliver()
        back = Server(postbox)
        back.port = port
        back._trigger_server = lambda: super(Server, back)._trigger_server()
        back.start()
        stage.later(minutes=6)
        stage.deliver()
        back.stop()
        [mail] = postbox.mails
        assert header(mail, "Subject") == TITLE
        assert text_of(mail).startswith("Recovered after 1\N{NO-BREAK SPACE}h")
        assert stage.fates() == [("ada", "skipped"), ("ada", "sent")]

    def test_says_that_starttls_is_refused_and_never_sends_in_the_clear(self, stage, postbox, settings):
        settings.EMAIL_USE_TLS = True
        stage.person("ada")
        stage.raised()
        stage.deliver()
        assert postbox.got == []
        assert "the server offers no STARTTLS" in only().last_error
        assert not Recipient.objects.get().is_refused

    def test_that_is_too_slow_is_tried_again_with_the_same_message(self, stage, postbox, settings):
        settings.EMAIL_TIMEOUT = 1
        postbox.slow = 1.6
        stage.person("ada")
        stage.raised()
        stage.deliver()
        assert only().state == DeliveryState.QUEUED
        assert "no answer within 1 s" in only().last_error
        postbox.slow = 0
        stage.later(seconds=10)
        stage.deliver()
        assert len({mail["Message-ID"] for mail in postbox.mails}) == 1
        assert only().state == DeliveryState.SENT


class TestAWorkerThatDies:
    def test_between_claim_and_send_leaves_it_to_the_next_one_once_its_lease_is_over(self, stage, postbox):
        stage.person("ada")
        stage.raised()
        assert len(sending._claim(sending._Pass(lambda: stage.now))) == 1
        assert stage.deliver().sent == 0
        stage.later(minutes=4)
        assert stage.deliver().sent == 1
        assert len(postbox.mails) == 1

    def test_after_it_made_the_mail_leaves_that_mail(self, stage, postbox, monkeypatch):
        stage.person("ada")
        stage.raised()
        work = sending._Pass(lambda: stage.now)
        [row] = sending._claim(work)
        [load] = sending._loads(work, [row])
        stage.later(minutes=4)
        stage.deliver()
        assert [mail["Message-ID"] for mail in postbox.mails] == [load.mail.message_id]
        assert Mail.objects.count() == 1

    def test_after_the_server_took_a_few_sends_those_again_under_their_ids(self, stage, postbox, monkeypatch):
        for name in ("ada", "bob"):
            stage.person(name)
        stage.raised()
        with monkeypatch.context() as killed:
            killed.setattr(sending, "_settle", lambda work: None)
            killed.setattr(sending, "_ours", lambda work, rows: [])
            stage.deliver()
        assert stage.fates() == [("ada", "claimed"), ("bob", "claimed")]
        first = [mail["Message-ID"] for mail in postbox.mails]
        stage.later(minutes=4)
        assert stage.deliver().sent == 2
        assert [mail["Message-ID"] for mail in postbox.mails] == first * 2
        assert stage.fates() == [("ada", "sent"), ("bob", "sent")]

    def test_and_comes_back_too_late_sends_nothing(self, stage, postbox):
        stage.person("ada")
        stage.raised()
        late = sending._Pass(lambda: stage.now)
        loads = sending._loads(late, sending._claim(late))
        stage.later(minutes=4)
        stage.deliver()
        with EmailSender() as sender:
            sending._send(late, sender, loads[0])
        assert len(postbox.mails) == 1


class TestAStorm:
    def test_of_one_evaluation_is_one_mail_that_lists_all(self, stage, postbox):
        stage.person("ada")
        batch = uuid.uuid4()
        alerts = [stage.alert(f"s{n}", title=f"DRIFT {n} main") for n in range(4)]
        for alert in alerts:
            stage.tell(alert, batch=batch)
        stage.deliver()
        [mail] = postbox.mails
        assert header(mail, "Subject") == "DRIFT 0 main · and 3 more"
        assert all(f"DRIFT {n} main" in text_of(mail) for n in range(4))
        assert {row.state for row in Delivery.objects.all()} == {"sent"}

    def test_goes_on_in_its_thread(self, stage, postbox):
        stage.person("ada")
        batch = uuid.uuid4()
        alerts = [stage.alert(f"s{n}", title=f"DRIFT {n} main") for n in range(2)]
        for alert in alerts:
            stage.tell(alert, batch=batch)
        stage.deliver()
        stage.tell(alerts[1], "cleared")
        stage.deliver()
        first, second = postbox.mails
        assert postbox.subjects[1] == f"Re: {postbox.subjects[0]}"
        assert second["References"] == second["In-Reply-To"] == first["Message-ID"]

    def test_of_more_than_five_at_once_is_one_mail_too(self, stage, postbox):
        stage.person("ada")
        for n in range(6):
            stage.raised(subject=f"s{n}", title=f"DRIFT {n} main")
        stage.deliver()
        assert postbox.subjects == ["DRIFT 0 main · and 5 more"]

    def test_is_not_made_of_five(self, stage, postbox):
        stage.person("ada")
        for n in range(5):
            stage.raised(subject=f"s{n}", title=f"DRIFT {n} main")
        stage.deliver()
        assert len(postbox.mails) == 5


class TestNames:
    def test_of_venues_and_people_cannot_add_headers_or_turn_lines_around(self, stage, postbox, account):
        account.label = "main\r\nBcc: thief@example.com"
        account.save()
        stage.person("ada")
        stage.raised(
            title="DRIFT [BTC]\r\nBcc: thief@example.com\x07\u202egnp.exe" + "x" * 130,
            summary="\r\n.\r\nMAIL FROM:<evil@example.com>",
        )
        stage.deliver()
        [(to, mail)] = postbox.got
        assert to == ["ada@example.com"]
        assert mail["Bcc"] is None
        subject = header(mail, "Subject")
        assert subject.startswith("DRIFT (BTC) Bcc: thief@example.com gnp.exexx")
        assert len(subject) <= 150

    def test_in_html_are_text(self, stage, postbox, account):
        account.label = "<script>alert(1)</script>"
        account.save()
        stage.person("ada")
        stage.raised(title="DRIFT <img src=x> main")
        stage.deliver()
        assert "<script>" not in html_of(postbox.mails[0])
        assert "<img" not in html_of(postbox.mails[0])
