"""Every frame that a real hub sends, behind a real Daphne, is one that the published schema describes."""

import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from pydantic import ValidationError

from core.security.scopes import Scope
from portfolio import pipeline
from portfolio.live.schema import Command, Environment, Frame, json_schema
from portfolio.live.typescript import types
from portfolio.rollup import ENVIRONMENTS
from positions.sync import feeds
from positions.sync.feeds import Feed, State
from tests.api_keys import issue_key
from tests.browser.stream_client import hear, judge, listening
from tests.portfolio.market import BTC, ETH, SPOT, Market
from tests.positions.api.test_balances import opening

pytestmark = pytest.mark.browser  # shares the web process with them

NAMED = {"hello", "snapshot", "position_update", "portfolio", "feed", "heartbeat", "pong", "error"}
COMMANDS = (
    '{"type": "ping", "last": "abc-1"}', '{"type": "get_summary"}', '{"type": "buy"}',
    '{"type": "subscribe", "accounts": null}', '{"type": "resume", "token": "gone-1"}',
)  # fmt: skip


def kinds(heard):
    return {frame["type"] for frame in heard}


@pytest.fixture
def key():
    _, text = issue_key(name="bot", scopes=[Scope.READ])
    return {"X-API-Key": text}


@pytest.fixture
def market(site):
    now = timezone.now() - timedelta(minutes=1)
    market = Market(now=now)
    opening(market, "10000", "USDC", now=now)
    return market


def trade(market):
    """A long, a short of unknown price, a coin; the venue's word; totals; a feed that fell behind."""
    now = timezone.now()
    market.mark(BTC, "61000", now=now)
    market.mark(SPOT, "61000", now=now)
    market.fill("buy", "2", "60000", now=now)
    market.state(BTC, now=now, leverage="3", liquidation_price="45000", quantity="2")
    market.fill("sell", "3", None, instrument=ETH, now=now)
    market.fill("buy", "0.1", "60000", instrument=SPOT, leg=None, now=now)
    pipeline.refresh(now)
    progress = {"feed": "fills", "booked": 3, "of": None}
    for state, told in ((State.BACKFILLING, progress), (State.STALE, None), (State.LIVE, None)):
        feeds.tell(
            feed=Feed(
                account=market.account.pk, state=state, since=now, at=timezone.now(), last_event=now,
                reason="the venue has fallen silent", progress=told,
            )
        )  # fmt: skip


class TestEveryFrame:
    def test_of_the_named_format_is_described(self, site, market, key, tmp_path):
        trade(market)
        heard = []
        with listening(site.url, key) as socket:
            hear(socket, heard, lambda heard: {"hello", "snapshot"} <= kinds(heard))
            for command in COMMANDS:
                socket.send(command)
            trade(market)
            market.fill("sell", "4", "62000", now=timezone.now())  # 2 + 2: flat
            hear(socket, heard, lambda heard: kinds(heard) >= NAMED)
            hear(socket, heard, lambda heard: any(not one["position"]["open"] for one in _updates(heard)))
        described(heard)
        self._judge(heard, tmp_path)

    def test_of_the_compact_format_is_described(self, site, market, key, tmp_path):
        trade(market)
        heard = []
        with listening(site.url, key, "?format=compact") as socket:
            hear(socket, heard, lambda heard: "snapshot" in kinds(heard))
            market.mark(BTC, "61500", now=timezone.now())
            hear(socket, heard, lambda heard: "rows" in kinds(heard))
        described(heard)
        (row,) = next(frame["rows"] for frame in heard if frame["type"] == "rows" and frame["rows"])[:1]
        columns = next(frame["columns"] for frame in heard if frame["type"] == "snapshot")
        assert len(row) == len(columns)
        self._judge(heard, tmp_path)

    def _judge(self, heard, folder):
        """A second opinion: ajv, by the schema as it is published, on frames and commands."""
        (folder / "schema.json").write_text(json.dumps(json_schema()))
        lines = [json.dumps(frame) for frame in heard] + [one for one in COMMANDS if "buy" not in one]
        (folder / "frames").write_text("\n".join(lines))
        done = judge("check.mjs", folder / "schema.json", folder / "frames")
        assert done.returncode == 0, done.stderr
        wrong = dict(heard[0]) | {"server_time": 5}
        (folder / "frames").write_text(json.dumps(wrong))
        assert judge("check.mjs", folder / "schema.json", folder / "frames").returncode == 1


def described(heard):
    for frame in heard:
        Frame.model_validate_json(json.dumps(frame))


def _updates(heard):
    return [frame for frame in heard if frame["type"] == "position_update"]


class TestTheSchema:
    def test_is_served_to_who_may_read(self, client, api_key):
        answer = client.get("/api/v1/stream-schema", headers=api_key())
        assert answer.json() == json_schema()
        assert answer.json()["$schema"].endswith("2020-12/schema")
        assert client.get("/api/v1/stream-schema").status_code == 401

    @pytest.mark.parametrize(
        "frame",
        [
            {"type": "hello", "server_time": "2026-01-15T12:00:00+00:00"},  # no format
            {"type": "pong", "server_time": "yesterday", "token": "a-1"},
            {"type": "rows", "token": "a-1", "rows": [[1, 97000.5, "1", 5]]},  # a float
            {"type": "surprise"},
        ],
    )
    def test_refuses_what_is_no_frame(self, frame):
        with pytest.raises(ValidationError):
            Frame.model_validate_json(json.dumps(frame))

    @pytest.mark.parametrize("command", [one for one in COMMANDS if "buy" not in one])
    def test_describes_every_command(self, command):
        Command.model_validate_json(command)

    def test_knows_every_environment(self):
        assert set(Environment.__args__) == set(ENVIRONMENTS)


class TestTheTypes:
    def test_are_generated_from_the_schema(self):
        call_command("stream_types", check=True)

    def test_that_are_out_of_date_are_found(self, settings, tmp_path):
        settings.BASE_DIR = tmp_path
        with pytest.raises(CommandError, match="out of date"):
            call_command("stream_types", check=True)

    def test_mark_what_may_be_missing_and_what_may_be_unknown(self):
        made = types(json_schema())
        assert "  mark_price: string | null;" in made
        assert "  mark: string | null;" in made
        assert "  columns?: string[];" in made
        assert '  risk: "none" | "safe" | "watch" | "danger" | "critical" | "unknown";' in made
        assert "rows: ([number, string | null, string | null, number | null])[];" in made
