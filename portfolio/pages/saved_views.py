"""Views of the board that people keep under a name. The only writer of SavedView."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_POST

from portfolio.models import SavedView
from portfolio.pages.board_view import view_of

MOST = 30
NAME_LENGTH = SavedView._meta.get_field("name").max_length or 0


@require_POST
def save(request: HttpRequest) -> HttpResponse:
    """Keep a view under a name; one of the same name is replaced."""
    assert request.user.is_authenticated
    name = " ".join(request.POST.get("name", "").split())
    query = view_of(QueryDict(request.POST.get("query", ""))).query()
    mine = SavedView.objects.filter(owner=request.user)
    if not name or len(name) > NAME_LENGTH or "\x00" in name:
        messages.error(request, f"Give the view a name of 1 to {NAME_LENGTH} letters.")
    elif mine.count() >= MOST and not mine.filter(name=name).exists():
        messages.error(request, f"You keep {MOST} views already: delete one first.")
    else:
        SavedView.objects.update_or_create(owner=request.user, name=name, defaults={"query": query})
        messages.success(request, f"Kept as “{name}”.")
    return _board(query)


@require_POST
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Forget one of one's own views."""
    assert request.user.is_authenticated
    view = get_object_or_404(SavedView, pk=pk, owner=request.user)
    view.delete()
    messages.success(request, f"“{view.name}” is forgotten.")
    return _board("")


def _board(query: str) -> HttpResponse:
    return HttpResponseRedirect(reverse("board") + (f"?{query}" if query else ""))
