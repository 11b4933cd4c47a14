"""Senders as real processes: one is killed with a message in its hands, two race for the same ones."""

import os
import signal
import subprocess
import sys
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from portfolio.models import Delivery, Mail
from tests.portfolio.notify.postbox import text_of
from tests.portfolio.notify.stage import TITLE

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.processes, pytest.mark.sockets]

SECONDS = 120


class Sender:
    """One process that sends when it is told to."""

    def __init__(self, act, port):
        told = connection.settings_dict
        url = f"postgres://{told['USER']}:{told['PASSWORD']}@{told['HOST']}:{told['PORT']}/{told['NAME']}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.portfolio.notify.sender_process", act, str(port)],
            env=os.environ | {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "config.settings"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        ready = self.process.stdout.readline().strip()
        assert ready == "ready", self.process.communicate(timeout=SECONDS)[1][-2000:]

    def go(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def ends(self):
        out, _ = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, out.strip()


@pytest.fixture
def port(settings, postbox):
    return settings.EMAIL_PORT


@pytest.fixture
def at_present(stage):
    stage.now = timezone.now() - timedelta(seconds=1)
    return stage


class TestAWorkerThatIsKilledBetweenClaimAndSend:
    def test_loses_nothing_and_doubles_nothing(self, at_present, postbox, port):
        at_present.person("ada")
        at_present.raised()
        victim = Sender("die", port)
        victim.go()
        assert victim.ends()[0] == -signal.SIGKILL
        row = Delivery.objects.get()
        assert (row.state, row.attempts) == ("claimed", 1)
        made = Mail.objects.get()
        at_present.now = timezone.now()
        assert at_present.deliver().sent == 0
        at_present.later(minutes=4)
        assert at_present.deliver().sent == 1
        assert [mail["Message-ID"] for mail in postbox.mails] == [made.message_id]


class TestAWorkerThatIsKilledAfterTheServerAccepted:
    def test_lets_the_next_one_send_the_same_message_under_the_same_id(self, at_present, postbox, port):
        at_present.person("ada")
        at_present.raised()
        victim = Sender("die-after", port)
        victim.go()
        assert victim.ends()[0] == -signal.SIGKILL
        at_present.now = timezone.now()
        assert at_present.deliver().sent == 0
        at_present.later(minutes=4)
        assert at_present.deliver().sent == 1
        first, second = postbox.mails
        assert first["Message-ID"] == second["Message-ID"]
        assert text_of(first) == text_of(second)


class TestTwoWorkers:
    def test_that_race_send_each_mail_once(self, at_present, postbox, port):
        for n in range(30):
            at_present.person(f"reader{n}")
        at_present.raised()
        workers = [Sender("send", port) for _ in range(2)]
        for worker in workers:
            worker.go()
        sent = [int(out) for _, out in (worker.ends() for worker in workers)]
        assert sum(sent) == 30
        assert len(postbox.mails) == len({mail["Message-ID"] for mail in postbox.mails}) == 30
        assert postbox.subjects == [TITLE] * 30
