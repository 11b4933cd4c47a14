"""If-Match: the version of a position that a caller has seen."""

from __future__ import annotations

from typing import Annotated

from ninja.params.functions import Header
from pydantic import WithJsonSchema

from core.http.problems import Problem

VersionText = Annotated[str, WithJsonSchema({"type": "string", "maxLength": 30})]
IfMatch = Header(
    None,
    alias="If-Match",
    description="The position's version that you have seen.",
)


def version_of(if_match: str | None) -> int | None:
    """The version that If-Match states: 3, "3", or * for whatever it is."""
    if if_match is None or if_match.strip() == "*":
        return None
    text = if_match.strip().removeprefix("W/").strip('"')
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Problem(400, "bad_version", 'If-Match is the version of a position, such as "3".')
    return int(text)
