"""The reconciliation pages, below /reconciliation/."""

from __future__ import annotations

from django.urls import path
from django.views.generic import RedirectView

from core.http.slow_work import Kind, slow_page
from reconciliation.pages import views, views_cases

urlpatterns = [
    path("", views.overview, name="reconciliation"),
    path("sections/", views.sections, name="proof-sections"),
    path("sync/", views.sync, name="proof-sync"),
    path("accounts/<int:pk>/pause/", views.pause, name="proof-pause"),
    path("accounts/<int:pk>/backfill/", views.backfill, name="proof-backfill"),
    path("cases/", views.cases, name="proof-cases"),
    path(
        "cases/<int:pk>/",
        slow_page(Kind.VENUE, only_with="action")(views_cases.case),
        name="proof-case",
    ),
    path("cases/<int:pk>/confirm/", slow_page(Kind.VENUE)(views_cases.confirm), name="proof-confirm"),
    path("cases/<int:pk>/undo/", slow_page(Kind.VENUE)(views_cases.undo), name="proof-undo"),
    path("cases/<int:pk>/acknowledge/", views_cases.acknowledge, name="proof-acknowledge"),
    path("cases/<int:pk>/comment/", views_cases.comment, name="proof-comment"),
    path("cases/<int:pk>/assign/", views_cases.assign, name="proof-assign"),
    path("runs/", views.runs, name="proof-runs"),
    path("runs/<int:pk>/", views.run, name="proof-run"),
    path("legs/", RedirectView.as_view(url="/reconciliation/#legs", permanent=True), name="proof-legs"),
    path("statistics/", slow_page(Kind.PAST)(views.statistics_page), name="proof-statistics"),
    path("allocation/", views.allocation, name="proof-allocation"),
]
