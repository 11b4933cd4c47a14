"""docs/glossary.md names what the code names, and no two types of the product share a name."""

import ast
import json
import re
from pathlib import Path

from django.apps import apps
from django.conf import settings

from config.api import api
from portfolio.live import schema
from reconciliation.models import Subject

ROOT = Path(__file__).resolve().parents[1]
PRODUCT = ("config", "core", "positions", "reconciliation", "portfolio")
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text()

# The same thing seen from two sides carries one name on both: a row and what the API answers of it.
EDGES = ("/api/schemas", "/live/schema")
ONE_NAME_BY_DESIGN: set[str] = set()


def classes():
    for app in PRODUCT:
        for path in sorted((ROOT / app).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if "migrations" in path.parts or any(edge in name for edge in EDGES):
                continue
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.ClassDef):
                    yield node.name, name


def terms():
    """Yield (term, what each column names) of every row."""
    columns: list[str] = []
    for line in GLOSSARY.splitlines():
        cells = (
            [cell.strip() for cell in line.strip().strip("|").split(" | ")] if line.startswith("|") else []
        )
        if cells and cells[0] == "term":
            columns = cells
        elif cells and not cells[0].startswith("---"):
            names = {
                column: re.findall(r"`([^`]+)`", cell) for column, cell in zip(columns, cells, strict=True)
            }
            yield cells[0], names


def words_of(text):
    return set(re.findall(r"\w+", text))


class TestATerm:
    def test_stands_in_the_code_as_the_glossary_says(self):
        words = words_of(
            "\n".join(path.read_text() for app in PRODUCT for path in (ROOT / app).rglob("*.py"))
        )
        missing = {
            (term, name)
            for term, names in terms()
            for name in names.get("book", []) + names.get("code", [])
            if not words_of(name) <= words
        }
        assert missing == set()

    def test_stands_in_the_tables_as_the_glossary_says(self):
        tables = {
            model.__name__: {field.name for field in model._meta.get_fields()}
            for app in ("positions", "reconciliation", "portfolio")
            for model in [*apps.get_app_config(app).get_models(), Subject]
        }
        missing = set()
        for term, names in terms():
            for name in names.get("database", []):
                model, _, field = name.partition(".")
                if name.isupper():
                    assert hasattr(settings, name)
                elif model not in tables or (field and field not in tables[model]):
                    missing.add((term, name))
        assert missing == set()

    def test_stands_in_the_api_and_the_stream_as_the_glossary_says(self):
        answered = words_of(json.dumps(api.get_openapi_schema(), default=str))
        streamed = words_of(json.dumps(schema.json_schema()))
        missing = {
            (term, column, name)
            for term, names in terms()
            for column, known in (("API", answered), ("stream", streamed))
            for name in names.get(column, [])
            if not words_of(name) <= known
        }
        assert missing == set()
        assert len(list(terms())) >= 40
