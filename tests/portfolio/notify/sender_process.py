"""Senders as processes: `python -m tests.portfolio.notify.sender_process die|die-after|send PORT`.

`die` kills itself when the message is made and not yet handed over, `die-after` when the server has accepted
it; `send` sends what is due.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import django


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    from django.conf import settings
    from django.utils import timezone

    from portfolio.notify import email, sending

    settings.EMAIL_BACKEND = email.SMTP_BACKEND
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", int(sys.argv[2])
    settings.DEFAULT_FROM_EMAIL = "Plumbline <plumbline@desk.example>"
    send = email.EmailSender.send
    if sys.argv[1] != "send":

        def die(self: Any, letter: Any) -> None:
            if sys.argv[1] == "die-after":
                send(self, letter)
            os.kill(os.getpid(), signal.SIGKILL)

        email.EmailSender.send = die
    print("ready", flush=True)  # noqa: T201  whoever started it waits for this line
    sys.stdin.readline()
    done = sending.deliver(clock=timezone.now)
    print(done.sent, flush=True)  # noqa: T201  what came of it


if __name__ == "__main__":
    main()
