"""Templates are written for people, and a template of an app knows nothing of the apps to its right."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
from django.template import engines
from django.template.loader import get_template

TEMPLATES = Path(__file__).resolve().parents[1] / "templates"
APPS = ("core", "positions", "reconciliation", "portfolio")
"""From left to right."""
OWNERS = {
    "admin": "portfolio",
    "alerts": "portfolio",
    "board": "portfolio",
    "mails": "portfolio",
    "ninja": "core",
    "pages": "portfolio",
    "parts": "core",
    "reconciliation": "reconciliation",
    "registration": "core",
}
"""The app that owns a folder of templates; core owns those at the top."""
LONGEST_LINE = 160
NAMES = sorted(str(path.relative_to(TEMPLATES)) for path in TEMPLATES.rglob("*.html"))


def owner(name):
    folder, slash, _ = name.partition("/")
    return OWNERS[folder] if slash else "core"


def loaded_libraries(name):
    """The tag libraries that a template loads, by the app they belong to."""
    loads = re.findall(r"{%\s*load\s+([^%]*?)\s*%}", (TEMPLATES / name).read_text())
    words = [word for line in loads for word in line.partition(" from ")[2].split() or line.split()]
    modules = engines["django"].engine.libraries
    return {word: modules[word].partition(".")[0] for word in words}


def included(name):
    """The templates that a template extends or includes by name."""
    return re.findall(r"""{%\s*(?:extends|include)\s+"([^"]+)""", (TEMPLATES / name).read_text())


class TestATemplate:
    @pytest.mark.parametrize("name", NAMES)
    def test_loads_no_tags_of_an_app_to_its_right(self, name):
        allowed = {*APPS[: APPS.index(owner(name)) + 1], "django"}
        assert {app for app in loaded_libraries(name).values() if app not in allowed} == set()

    @pytest.mark.parametrize("name", NAMES)
    def test_includes_no_template_of_an_app_to_its_right(self, name):
        ours = [other for other in included(name) if other in NAMES]
        assert [other for other in ours if APPS.index(owner(other)) > APPS.index(owner(name))] == []

    @pytest.mark.parametrize("name", NAMES)
    def test_has_no_line_that_nobody_can_read(self, name):
        lines = (TEMPLATES / name).read_text().splitlines()
        assert [number for number, line in enumerate(lines, 1) if len(line) > LONGEST_LINE] == []

    @pytest.mark.parametrize("name", NAMES)
    def test_compiles(self, name):
        get_template(name)

    def test_is_used_by_a_view_or_by_another_template(self):
        code = "".join(
            path.read_text() for app in (*APPS, "config") for path in importlib_root(app).rglob("*.py")
        )
        used = {other for name in NAMES for other in included(name)}
        by_django = {"400.html", "403.html", "403_csrf.html", "404.html", "429.html", "500.html"}
        unused = [
            name
            for name in NAMES
            if name not in used | by_django
            and not name.startswith(("registration/", "ninja/"))
            and name.removeprefix("reconciliation/") not in code
        ]
        assert unused == []


def importlib_root(app):
    return Path(importlib.import_module(app).__path__[0])
