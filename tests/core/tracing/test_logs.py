"""Logs as a process writes them: one JSON object a line, secrets left out, the audit trail in a file too."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.tracing.logs import REDACTED, redact, scrub_forms

ROOT = Path(__file__).resolve().parents[3]


def lines(code, tmp_path, **variables):
    script = f"import django; django.setup(); import structlog, logging; {code}"
    environment = {
        "PATH": os.environ["PATH"],
        "DATA_DIR": str(tmp_path),
        "DJANGO_SETTINGS_MODULE": "config.settings",
    }
    answer = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT, env=environment | variables, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return answer.stderr.splitlines()


class TestALogLine:
    def test_is_json_whoever_writes_it(self, tmp_path):
        code = (
            "structlog.get_logger('ours').info('booked', fills=3);"
            "logging.getLogger('theirs').warning('slow %s', 'query')"
        )
        ours, theirs = [json.loads(line) for line in lines(code, tmp_path)]
        assert (ours["event"], ours["fills"], ours["logger"], ours["level"]) == ("booked", 3, "ours", "info")
        assert theirs["event"] == "slow query"
        assert ours["timestamp"].endswith("Z")

    def test_carries_the_trace_id(self, tmp_path):
        code = (
            "from core.tracing.trace import current_trace_id; t = current_trace_id();"
            "structlog.get_logger().info('a', expected=t)"
        )
        [line] = [json.loads(line) for line in lines(code, tmp_path)]
        assert line["trace_id"] == line["expected"]

    def test_has_the_traceback_in_one_line(self, tmp_path):
        code = "\ntry:\n    1 / 0\nexcept ZeroDivisionError:\n    structlog.get_logger().exception('failed')"
        [line] = [json.loads(line) for line in lines(code, tmp_path)]
        assert "ZeroDivisionError" in line["exception"]

    def test_is_readable_in_a_terminal(self, tmp_path):
        [line] = lines("structlog.get_logger().info('booked', fills=3)", tmp_path, LOG_FORMAT="console")
        assert "booked" in line
        assert "fills=3" in line
        assert not line.startswith("{")


class TestSecrets:
    @pytest.mark.parametrize(
        "name", ["password", "api_key", "apiKey", "privateKey", "secret", "Authorization"]
    )
    def test_are_redacted_by_name_at_any_depth(self, name):
        event = {"event": "x", name: "hunter2", "request": {"headers": [{name: "hunter2"}]}}
        assert "hunter2" not in str(redact(None, "info", event))

    def test_leave_the_rest_alone(self):
        assert redact(None, "info", {"event": "x", "coin": "BTC"}) == {"event": "x", "coin": "BTC"}
        assert redact(None, "info", {"token": "t"}) == {"token": REDACTED}


class TestASecretKnownByValue:
    @pytest.mark.parametrize("log_format", ["json", "console"])
    def test_is_hidden_even_in_a_traceback(self, tmp_path, log_format):
        code = (
            "from positions.venues.redaction import remember; remember(['hunter2-of-the-venue'])"
            "\ntry:\n    raise ValueError('signed with hunter2-of-the-venue')"
            "\nexcept ValueError:\n    structlog.get_logger().exception('failed')"
        )
        written = "\n".join(lines(code, tmp_path, LOG_FORMAT=log_format))
        assert "ValueError" in written
        assert "hunter2" not in written


class TestTheAuditTrail:
    def test_goes_to_a_file_as_well_when_asked(self, tmp_path):
        code = "structlog.get_logger('audit').info('API key made', by='ada')"
        folder = tmp_path / "logs"
        [shown] = lines(code, tmp_path, LOG_DIR=str(folder), LOG_FORMAT="console")
        assert "API key made" in shown
        [written] = (folder / "audit.jsonl").read_text().splitlines()
        assert json.loads(written)["by"] == "ada"


class TestASecretByItsForm:
    KEY = "pl0123456789ab.abcdefghijklmnopqrstuvwxyz0123456789-_ABCDEF"

    @pytest.mark.parametrize(
        ("text", "secret"),
        [
            ("GET /x with X-API-Key: {}", KEY),
            ("headers {{'x-api-key': '{}'}}", "some-other-key"),
            ("(b'cookie', b'sessionid={}')", "k7v2s8x1session"),
            ("Cookie: theme=dark; sessionid={}; x=1", "k7v2s8x1session"),
            ("Set-Cookie: csrftoken={}; Path=/", "csrfcsrfcsrf"),
            ("Authorization: Bearer {}", "eyJhbGciOi.eyJzdWIi.c2ln"),
            ("subprotocol ticket.{}", "abcdefghijklmnopqrstuvwxyz"),
            ("cannot reach postgres://ada:{}@db.example/n", "topsecret"),
            ("rediss://:{}@redis.example:6379/0 is away", "topsecret"),
            ("https://venue.example/v1/x?a=1&signature={}&b=2", "c2lnbmF0dXJl"),
            ("https://rpc.example/?apikey={}", "abcdef123456"),
        ],
    )
    def test_is_hidden_wherever_it_stands(self, text, secret):
        assert secret not in scrub_forms(text.format(secret))

    @pytest.mark.parametrize(
        "text",
        [
            "case 7: 0.5 BTC @ 61000", "https://venue.example/v1/x?symbol=BTC&limit=10", "user:ada@plumbline",
            '{"event": "ledger anchored", "signature": "00ff"}', "place.details", "12:30:01 plan.b",
        ],
    )  # fmt: skip
    def test_is_not_seen_where_there_is_none(self, text):
        assert scrub_forms(text) == text

    @pytest.mark.parametrize(
        "name", ["Cookie", "set-cookie", "X-API-Key", "ticket", "session_key", "Authorization", "api-key"]
    )
    def test_is_hidden_by_the_name_of_its_field(self, name):
        assert redact(None, "", {"headers": {name: "value"}}) == {"headers": {name: REDACTED}}

    def test_leaves_a_line_that_is_json(self, tmp_path):
        code = f"structlog.get_logger('x').info('h', headers={{'note': 'x-api-key: {self.KEY}'}})"
        [line] = lines(code, tmp_path)
        assert self.KEY.partition(".")[2] not in line
        assert json.loads(line)["event"] == "h"
