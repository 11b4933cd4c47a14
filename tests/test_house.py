"""The house stays one in which a stranger finds things: few doors, no circle, and pure means pure."""

import ast
import re
from pathlib import Path

import pytest

from tests import house

ROOT = Path(__file__).resolve().parents[1]
PRODUCT = ("config", "core", "positions", "reconciliation", "portfolio", "simulator")
MODULES_AT_THE_TOP = 10
ONE_THING_FROM_THREE_SIDES = ("accounts", "book", "market")
"""An order names its account and its market, which hold it: types only, no code runs back."""
TYPES_ONLY = {"positions.venues.base", "positions.venues.reports"}
"""What venues report, as plain data: pure modules may name these types."""
FRAMEWORKS = {
    "aiohttp", "asgiref", "celery", "channels", "ccxt", "daphne", "django", "ninja", "psycopg", "redis",
    "structlog", "twisted", "uvicorn", "web3", "websockets",
}  # fmt: skip


@pytest.fixture(scope="module")
def packages():
    return {package.name: package for package in house.packages()}


def sources():
    for folder in PRODUCT:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "migrations" not in path.parts:
                yield path


def module_name(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported(path):
    """Every module that a file imports, inside functions and for type checkers too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


class TestAnApp:
    @pytest.mark.parametrize("app", ["core", "positions", "reconciliation", "portfolio", "simulator"])
    def test_has_at_most_ten_modules_at_its_top(self, packages, app):
        assert packages[app].modules <= MODULES_AT_THE_TOP

    def test_has_no_packages_that_import_each_other_in_a_circle(self, packages):
        circles = {name: package.circle for name, package in packages.items() if package.circle}
        assert circles == {"simulator.engine": ONE_THING_FROM_THREE_SIDES}


class TestAModuleThatCallsItselfPure:
    """A docstring that says "pure", or that of a package around it, promises arithmetic on what is given."""

    def test_imports_no_framework_and_nothing_of_ours_that_is_not_pure(self):
        trees = {module_name(path): path for path in sources()}
        pure = {name for name in trees if promises_purity(name, trees)}
        broken = {name: sorted(impurities(trees[name], trees, pure)) for name in sorted(pure)}
        assert {name: found for name, found in broken.items() if found} == {}


def promises_purity(name, paths):
    around = [".".join(name.split(".")[:n]) for n in range(1, name.count(".") + 2)]
    texts = (ast.get_docstring(ast.parse(paths[one].read_text())) or "" for one in around if one in paths)
    return any(re.search(r"\bpure\b", text, re.I) for text in texts)


def impurities(path, paths, pure):
    for name in imported(path):
        module = name if name in paths else name.rpartition(".")[0]
        if name.split(".")[0] in FRAMEWORKS or (module in paths and module not in pure | TYPES_ONLY):
            yield name


class TestTheVenues:
    def test_are_alone_in_importing_ccxt_and_web3(self):
        importers = {
            module_name(path)
            for path in sources()
            for name in imported(path)
            if name.split(".")[0] in {"ccxt", "web3"}
        }
        assert {name for name in importers if not name.startswith("positions.venues.")} == set()
