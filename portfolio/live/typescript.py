"""PURE: JSON Schema of the stream -> TypeScript types, as far as this schema goes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

HEAD = """// Types of Plumbline's stream, ws(s)://HOST/api/v1/positions/stream.
// Generated from its JSON Schema (/api/v1/stream-schema) by `manage.py stream_types`: do not edit.
"""
_SIMPLE = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}
_NAME = re.compile(r"^[A-Za-z_]\w*$")


def types(schema: Mapping[str, Any]) -> str:
    """Return one exported type for each of `$defs`, by name. Raises KeyError for what it cannot say."""
    return "\n".join([HEAD, *(_exported(name, one) for name, one in sorted(schema["$defs"].items()))])


def _exported(name: str, schema: Mapping[str, Any]) -> str:
    comment = _comment(schema.get("description"), "")
    if "properties" in schema:
        return f"{comment}export interface {name} {{\n{''.join(_members(schema))}}}\n"
    return f"{comment}export type {name} = {_type(schema)};\n"


def _members(schema: Mapping[str, Any]) -> Iterable[str]:
    needed = set(schema.get("required", ()))
    for name, one in schema["properties"].items():
        written = name if _NAME.match(name) else json.dumps(name)
        optional = "" if name in needed else "?"
        yield f"{_comment(one.get('description'), '  ')}  {written}{optional}: {_type(one)};\n"


def _type(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " | ".join(json.dumps(one) for one in schema["enum"])
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return " | ".join(dict.fromkeys(_type(one) for one in schema[union]))
    if schema["type"] == "array":
        return _array(schema)
    if schema["type"] == "object":
        return _map(schema)
    return _SIMPLE[schema["type"]]


def _array(schema: Mapping[str, Any]) -> str:
    if "prefixItems" in schema:
        return f"[{', '.join(_type(one) for one in schema['prefixItems'])}]"
    item = _type(schema["items"])
    return f"({item})[]" if " | " in item else f"{item}[]"


def _map(schema: Mapping[str, Any]) -> str:
    value = _type(schema["additionalProperties"])
    if "propertyNames" not in schema:
        return f"Record<string, {value}>"
    return f"Partial<Record<{_type(schema['propertyNames'])}, {value}>>"


def _comment(text: str | None, indent: str) -> str:
    if not text:
        return ""
    lines = [line.strip() for line in text.strip().splitlines()]
    if len(lines) == 1:
        return f"{indent}/** {lines[0]} */\n"
    inner = "".join(f"{indent} *{' ' + line if line else ''}\n" for line in lines)
    return f"{indent}/**\n{inner}{indent} */\n"
