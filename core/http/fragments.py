"""A part of a page by itself: rendered for a script, and sent again only when it changed."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.shortcuts import render

# Two renderings of the same facts differ in masked form tokens and in ages, which the browser counts.
_FORM_TOKEN = re.compile(rb'name="csrfmiddlewaretoken" value="[^"]*"')
_AGE = re.compile(rb'(data-ago="[^"]*"[^>]*>)[^<]*')


def fragment(request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    """Render a template without its page; answer 304 where the ETag that the browser sends still holds.

    The ETag is a hash of the rendered text without form tokens and without the text of `data-ago` elements.
    """
    answer = render(request, template, context)
    shown = _AGE.sub(rb"\1", _FORM_TOKEN.sub(b"", answer.content))
    etag = f'"{hashlib.sha256(shown).hexdigest()[:32]}"'
    if request.headers.get("If-None-Match") == etag:
        answer = HttpResponseNotModified()
    answer["ETag"] = etag
    answer["Cache-Control"] = "no-store"
    return answer
