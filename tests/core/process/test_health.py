import json
import threading
import time
from datetime import timedelta

import pytest
import redis
from celery import signals
from django.db import OperationalError
from django.utils import timezone

from config.celery import app
from core import tasks
from core.process import health

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _nothing_checked_yet(monkeypatch):
    monkeypatch.setattr(health, "_last", health._LastCheck())


class TestLive:
    def test_answers_without_any_service(self, client, settings):
        settings.REDIS_URL = "redis://127.0.0.1:1/0"
        answer = client.get("/health/live")
        assert (answer.status_code, answer.content) == (200, b"ok\n")


class TestReady:
    def test_is_ok_once_the_worker_has_answered(self, client):
        tasks.heartbeat()
        answer = client.get("/health/ready")
        assert (answer.status_code, answer.json()) == (200, {"status": "ok", "failing": []})

    def test_names_a_worker_that_never_came(self, client):
        answer = client.get("/health/ready")
        assert answer.status_code == 503
        assert answer.json()["failing"] == ["worker"]

    def test_names_a_worker_that_went_silent(self, client):
        health.record_worker_heartbeat(now=timezone.now() - timedelta(seconds=20))
        assert client.get("/health/ready").json()["failing"] == ["worker"]

    def test_names_redis_without_its_password(self, client, monkeypatch):
        gone = redis.Redis(host="127.0.0.1", port=1, password="hunter2", socket_connect_timeout=1)
        monkeypatch.setattr(health, "client", lambda: gone)
        answer = client.get("/health")
        assert answer.status_code == 503
        assert answer.json()["failing"] == ["redis", "worker"]
        assert "hunter2" not in answer.content.decode()

    def test_names_the_database(self, as_viewer, monkeypatch):
        def refuse(now):
            raise OperationalError("connection to server at 10.0.0.1 failed")

        monkeypatch.setitem(health.PARTS, "database", refuse)
        body = as_viewer.get("/health").json()
        assert "database" in body["failing"]
        assert body["parts"]["database"]["detail"] == "cannot be reached (OperationalError)"

    def test_names_missing_migrations(self, as_viewer, monkeypatch):
        monkeypatch.setattr(health.MigrationExecutor, "migration_plan", lambda *_: [("one", False)])
        body = as_viewer.get("/health").json()
        assert "bin/manage migrate" in body["parts"]["migrations"]["detail"]

    def test_answers_in_time_when_a_part_is_frozen(self, client, monkeypatch):
        frozen = threading.Event()
        monkeypatch.setitem(health.PARTS, "database", lambda now: str(frozen.wait(20)))
        started = time.monotonic()
        answer = client.get("/health/ready")
        frozen.set()
        assert answer.status_code == 503
        assert "database" in answer.json()["failing"]
        assert time.monotonic() - started < 5

    def test_answers_probes_that_come_by_address(self, client):
        tasks.heartbeat()
        for probe in ("/health/live", "/health/ready"):
            assert client.get(probe, headers={"Host": "10.0.0.5:8046"}).status_code == 200
        assert client.get("/login/", headers={"Host": "10.0.0.5:8046"}).status_code == 400

    def test_tells_strangers_what_fails_and_no_more(self, client, django_user_model):
        assert set(client.get("/health").json()) == {"status", "failing"}
        client.force_login(django_user_model.objects.create_user("norole"))
        assert set(client.get("/health").json()) == {"status", "failing"}

    def test_is_checked_once_a_second_however_often_it_is_asked(self, client, monkeypatch):
        asked = []
        monkeypatch.setitem(health.PARTS, "database", lambda now: asked.append(now) or "")
        for _ in range(5):
            client.get("/health")
            client.get("/health/ready")
        assert len(asked) == 1

    def test_refuses_other_methods(self, client):
        assert client.post("/health").status_code == 405


class TestBeat:
    def test_sends_the_first_heartbeat_as_it_starts(self, client):
        queue = redis.Redis.from_url(app.conf.broker_url)
        queue.delete("celery")
        signals.beat_init.send(sender=None)
        sent = {json.loads(one)["headers"]["task"] for one in queue.lrange("celery", 0, -1)}
        queue.delete("celery")
        assert sent == {
            tasks.heartbeat.name,
            "portfolio.tasks.keep_up_snapshots",
            "portfolio.tasks.refresh_portfolio",
        }
