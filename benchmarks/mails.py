"""How fast people are told: mails a second into a server on this machine, and from commit to accepted.

The server is another process that takes everything and notes when. The floor sends finished messages over one
connection of smtplib: what socket and server allow.
"""

from __future__ import annotations

import multiprocessing
import smtplib
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from email.message import EmailMessage
from multiprocessing.connection import Connection
from statistics import quantiles
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group, User
from django.db import connection, transaction
from django.utils import timezone

from config import servers
from core.security.scopes import Role
from portfolio.models import WAITING, Alert, AlertTransition, Delivery, Recipient, Subscription
from portfolio.notify import email, outbox, sending
from positions.models import Account

PEOPLE = 400
SINGLE = 60


def run(report: Callable[..., None]) -> None:
    """Figures: mails a second, with a floor; milliseconds from the commit of a drift to the server's 250."""
    told, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=_serve, args=(theirs,), daemon=True)
    server.start()
    try:
        _point_to(told.recv())
        account = Account.objects.create(label="bench", venue="bench", created_at=timezone.now())
        recipients = [_person(f"reader{n}") for n in range(PEOPLE)]
        _raise(account, "DRIFT BTC-PERP first: what a process loads once is not what a mail costs")
        sending.deliver(clock=lambda: datetime.now(UTC))
        before, rate = _floor(), _storm(account)
        floor = (before + _floor()) / 2  # other work comes and goes: on both sides of what is measured
        report("mails a second", rate, "1/s", 100, "higher", floor)
        report("the same, of the floor", rate / floor, "of 1", 0.1, "higher")
        Subscription.objects.exclude(recipient=recipients[0]).update(ended_at=timezone.now())
        waits = _singles(account, told)
        report("commit to accepted, p99", quantiles(waits, n=100)[98], "ms", 2000, "lower")
        report("commit to accepted, median", quantiles(waits, n=100)[49], "ms", 500, "lower")
    finally:
        server.kill()


class _Sink:
    """Takes every mail and says when it did."""

    def __init__(self, told: Connection) -> None:
        self.told = told

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        if b"single" in envelope.content[:2000]:
            self.told.send(time.time())
        return "250 accepted"


def _serve(told: Connection) -> None:
    from aiosmtpd.controller import Controller

    port = servers.free_port()
    Controller(_Sink(told), hostname="127.0.0.1", port=port).start()
    told.send(port)
    threading.Event().wait()


def _point_to(port: int) -> None:
    settings.EMAIL_BACKEND = email.SMTP_BACKEND
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port
    settings.DEFAULT_FROM_EMAIL = "Plumbline <plumbline@desk.example>"
    settings.PUBLIC_URL = "https://plumbline.example"


def _person(name: str) -> Recipient:
    user = User.objects.create_user(name, email=f"{name}@example.com")
    user.groups.add(Group.objects.get(name=Role.VIEWER.value))
    recipient = Recipient.objects.create(user=user)
    Subscription.objects.create(recipient=recipient, min_severity="warning", created_at=timezone.now())
    return recipient


def _raise(account: Account, title: str) -> None:
    now = timezone.now()
    with transaction.atomic():  # as the engine does: what is told belongs to the alert
        alert = Alert.objects.create(
            kind="drift", subject=uuid.uuid4().hex, account=account, severity="critical", title=title,
            summary="Book says 0.50, the venue says 0.45; 2,500.00 USD are at stake.", usd="2500",
            raised_at=now, judged_at=now,
        )  # fmt: skip
        transition = AlertTransition.objects.create(
            alert=alert, sequence=1, kind="raised", at=now, severity="critical", text=alert.summary,
            numbers={"book": "0.50", "venue": "0.45"}, usd="2500", batch=uuid.uuid4(),
        )  # fmt: skip
        outbox.queue(transition=transition, now=now)


def _storm(account: Account) -> float:
    """One drift, told to everybody: a mail each, written, kept and sent."""
    _raise(account, "DRIFT BTC-PERP storm: book 0.50, venue 0.45")
    started = time.perf_counter()
    while Delivery.objects.filter(state__in=WAITING).exists():
        sending.deliver(clock=lambda: datetime.now(UTC))
    return PEOPLE / (time.perf_counter() - started)


def _floor() -> float:
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = "floor", "a@desk.example", "b@example.com"
    message.set_content("x" * 12_000)
    started = time.perf_counter()
    with smtplib.SMTP("127.0.0.1", settings.EMAIL_PORT) as server:
        for _ in range(PEOPLE):
            server.send_message(message)
    return PEOPLE / (time.perf_counter() - started)


def _singles(account: Account, told: Connection) -> list[float]:
    """Milliseconds from each commit to the server's answer, with a sender that is woken as a worker is."""
    woken, over = threading.Event(), threading.Event()
    outbox.wake = woken.set  # no broker here: its own way takes about a millisecond

    def worker() -> None:
        while not over.is_set():
            woken.wait(1)
            woken.clear()
            sending.deliver(clock=lambda: datetime.now(UTC))
        connection.close()

    thread = threading.Thread(target=worker, daemon=True)
    thread.start()
    waits = []
    for n in range(SINGLE):
        _raise(account, f"DRIFT BTC-PERP single {n}")
        committed = time.time()
        waits.append(1000 * (told.recv() - committed) if told.poll(10) else 10_000.0)
        time.sleep(0.05)
    over.set()
    thread.join()
    return waits
