"""The interpreter's knobs: they work, can be left alone, and are turned by every process that moves fills."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

TUNED = """
import gc, sys
from django.conf import settings
settings.configure(GC_FREEZE={freeze}, SWITCH_INTERVAL_US={microseconds})
from core.process import interpreter
before = sys.getswitchinterval()
interpreter.tune()
"""
SHOW = "print(gc.get_freeze_count(), sys.getswitchinterval() == before, sys.getswitchinterval())"
TAKE_TURNS = """
import threading, time
last, turns = None, 0
def work(name, until=0.3):
    global last, turns
    while time.thread_time() < until:
        if last != name:
            last, turns = name, turns + 1
threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(turns)
"""


def run(then: str, *, freeze: bool = True, microseconds: int = 500) -> str:
    """Run a new interpreter, as the knobs are those of a whole process."""
    code = TUNED.format(freeze=freeze, microseconds=microseconds) + then
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


class TestTheInterpreter:
    def test_sets_what_is_loaded_aside_and_takes_shorter_turns(self):
        frozen, unchanged, interval = run(SHOW).split()
        assert int(frozen) > 1000
        assert (unchanged, float(interval)) == ("False", 0.0005)

    def test_is_left_alone_where_the_settings_say_so(self):
        frozen, unchanged, _ = run(SHOW, freeze=False, microseconds=0).split()
        assert (frozen, unchanged) == ("0", "True")

    def test_lets_threads_take_turns_more_often_with_a_shorter_interval(self):
        assert int(run(TAKE_TURNS)) > 2 * int(run(TAKE_TURNS, microseconds=50_000))


class TestEveryProcessThatMovesFills:
    @pytest.mark.parametrize("source", ["config/asgi.py", "portfolio/management/commands/stream.py"])
    def test_is_tuned(self, source):
        assert "interpreter.tune()" in (ROOT / source).read_text()

    @pytest.mark.parametrize("knob", ["setswitchinterval(", "gc.freeze("])
    def test_is_tuned_in_one_place(self, knob):
        apps = ("config", "core", "positions", "reconciliation", "portfolio", "simulator")
        sources = [path for app in apps for path in (ROOT / app).rglob("*.py")]
        assert [path.name for path in sources if knob in path.read_text()] == ["interpreter.py"]
