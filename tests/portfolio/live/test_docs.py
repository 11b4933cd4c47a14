"""docs/streaming.md and docs/api.md say what is so."""

import re
from pathlib import Path

import pytest

from config.api import api
from portfolio.live import consumer, fields, frames
from portfolio.live import hub as hub_module
from portfolio.live.sockets import MOST_WAITING

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs"
STREAMING = (DOCS / "streaming.md").read_text()
API = (DOCS / "api.md").read_text()
SOURCES = [
    path.read_text()
    for app in ("positions", "reconciliation", "portfolio", "core", "config")
    for path in (ROOT / app).rglob("*.py")
]


class TestTheStreamsPage:
    def test_names_every_way_to_be_closed(self):
        codes = {
            consumer.NOT_SIGNED_IN, consumer.FOREIGN_ORIGIN, consumer.TOO_MANY, consumer.TOO_OFTEN,
            consumer.TOO_LONG, consumer.TRY_LATER, hub_module.TOO_SLOW,
        }  # fmt: skip
        told = {int(code) for code in re.findall(r"\b(4\d{3})\b", STREAMING.split("## Why a socket")[1])}
        assert codes == told
        assert all(4000 <= code <= 4999 for code in codes), "Daphne sends no others"

    def test_names_every_command_and_the_bounds(self):
        for command in ("ping", "get_summary", "subscribe", "resume"):
            assert f'"type": "{command}"' in STREAMING
        assert f"more than {hub_module.SOCKETS_EACH} sockets" in STREAMING
        assert f"{hub_module.PING_SECONDS:.0f} s without another" in STREAMING
        assert f"more than {consumer.COMMANDS_A_SECOND} commands a second" in STREAMING
        assert (MOST_WAITING, hub_module.HEARTBEAT_SECONDS) == (1_000_000, 2.0)
        assert frames.COMPACT in STREAMING

    def test_names_every_alias_and_the_field_that_it_stands_for(self):
        table = STREAMING.split("| earlier name |")[1].split("\n\n")[0]
        pairs = dict(re.findall(r"^\| `(\w+)` \| `(\w+)` \|$", table, re.MULTILINE))
        assert pairs == fields.PREDECESSOR_NAMES

    def test_has_a_python_client_that_compiles(self):
        (code,) = re.findall(r"```python\n(.*?)```", STREAMING, re.DOTALL)
        compile(code, "streaming.md", "exec")


class TestTheApisPage:
    def test_names_every_operation_under_positions(self):
        paths = [path for path in api.get_openapi_schema()["paths"] if "/positions" in path]
        assert len(paths) >= 12
        for path in paths:
            shown = path.removeprefix("/api/v1")
            assert shown in API or shown in STREAMING, shown

    @pytest.mark.parametrize(
        "code", sorted(set(re.findall(r"`([a-z]+_[a-z_]+)`", API.split("| status |")[1])))
    )
    def test_names_only_codes_that_exist(self, code):
        assert any(f'"{code}"' in source for source in SOURCES)
