"""Rules of docs/architecture.md that import-linter cannot see: one writer per table, no flow by signals."""

import re
from functools import cache
from pathlib import Path

import pytest

from tests.writers import models, written, written_by_sql

ROOT = Path(__file__).resolve().parents[1]
APPS = ("config", "core", "positions", "reconciliation", "portfolio")

# Which modules may write a model's rows. A module that is not listed reads through queries.
INGEST = {"positions/ingest.py"}
OBSERVE = {"positions/observe.py"}
JUDGING = {"reconciliation/runs/verdict_store.py"}
CASES = {"reconciliation/cases/cases.py"}
RESOLVE = {"reconciliation/cases/resolve.py"}
TARGETS = {"reconciliation/allocation/targets.py"}
ALERTS = {"portfolio/alerts/store.py"}
TAKING, ROLLUP = {"portfolio/snapshots/taking.py"}, {"portfolio/snapshots/hourly.py"}
AUDIENCE = {"portfolio/notify/audience.py"}
OUTBOX = {"portfolio/notify/outbox.py", "portfolio/notify/sending.py", "portfolio/notify/upkeep.py"}
WRITERS = {
    "Entry": INGEST, "Position": INGEST, "PositionEvent": INGEST, "Balance": INGEST, "Checkpoint": INGEST,
    "AccountHead": INGEST, "FeedCursor": INGEST, "QuarantinedEntry": INGEST,
    "LedgerAnchor": {"positions/ledger/anchors.py"},
    "Account": {"positions/accounts.py"},
    "Instrument": OBSERVE, "VenueState": OBSERVE, "Mark": OBSERVE,
    "Run": {"reconciliation/runs/runs.py"}, "Verdict": JUDGING, "Transition": JUDGING, "Difference": JUDGING,
    "Case": CASES, "CaseEvent": CASES, "Correction": RESOLVE, "Policy": RESOLVE,
    "Pause": {"reconciliation/runs/pauses.py"},
    "AllocationTarget": TARGETS, "AllocationBreach": TARGETS,
    "Alert": ALERTS, "AlertTransition": ALERTS, "Mute": ALERTS, "AlertEvaluation": ALERTS,
    "PositionSnapshot": TAKING, "AccountSnapshot": TAKING, "PortfolioSnapshot": TAKING,
    "Restatement": {"portfolio/pnl/restatements.py"},
    "PositionHour": ROLLUP, "AccountHour": ROLLUP, "PortfolioHour": ROLLUP,
    "LadderSetting": {"portfolio/admin.py"}, "SavedView": {"portfolio/pages/saved_views.py"},
    "Recipient": AUDIENCE, "Subscription": AUDIENCE, "Delivery": OUTBOX, "Mail": OUTBOX,
    "ClosingMark": {"portfolio/pnl/closing_marks.py"},
    "PnlDay": {"portfolio/pnl/keeping.py"}, "AccountDay": {"portfolio/pnl/keeping.py"},
    "EntryStrategy": {"portfolio/pnl/strategies.py"}, "VenueDay": {"portfolio/pnl/witness.py"},
    "RiskLimit": {"portfolio/totals/limit_keeping.py"},
    "ApiKey": {"core/models.py"}, "SecurityEvent": {"core/security/security_events.py"},
}  # fmt: skip
# `ingest` is a door with rooms behind it: they may write the book, and only through it are they entered.
ROOMS = ("booking", "rehearsal", "sql", "write", "edits", "quarantine")
BEHIND_INGEST = {f"positions/ledger/{name}.py" for name in ROOMS}


def sources():
    for app in APPS:
        for path in (ROOT / app).rglob("*.py"):
            if "migrations" not in path.parts:
                yield path.relative_to(ROOT).as_posix(), path


@cache
def writes():
    """Return what each source file writes, as (file, model, where): every file is parsed once."""
    found = []
    for name, path in sources():
        text = path.read_text()
        found += [(name, model, f"{name}:{line}") for model, line in written(text)]
        found += [(name, model, f"{name} ({verb} in SQL)") for model, verb in written_by_sql(text)]
    return found


class TestEachTable:
    @pytest.mark.parametrize("model", sorted(WRITERS))
    def test_has_one_writer(self, model):
        allowed = WRITERS[model] | (BEHIND_INGEST if WRITERS[model] is INGEST else set())
        assert [where for name, found, where in writes() if found == model and name not in allowed] == []

    def test_is_reached_through_the_door_only(self):
        names = "|".join(set(ROOMS) - {"sql"})  # readers use its statements too
        rooms = re.compile(rf"^from positions\.ledger(?:\.| import .*\b)({names})\b", re.M)
        inside = INGEST | BEHIND_INGEST
        entered = [name for name, path in sources() if name not in inside and rooms.search(path.read_text())]
        assert entered == []

    def test_has_a_writer(self):
        assert sorted(models()) == sorted(WRITERS)


class TestFlow:
    def test_never_goes_by_model_signals(self):
        signals = re.compile(r"\b(pre|post)_(save|delete|init)\b|m2m_changed")
        assert [name for name, path in sources() if signals.search(path.read_text())] == []

    def test_keeps_files_readable(self):
        long = {name: len(path.read_text().splitlines()) for name, path in sources()}
        assert {name: lines for name, lines in long.items() if lines > 400} == {}
