"""Which models a source file writes: calls and SQL that change rows, found by reading the file.

An expression has a model's type when it is the model itself (under whatever name it was imported), a chain
that starts there (`Mark.objects.filter(…)`), a relation of a typed object (`position.account`), or a
variable, argument, attribute of `self` or result of a function of the file that is annotated with one,
assigned from one or taken out of several.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Model

_SYNC = {
    "create", "get_or_create", "update_or_create", "bulk_create", "bulk_update", "update", "delete", "save",
    "_raw_delete", "save_base",
}  # fmt: skip
WRITING = _SYNC | {f"a{name}" for name in _SYNC}
# What a chain of a queryset ends in when it gives no rows any more.
_NO_ROWS = {"values", "values_list", "count", "exists", "aggregate", "dates", "datetimes", "explain", "query"}
_CONTAINERS = {
    "list", "tuple", "set", "frozenset", "dict", "Mapping", "Sequence", "Iterable", "Iterator", "Collection",
    "defaultdict", "Generator",
}  # fmt: skip
_THROUGH = {"list", "tuple", "set", "frozenset", "sorted", "reversed", "iter"}
_ONE_OF = {"next", "max", "min", "get_object_or_404", "aget_object_or_404"}
OURS = ("core", "positions", "reconciliation", "portfolio")


@dataclass(frozen=True)
class Type:
    """A model, its rows or one of them; `inside` a container, whose own methods write nothing."""

    model: type[Model]
    inside: bool = False


def models() -> dict[str, type[Model]]:
    """Return our models by name."""
    return {one.__name__: one for one in apps.get_models() if one._meta.app_label in OURS}


def written(source: str) -> list[tuple[str, int]]:
    """Return (model, line) of everything in a file that writes rows through the ORM."""
    reader = _Reader()
    tree = ast.parse(source)
    reader.results = {
        node.name: node.returns
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.returns is not None
    }
    reader.visit(tree)
    return sorted(set(reader.found), key=lambda one: one[1])


def written_by_sql(source: str) -> Iterator[tuple[str, str]]:
    """Yield (model, verb) of each statement in the text that writes one of our tables."""
    tables = {one._meta.db_table: name for name, one in models().items()}
    verbs = (
        r"\b(INSERT INTO|UPDATE|DELETE FROM|COPY|TRUNCATE(?: TABLE)?|MERGE INTO)\s+(?:ONLY\s+)?\"?([a-z_]+)"
    )
    for verb, table in re.findall(verbs, source):
        if table in tables:
            yield tables[table], verb


class _Reader(ast.NodeVisitor):
    """Walks one file in the order of its lines; `scopes` are the names of each function, innermost last."""

    def __init__(self) -> None:
        self.found: list[tuple[str, int]] = []
        self.results: dict[str, ast.expr] = {}
        self.classes: dict[str, type[Model]] = {}
        self.modules: set[str] = set()
        self.scopes: list[dict[str, Type | None]] = [{}]
        self.own: list[dict[str, Type | None]] = []  # annotated attributes of the classes around

    # What names mean

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for one in node.names:
            if "models" in (node.module or "").split(".") and one.name in models():
                self.classes[one.asname or one.name] = models()[one.name]
            elif one.name == "models" and node.module in OURS:
                self.modules.add(one.asname or one.name)

    def visit_Import(self, node: ast.Import) -> None:
        for one in node.names:
            if one.asname and one.name.endswith(".models") and one.name.split(".")[0] in OURS:
                self.modules.add(one.asname)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        if node.name in models() and any(ast.unparse(base).endswith("Model") for base in node.bases):
            self.classes[node.name] = models()[node.name]
        fields = [one for one in node.body if isinstance(one, ast.AnnAssign)]
        own = {
            one.target.id: self._annotated(one.annotation)
            for one in fields
            if isinstance(one.target, ast.Name)
        }
        if node.name in self.classes:
            own["self"] = Type(self.classes[node.name])
        self.own.append(own)
        self.generic_visit(node)
        self.own.pop()

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
        known = {one.arg: self._annotated(one.annotation) for one in arguments if one.annotation}
        if self.own and self.own[-1].get("self"):
            known["self"] = self.own[-1]["self"]
        self.scopes.append(known)
        self.generic_visit(node)
        self.scopes.pop()

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def visit_Assign(self, node: ast.Assign) -> None:
        self.generic_visit(node)
        for target in node.targets:
            self._bind(target, self.type_of(node.value))

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.generic_visit(node)
        self._bind(node.target, self._annotated(node.annotation))

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.generic_visit(node)
        self._bind(node.target, self.type_of(node.value))

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        self._bind(node.target, self._taken_from(node.iter))
        self.generic_visit(node)

    visit_AsyncFor = visit_For  # noqa: N815

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> None:
        for generator in node.generators:
            self._bind(generator.target, self._taken_from(generator.iter))
        self.generic_visit(node)

    visit_ListComp = visit_SetComp = visit_GeneratorExp = visit_DictComp = _comprehension  # noqa: N815

    def _bind(self, target: ast.expr, kind: Type | None) -> None:
        if isinstance(target, ast.Name):
            self.scopes[-1][target.id] = kind
        elif isinstance(target, ast.Attribute) and ast.unparse(target.value) == "self" and self.own:
            self.own[-1][target.attr] = kind or self.own[-1].get(target.attr)
        elif isinstance(target, ast.Tuple) and kind is not None:
            for one in target.elts:  # pairs of a key and a row: either may be meant
                self._bind(one, kind)

    def _taken_from(self, rows: ast.expr) -> Type | None:
        kind = self.type_of(rows)
        return None if kind is None else Type(kind.model)

    # What expressions are

    def _annotated(self, annotation: ast.expr | None) -> Type | None:
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
            annotation = ast.parse(annotation.value, mode="eval").body
        if annotation is None:
            return None
        outer = ast.unparse(annotation).partition("[")[0].rpartition(".")[2]
        for node in ast.walk(annotation):
            if isinstance(node, ast.Name | ast.Attribute) and (model := self._class(node)):
                return Type(model, inside=outer in _CONTAINERS)
        return None

    def _class(self, node: ast.expr) -> type[Model] | None:
        if isinstance(node, ast.Name):
            return self.classes.get(node.id)
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in self.modules
        ):
            return models().get(node.attr)
        return None

    def type_of(self, node: ast.expr) -> Type | None:
        """Return the model that an expression's value is, or is rows of; None: of no model, or not known."""
        match node:
            case ast.Name() | ast.Attribute() if model := self._class(node):
                return Type(model)
            case ast.Name():
                return next((one[node.id] for one in reversed(self.scopes) if node.id in one), None)
            case ast.Attribute(value=ast.Name(id="self"), attr=name) if self.own and name in self.own[-1]:
                return self.own[-1][name]
            case ast.Attribute():
                return self._attribute(self.type_of(node.value), node.attr)
            case ast.Call():
                return self._result(node)
            case ast.Subscript():
                kind = self.type_of(node.value)
                return kind and Type(kind.model, inside=kind.inside and isinstance(node.slice, ast.Slice))
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp():
                kind = self.type_of(node.elt)
                return kind and Type(kind.model, inside=True)
            case ast.DictComp():
                kind = self.type_of(node.value)
                return kind and Type(kind.model, inside=True)
            case ast.IfExp():
                return self.type_of(node.body) or self.type_of(node.orelse)
            case ast.BoolOp():
                return next((kind for one in node.values if (kind := self.type_of(one))), None)
            case ast.Await() | ast.NamedExpr() | ast.Starred():
                return self.type_of(node.value)
        return None

    def _result(self, call: ast.Call) -> Type | None:
        if isinstance(call.func, ast.Name):
            name, first = call.func.id, call.args[0] if call.args else None
            if name in _THROUGH and first is not None:
                kind = self.type_of(first)
                return kind and Type(kind.model, inside=True)
            if (
                name in ("next", "get_object_or_404", "aget_object_or_404", "max", "min")
                and first is not None
            ):
                kind = self.type_of(first)
                return kind and Type(kind.model)
            if name in self.results and name not in self.classes:
                return self._annotated(self.results[name])
        return self.type_of(call.func)

    @staticmethod
    def _attribute(kind: Type | None, name: str) -> Type | None:
        if kind is None:
            return None
        if kind.inside:  # of a container: its values, or one of them
            taken = name in ("get", "pop", "setdefault", "popleft")
            return Type(kind.model) if taken else kind if name in ("values", "items", "copy") else None
        if name in _NO_ROWS:
            return None
        try:
            related = kind.model._meta.get_field(name).related_model
            return Type(related) if isinstance(related, type) else None
        except FieldDoesNotExist:
            by_accessor = {
                one.get_accessor_name(): one.related_model for one in kind.model._meta.related_objects
            }
            return Type(by_accessor.get(name, kind.model))

    # What is written

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.generic_visit(node)
        kind = self.type_of(node.value) if node.attr in WRITING else None
        if kind is not None and not kind.inside and kind.model.__name__ in models():
            self.found.append((kind.model.__name__, node.lineno))
