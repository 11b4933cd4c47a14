"""Each key has one label, wherever it is shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from positions import labels as positions_labels
from positions.book.entries import Cause, Kind
from positions.models import Environment
from positions.sync import evidence
from positions.sync.feeds import State
from positions.venues.base import Evidence
from reconciliation import labels
from reconciliation.cases.plans import ACTIONS
from reconciliation.models import VerdictStatus

ROOT = Path(__file__).resolve().parents[2]


class TestEveryKeyOf:
    @pytest.mark.parametrize(
        ("labelled", "keys"),
        [
            (labels.VERDICTS, VerdictStatus),
            (positions_labels.ENTRY_CAUSES, Cause),
            (positions_labels.EVIDENCE_GRADES, Evidence),
            (positions_labels.ENVIRONMENTS, Environment),
        ],
    )
    def test_an_enumeration_has_a_label(self, labelled, keys):
        assert set(labelled) == {key.value for key in keys}

    @pytest.mark.parametrize(
        ("labelled", "keys"),
        [
            (positions_labels.ENTRY_KINDS, Kind),
            (positions_labels.FEED_STATES, State),
            (labels.DONE, ACTIONS),
        ],
    )
    def test_an_enumeration_is_among_the_labels(self, labelled, keys):
        assert {str(key) for key in keys} <= set(labelled)


class TestAVerdict:
    @pytest.mark.parametrize(
        ("venue", "methods", "label"),
        [
            ("hyperliquid", evidence.DERIVATIVE, "Synced"),
            ("coinbase", evidence.COIN, "Synced"),
            ("kraken", evidence.DERIVATIVE, "Synced, reading unproven"),
            ("binancecoinm", evidence.CASH, "Synced, reading unproven"),
        ],
    )
    def test_that_is_synced_says_where_no_test_proves_the_reading(self, venue, methods, label):
        reading = evidence.reading(venue=venue, methods=methods)
        assert labels.verdict_label(VerdictStatus.SYNCED, is_proven=reading.is_proven) == label

    @pytest.mark.parametrize("status", [VerdictStatus.PENDING, VerdictStatus.DRIFT, VerdictStatus.FAILED])
    def test_that_is_not_synced_has_its_own_label_on_any_reading(self, status):
        assert labels.verdict_label(status, is_proven=False) == status.label == labels.VERDICTS[status]


class TestAVenue:
    @pytest.mark.parametrize(
        ("key", "name"),
        [("gate", "Gate"), ("okx", "OKX"), ("binancecoinm", "Binance COIN-M"), ("kraken", "Kraken")],
    )
    def test_has_one_name(self, key, name):
        assert positions_labels.venue_name(key) == name


class TestTheLabelsOfTheServer:
    LABELS = (
        labels.VERDICTS,
        labels.KINDS,
        labels.CAUSES,
        labels.RUN_STATES,
        positions_labels.VENUES,
        positions_labels.ENTRY_CAUSES,
        positions_labels.FEED_STATES,
        positions_labels.ENVIRONMENTS,
    )

    @pytest.mark.parametrize("script", sorted(path.name for path in (ROOT / "static/js").glob("*.js")))
    def test_are_not_repeated_in_a_script(self, script):
        code = re.sub(r"//[^\n]*|/\*.*?\*/", "", (ROOT / "static/js" / script).read_text(), flags=re.S)
        texts = set(re.findall(r"""["'`]([A-Z][^"'`]*)["'`]""", code))
        assert not texts & {label for labelled in self.LABELS for label in labelled.values()}

    @pytest.mark.parametrize("app", ["core", "positions", "reconciliation", "portfolio"])
    def test_stand_in_no_other_module(self, app):
        homes = {ROOT / "reconciliation/labels.py", ROOT / "positions/labels.py"}
        phrases = {label for labelled in self.LABELS[:3] for label in labelled.values() if " " in label}
        for path in sorted((ROOT / app).rglob("*.py")):
            if path not in homes and "migrations" not in path.parts:
                code = path.read_text()
                assert not [phrase for phrase in phrases if f'"{phrase}"' in code], path
