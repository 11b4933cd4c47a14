"""The OpenAPI document: the framework's, completed with scopes and with the problems of each operation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ninja import NinjaAPI
from ninja.operation import Operation

SECURITY = {
    "_KeyAuth": (
        "API key",
        {
            "type": "apiKey",
            "in": "header",
            "name": "X-API-Key",
            "description": "Made by an admin, or by `bin/manage create_api_key`. It has scopes, a rate, and "
            "may be limited to some accounts.",
        },
    ),
    "_SessionAuth": (
        "Session",
        {
            "type": "apiKey",
            "in": "cookie",
            "name": "sessionid",
            "description": "Whoever is signed in on the pages; unsafe methods also need the CSRF token.",
        },
    ),
}
PROBLEM = {
    "title": "Problem",
    "type": "object",
    "description": "Any error (RFC 9457). `code` is stable, `detail` says what to do; some say more.",
    "required": ["type", "title", "status", "code", "detail", "trace_id"],
    "properties": {
        "type": {"type": "string", "examples": ["about:blank"]},
        "title": {"type": "string", "examples": ["Not Found"]},
        "status": {"type": "integer", "examples": [404]},
        "code": {"type": "string", "examples": ["position_not_found"]},
        "detail": {"type": "string", "examples": ["there is no position 7"]},
        "trace_id": {"type": "string", "description": "Finds the request in the logs."},
        "errors": {
            "type": "array",
            "description": "Of 422: which field, and what is wrong with it.",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "problem": {"type": "string"}},
            },
        },
    },
}
ALWAYS = {
    "401": "No API key and nobody signed in, or a key that is unknown, expired or revoked.",
    "403": "The scope is missing.",
    "422": "Something in the request is wrong; `errors` says what.",
    "429": "Too often for this key's tier; `Retry-After` says when to come again.",
}
BY_NAME = "Nothing of that name that the caller may see."


class DescribedApi(NinjaAPI):
    """An API whose document lists each operation's scope and problems."""

    tags_described: dict[str, str] = {}

    def get_openapi_schema(self, **given: Any) -> Any:
        """Return the OpenAPI document, completed."""
        schema = super().get_openapi_schema(**given)
        scopes = {self.get_openapi_operation_id(one): _scope(one) for one in self._operations()}
        components = schema["components"]
        components["securitySchemes"] = dict(SECURITY.values())
        components["schemas"]["Problem"] = PROBLEM
        for path, methods in schema["paths"].items():
            for operation in methods.values():
                _complete(operation, path, scopes.get(operation["operationId"]))
        schema["tags"] = [{"name": name, "description": text} for name, text in self.tags_described.items()]
        return schema

    def _operations(self) -> Iterator[Operation]:
        for router in self._get_bound_routers():
            for view in router.path_operations.values():
                yield from view.operations


def _scope(operation: Operation) -> str | None:
    found = (getattr(one, "scope", None) for one in operation.auth_callbacks)
    return next((str(scope) for scope in found if scope), None)


def _complete(operation: dict[str, Any], path: str, scope: str | None) -> None:
    if scope:
        said = operation.get("description", "")
        operation["description"] = f"{said}\n\nNeeds the scope `{scope}`.".strip()
    operation["tags"] = list(dict.fromkeys(operation.get("tags", ())))
    operation["security"] = [{SECURITY[name][0]: []} for one in operation.get("security", ()) for name in one]
    told = ALWAYS | ({"404": BY_NAME} if "{" in path else {})
    for status, text in told.items():
        problem = {"schema": {"$ref": "#/components/schemas/Problem"}}
        content = {"application/problem+json": problem}
        operation["responses"].setdefault(status, {"description": text, "content": content})
