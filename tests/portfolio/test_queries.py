"""How many queries each page and each GET of the API needs: queries.baseline.json, whatever it shows."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from config.api import api
from portfolio import pipeline
from portfolio.models import Alert, Delivery, Mail, Recipient, Subscription
from portfolio.snapshots import taking
from positions.models import Position
from reconciliation.models import Case, DifferenceRow, Pause, Run, Verdict
from tests.portfolio.market import BTC, ETH, SPOT, Market

pytestmark = pytest.mark.django_db
FILE = Path(__file__).parent / "queries.baseline.json"
BASELINE: dict[str, Any] = json.loads(FILE.read_text())

NOT_READ_FROM_THE_BOOK = {
    "health", "health-live", "health-ready", "api-docs", "login", "logout", "proof-legs", "confirm",
    "sessions", "alert-unsubscribe", "account-connect", "demo-faults",
}  # fmt: skip
"""Pages that show nothing of the book; so do those for passwords and those that only take a POST."""


def add_account(label: str) -> None:
    """Add an account with two open positions, an ended one, a run, verdicts, a case and a snapshot."""
    now = timezone.now()
    market = Market(now=now, label=label)
    market.fill("buy", "1", "59000", now=now - timedelta(hours=2))
    market.fill("sell", "1", "60000", now=now - timedelta(hours=1))
    market.fill("buy", "2", "60000", now=now)
    market.fill("sell", "10", "3000", instrument=ETH, now=now)
    for symbol, price in ((BTC, "61000"), (ETH, "3100"), (SPOT, "60900")):
        market.mark(symbol, price, now=now)
    market.state(BTC, now=now, leverage="3", liquidation_price="45000")
    run = Run.objects.create(
        account=market.account, started_at=now, finished_at=now, as_of=now, complete=True
    )
    where = {"account": market.account, "instrument_id": market.instruments[BTC], "leg": "net"}
    suspected = [{"kind": "quantity", "book": "2", "venue": "1", "drift": True}]
    Verdict.objects.create(**where, status="DRIFT", as_of=now, suspected=suspected, run=run, changed_at=now)
    Case.objects.create(
        **where, family="size", run=run, differences=suspected, opened_at=now, changed_at=now,
        diagnosis=[{"cause": "unknown", "score": "1", "text": "Nothing explains it.", "evidence": []}],
    )  # fmt: skip
    DifferenceRow.objects.create(
        **where, family="size", kind="quantity", book="2", venue="1", amount="1", reports=2,
        first_as_of=now, first_at=now, confirmed_at=now, first_run=run, last_run=run,
    )  # fmt: skip
    Pause.objects.create(
        account=market.account, started_at=now - timedelta(hours=2), until=now - timedelta(hours=1),
        reason="maintenance", who="ada",
    )  # fmt: skip


def add_mail(user: User) -> Mail:
    """Let a person hear everything, and have one mail."""
    now = timezone.now()
    recipient = Recipient.objects.create(user=user, address="vera@example.com")
    Subscription.objects.create(recipient=recipient, min_severity="info", created_at=now)
    mail = Mail.objects.create(
        message_id="<a@x>", root="<a@x>", recipient=recipient, channel="email", subject="A",
        thread_subject="A", text="A", html="<p>A</p>", made_at=now,
    )  # fmt: skip
    Delivery.objects.create(
        purpose="test", recipient=recipient, channel="email", message_id="<a@x>", mail=mail, state="sent",
        queued_at=now, next_at=now, sent_at=now,
    )  # fmt: skip
    return mail


@pytest.fixture
def scene(viewer: User) -> dict[str, str]:
    """One account; returns the parameters of paths."""
    mail = add_mail(viewer)
    add_account("main")
    refresh()
    position = Position.objects.filter(closed_at__isnull=True).order_by("pk")[0]
    return {
        "ref": str(position.pk),
        "position": str(position.pk),
        "position-chart": str(position.pk),
        "position-correct": str(position.pk),
        "position-panel": str(position.pk),
        "account": str(position.account_id),
        "proof-run": str(Run.objects.get().pk),
        "proof-case": str(Case.objects.get().pk),
        "alert": str(Alert.objects.filter(kind="drift").get().pk),
        "alert-mail": str(mail.pk),
        "alert-mail-frame": str(mail.pk),
    }


def refresh() -> None:
    """Do what the beat does."""
    taking.take(now=timezone.now())
    pipeline.client().delete(pipeline.DUE)
    pipeline.refresh(timezone.now())


def count(read: Callable[[], Any]) -> int:
    """Return how many queries a read needs that was made before, just after a refresh."""
    assert read().status_code == 200
    refresh()
    with CaptureQueriesContext(connection) as captured:
        read()
    return len([one for one in captured.captured_queries if "SAVEPOINT" not in one["sql"]])


def pages() -> dict[str, str]:
    """Return the path of each page that shows something of the book, by the name of its URL."""
    found: dict[str, str] = {}

    def walk(patterns: list[URLPattern | URLResolver], before: str = "/") -> None:
        for one in patterns:
            path = before + str(one.pattern)
            if isinstance(one, URLResolver):
                if not path.startswith(("/api/", "/admin/")):
                    walk(one.url_patterns, path)
            elif one.name and not one.name.startswith("password") and one.name not in NOT_READ_FROM_THE_BOOK:
                found[one.name] = path

    walk(get_resolver().url_patterns)
    return {name: path for name, path in found.items() if name not in ONLY_POSTED}


FOR_TRADERS = {"position-correct"}
ONLY_POSTED = {
    "proof-sync", "proof-pause", "proof-backfill", "proof-confirm", "proof-undo", "proof-acknowledge",
    "proof-comment", "proof-assign", "view-save", "view-delete", "position-take-back", "alert-acknowledge",
    "alert-mute", "alert-mute-end", "alert-mail-retry", "alert-subscription",
}  # fmt: skip


def calls() -> list[str]:
    """Return the path of each GET of the API."""
    paths: dict[str, Any] = api.get_openapi_schema()["paths"]
    return [path for path, methods in paths.items() if "get" in methods]


class TestTheNumberOfQueries:
    @pytest.mark.parametrize("name", sorted(BASELINE["pages"]))
    def test_of_a_page_is_that_of_the_baseline_for_any_number_of_accounts(
        self, scene, as_viewer, as_trader, name
    ):
        path = pages()[name].replace("<int:pk>", scene.get(name, ""))
        browser = as_trader if name in FOR_TRADERS else as_viewer
        self.check(lambda: browser.get(path), BASELINE["pages"][name])

    @pytest.mark.parametrize("path", sorted(BASELINE["calls"]))
    def test_of_a_call_is_that_of_the_baseline_for_any_number_of_accounts(self, scene, api_key, path):
        key = api_key()
        read = partial(Client().get, call_of(path, scene), headers=key)
        self.check(read, BASELINE["calls"][path])

    def check(self, read: Callable[[], Any], expected: int) -> None:
        assert count(read) == expected
        for label in ("second", "third", "fourth"):
            add_account(label)
        assert count(read) == expected, "it grows with the number of accounts"


def call_of(path: str, scene: dict[str, str]) -> str:
    """Return the path with its parameters."""
    own = {"runs": "proof-run", "cases": "proof-case", "accounts": "account", "alerts": "alert"}
    before = path.split("/{pk}", maxsplit=1)[0].rsplit("/", 1)[-1]
    return path.replace("{ref}", scene["ref"]).replace("{pk}", scene.get(own.get(before, ""), ""))


class TestTheBaseline:
    def test_names_every_page(self):
        assert set(BASELINE["pages"]) == set(pages())

    def test_names_every_call(self):
        assert set(BASELINE["calls"]) == set(calls())
