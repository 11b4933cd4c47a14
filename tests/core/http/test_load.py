"""One cheap key, or one session, asks a real web process for slow work: others go on reading."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import psycopg
import pytest
from django.conf import settings
from django.db import connection

from core.security.scopes import Scope
from positions.models import Position
from tests.api_keys import issue_key
from tests.browser import server
from tests.reconciliation.stage import OTHER, USER, staged

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

# What a refusal may take: the second that slow work waits for a slot, and what a busy machine adds.
SOON = 1.0
ADDED = 4.0
REFUSED = {409, 503}


@dataclass(frozen=True)
class Answer:
    status: int
    seconds: float
    retry_after: str | None


class Web:
    """The web process, asked by one caller: by a key's header or a session's cookie."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self.host, self.headers = urlsplit(url).netloc, headers

    def ask(self, path: str, method: str = "GET") -> Answer:
        began = time.monotonic()
        client = http.client.HTTPConnection(self.host, timeout=120)
        try:
            body = "{}" if method == "POST" else None
            client.request(method, path, body, self.headers | {"Content-Type": "application/json"})
            answer = client.getresponse()
            answer.read()
            return Answer(answer.status, time.monotonic() - began, answer.getheader("Retry-After"))
        finally:
            client.close()

    def at_once(self, path: str, times: int, method: str = "GET") -> list[Answer]:
        with ThreadPoolExecutor(times) as callers:
            return list(callers.map(lambda _: self.ask(path, method), range(times)))


@contextmanager
def reading(quiet: Web):
    """Another caller's cheap reads, one after another for as long as this lasts; yields its answers."""
    answers: list[Answer] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            answers.append(quiet.ask("/api/v1/positions"))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield answers
    finally:
        done.set()
        reader.join()


@pytest.fixture
def world(trader, tmp_path):
    """A web process of the product; USER's account, whose venue answers slowly, and OTHER's."""
    with staged() as stage:
        stage.do("deposit", amount=10_000, user=OTHER)
        accounts = []
        for label, address in (("slow", USER), ("quiet", OTHER)):
            stage.trade("ETH", "buy", 1, user=address)
            account = stage.account(address=address, label=label)
            stage.reconcile(account, trigger="start")
            accounts.append(account)
        name = connection.settings_dict
        with server.running(
            database=server.database_url(name), redis=settings.REDIS_URL, log=tmp_path / "web.log"
        ) as url:
            yield stage, url, *accounts


def key_of(url, account, *scopes):
    _, text = issue_key(scopes=list(scopes), accounts=[account.pk], tier="unlimited")
    return Web(url, {"X-API-Key": text})


def no_harm(answers: list[Answer], others: list[Answer]) -> None:
    """Nothing failed; what was refused says so soon; the other caller was answered all the while."""
    statuses = Counter(one.status for one in answers)
    assert set(statuses) <= REFUSED | {200}, statuses
    for one in answers:
        if one.status in REFUSED:
            assert one.retry_after, one
            assert one.seconds < SOON + ADDED, one
    assert len(others) >= 3
    assert {one.status for one in others} == {200}
    assert max(one.seconds for one in others) < SOON + ADDED


class TestSlowWorkOfOneCaller:
    def test_leaves_everybody_else_served(self, world, client, trader):
        stage, url, slow, quiet = world
        greedy = key_of(url, slow, Scope.READ, Scope.RECONCILE)
        reader = key_of(url, quiet, Scope.READ)
        assert reader.ask("/api/v1/positions").status == 200
        position = Position.objects.get(account=slow, status="OPEN").pk
        validate = f"/api/v1/positions/{position}/validate"
        past = f"/api/v1/positions?as_of={stage.now():%Y-%m-%dT%H:%M:%SZ}"

        stage.fail("delay_reply", seconds=2, type="clearinghouseState", user=USER)
        for times in (14, 40):
            with reading(reader) as others:
                answers = greedy.at_once(validate, times, "POST")
            no_harm(answers, others)
            assert Counter(one.status for one in answers)[200] >= 1
            assert any(one.status in REFUSED for one in answers)
        stage.heal()

        with reading(reader) as others:
            answers = greedy.at_once(past, 90)
        no_harm(answers, others)

        client.force_login(trader)
        cookie = f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"
        person = Web(url, {"Cookie": cookie})
        with reading(reader) as others:
            answers = person.at_once(past, 90) + person.at_once("/reconciliation/statistics/", 40)
        no_harm(answers, others)


class TestAPoolThatIsFull:
    def test_answers_503_within_a_second_and_never_500(self, world):
        """All connections are held by a lock that somebody else has on the table of positions."""
        _, url, _, quiet = world
        reader = key_of(url, quiet, Scope.READ)
        assert reader.ask("/api/v1/positions").status == 200
        name = connection.settings_dict
        with psycopg.connect(server.database_url(name)) as holder:
            holder.execute("LOCK TABLE positions_position IN ACCESS EXCLUSIVE MODE")
            with ThreadPoolExecutor(40) as callers:
                asked = [callers.submit(reader.ask, "/api/v1/positions") for _ in range(40)]
                refused = []
                until = time.monotonic() + 60
                while len(refused) < 20 and time.monotonic() < until:
                    refused = [one.result() for one in asked if one.done()]
                    time.sleep(0.02)
                holder.rollback()
                answers = [one.result() for one in asked]
        assert len(refused) >= 20
        assert {one.status for one in refused} == {503}
        assert all(one.retry_after and one.seconds < SOON + ADDED for one in refused), refused
        assert {one.status for one in answers} <= {200, 503}
