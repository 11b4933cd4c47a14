"""Logs as a process writes them: one JSON object a line, secrets left out, the audit trail in a file too."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.logs import REDACTED, redact

ROOT = Path(__file__).resolve().parents[2]


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
            "from core.trace import current_trace_id; t = current_trace_id();"
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
