"""One list of a position's fields: each other list follows from it, so a new column needs no other edit."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from portfolio.api.schemas import LivePosition
from portfolio.live import fields, frames
from portfolio.live.board_position import UNPRICED, row_of
from portfolio.live.schema import PAINTED, POSITION_FIELDS, Position, blank_row
from positions.book import PositionState, spot
from positions.ledger import serialise
from tests.portfolio.live.hub_book import held

ROOT = Path(__file__).resolve().parents[3]

# In a process of its own, as if the schema had got a column that the stream carries.
WITH_ANOTHER_COLUMN = """
import json, os
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
import django
django.setup()
from portfolio.live import fields
fields.NOT_STREAMED -= {"peak_quantity"}
from decimal import Decimal
from portfolio.live import frame_rows, schema, typescript
from portfolio.live.board_position import UNPRICED, row_of
from tests.portfolio.live.hub_book import held
one = held(1)
row = one.position()
row.peak_quantity = Decimal("0.75")
type(one).position = lambda self: row
position = one.board_position()
read = row_of(position, price=UNPRICED)["peak_quantity"]
frame_row = one.frame_row() | {"peak_quantity": "0.8", "version": 2}
frame_rows.apply_frame_row(position, frame_row)
print(json.dumps({
    "read": read,
    "from the log": row_of(position, price=UNPRICED)["peak_quantity"],
    "blank": "peak_quantity" in schema.blank_row(),
    "typescript": "  peak_quantity: string;" in typescript.types(schema.json_schema()),
}))
"""


class TestANewColumn:
    def test_reaches_rows_frames_schema_and_types_from_the_schema_alone(self):
        done = subprocess.run(
            [sys.executable, "-c", WITH_ANOTHER_COLUMN], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout.splitlines()[-1]) == {
            "read": "0.75", "from the log": "0.8", "blank": True, "typescript": True,
        }  # fmt: skip


class TestTheLists:
    def test_a_row_has_what_the_schema_has_and_each_once(self):
        row = row_of(held().board_position(), price=UNPRICED)
        assert set(row) == set(POSITION_FIELDS)
        assert not set(row) & set(fields.PREDECESSOR_NAMES)

    def test_a_blank_row_has_what_a_painted_row_has(self):
        assert set(blank_row()) == {*POSITION_FIELDS, *PAINTED}

    def test_the_api_and_the_stream_call_a_shared_field_alike(self):
        shared = set(LivePosition.model_fields) - fields.NOT_STREAMED
        assert shared <= set(POSITION_FIELDS)
        assert set(LivePosition.model_fields) >= fields.NOT_STREAMED, "nothing is left out that is not there"

    def test_the_fold_fills_every_column_that_the_model_leaves_to_it(self):
        nothing = PositionState(contract=spot("BTC", par="USDC"), instrument="BTC", opened_by="fill-1")
        filled = {*serialise.columns(nothing), "status", "cash", "state"} - {"opening_ref"}
        assert filled == set(serialise.FOLDED)


class TestTheEarlierNames:
    def test_are_on_the_wire_beside_the_names_they_stand_for(self):
        row = row_of(held().board_position(), price=UNPRICED)
        sent = orjson.loads(frames.position(row))
        assert {alias: sent[alias] for alias in fields.PREDECESSOR_NAMES} == {
            alias: row[name] for alias, name in fields.PREDECESSOR_NAMES.items()
        }
        assert set(sent) == set(Position.model_fields)

    @pytest.mark.parametrize("path", sorted((ROOT / "static/js").glob("*.js")), ids=lambda path: path.name)
    def test_are_read_by_no_page_of_ours(self, path):
        aliases = "|".join(fields.PREDECESSOR_NAMES)
        assert not re.search(rf"\b(row|moved|position)\.({aliases})\b", path.read_text())
