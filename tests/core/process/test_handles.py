"""Warning before file handles run out."""

import resource
import time

import pytest

from core.process import handles, health


@pytest.fixture
def seen(monkeypatch):
    seen = handles._HandleCount()
    monkeypatch.setattr(handles, "_seen", seen)
    return seen


class TestHandles:
    def test_are_allowed_up_to_what_the_system_lets_a_process_have(self):
        assert handles.raise_limit() == resource.getrlimit(resource.RLIMIT_NOFILE)[1]

    def test_are_no_problem_while_there_are_enough(self, seen):
        handles.look()
        assert seen.used > 2
        assert handles.problem() == ""

    def test_that_become_scarce_show_in_health(self, seen, now):
        seen.used = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        assert "file handles in use; raise the limit" in health.PARTS["handles"](now)

    def test_that_ran_out_show_in_health_for_a_minute(self, seen, monkeypatch):
        def refuse(path):
            raise OSError(24, "Too many open files")

        monkeypatch.setattr(handles.os, "listdir", refuse)
        handles.look()
        assert handles.problem().startswith("out of file handles")
        seen.out_at = time.monotonic() - handles.REMEMBERED - 1
        assert handles.problem() == ""
