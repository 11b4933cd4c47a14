"""Values that nobody means, and what they are put into: every parameter, body field and page."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver

DEEP = "[" * 5000 + "]" * 5000


def cursor_of(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


TEXTS = (
    "9" * 5000,
    "9" * 20,
    "9" * 19,
    "9223372036854775808",
    "-1",
    "0",
    "\x00",
    "a\x00b",
    "\ud800",
    "²",
    "٣",
    "1_000",
    "1e-9999",
    "1e9999",
    "1E+39",
    "1e-39",
    "0." + "0" * 60 + "1",
    "NaN",
    "-Infinity",
    "x" * 100_000,
    "2026-01-15T12:00:00+99:99",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    cursor_of(["x", "y"]),
    base64.urlsafe_b64encode(DEEP.encode()).decode(),
    base64.urlsafe_b64encode(("[" * 60_000).encode()).decode(),
    "%",
    "../../etc/passwd",
    "'; DROP TABLE x; --",
    "",
)
TELLING = ("9" * 5000, "9223372036854775808", "\x00", "\ud800", "²", "1e9999", TEXTS[-6])
"""Of those the ones that parameters, which are many, are tried with: one of each kind."""

VALUES: tuple[Any, ...] = (
    *TELLING, "1e-9999", "NaN", "x" * 100_000, "0001-01-01T00:00:00+14:00", "", 10**400, 2**63, 1.5, True,
    None, [], {}, [[[]]], {"a": {"b": []}}, ["\x00"], [2**70],
)  # fmt: skip


def escaped(text: str) -> str:
    """Return text as a URL carries it; a lone surrogate as the bytes that no UTF-8 has."""
    return "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "surrogatepass"))


def dumped(value: Any) -> str:
    """Return JSON with numbers of any size and lone surrogates escaped, as a client may send it."""
    return json.dumps(value) if not isinstance(value, int) or abs(value) < 10**300 else "9" * 400


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield (method, path, operation) of an OpenAPI document."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def resolved(schema: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    """Return a schema, followed if it is a reference."""
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def body_of(operation: dict[str, Any], document: dict[str, Any]) -> dict[str, Any] | None:
    """Return the schema of an operation's JSON body; None where it takes none."""
    if "requestBody" not in operation:
        return None
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    options = schema.get("anyOf", [schema])
    return next(found for one in options if (found := resolved(one, document)).get("type") != "null")


def unbounded(schema: dict[str, Any], document: dict[str, Any], where: str) -> Iterator[str]:
    """Yield where a schema takes text, numbers or lists without a limit."""
    schema = resolved(schema, document)
    for kind in ("anyOf", "oneOf", "allOf"):
        for one in schema.get(kind, ()):
            yield from unbounded(one, document, where)
    said = schema.keys()
    match schema.get("type"):
        case "string" if not said & {"enum", "const", "maxLength"}:
            yield f"{where}: text"
        case "integer" | "number" if not said & {"maximum", "enum"}:
            yield f"{where}: number"
        case "array":
            if "maxItems" not in said:
                yield f"{where}: list"
            yield from unbounded(schema.get("items", {}), document, f"{where}[]")
        case "object":
            if "properties" not in said:
                yield f"{where}: object"
            for name, one in schema.get("properties", {}).items():
                yield from unbounded(one, document, f"{where}.{name}")


def paths(patterns: Any = None, prefix: str = "") -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield every path of the product as (template, names of its parameters): /accounts/{pk}/ and pk."""
    for one in get_resolver().url_patterns if patterns is None else patterns:
        written = prefix + str(one.pattern).removeprefix("^")
        if isinstance(one, URLResolver):
            yield from paths(one.url_patterns, written)
        elif isinstance(one, URLPattern):
            template = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", written).replace("\\Z", "").replace("$", "")
            template = re.sub(r"\(\?P\{(\w+)\}[^)]*\)", r"{\1}", template)
            yield "/" + template, tuple(re.findall(r"\{(\w+)\}", template))
