"""The evidence table says what the suite proves: no more."""

from __future__ import annotations

from pathlib import Path

import pytest

from positions.venues.base import Evidence, Method
from positions.venues.registry import VENUES, capabilities

from .evidence import FILES, replaced, table


class TestTheEvidenceTable:
    @pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
    def test_is_the_one_generated_from_the_suite(self, path: Path) -> None:
        text = path.read_text()
        assert text == replaced(text, FILES[path]()), "run python -m tests.positions.venues.evidence"

    def test_covers_every_venue_and_method(self) -> None:
        for venue in VENUES:
            assert set(capabilities(venue)) == set(Method)

    def test_an_exchange_without_an_adapter_is_unproven_throughout(self) -> None:
        assert {row.evidence for row in capabilities("kraken").values()} == {Evidence.UNPROVEN}

    def test_what_nobody_recorded_is_not_called_recorded(self) -> None:
        assert table()["bybit"][Method.FUNDING] is Evidence.UNPROVEN
        assert table()["okx"][Method.STREAMS] is Evidence.UNPROVEN
