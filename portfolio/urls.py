"""Pages and sockets."""

from __future__ import annotations

from django.urls import path

from portfolio.live.consumer import position_stream
from portfolio.pages import views

urlpatterns = [
    path("", views.board, name="board"),
    path("positions/closed/", views.closed, name="positions-closed"),
    path("positions/<int:pk>/", views.position, name="position"),
    path("positions/<int:pk>/panel/", views.position_panel, name="position-panel"),
    path("entries/", views.entries, name="entries"),
    path("accounts/<int:pk>/", views.account, name="account"),
    path("feeds/", views.feeds, name="feeds"),
    path("feeds/table/", views.feeds_table, name="feeds-table"),
    path("portfolio/", views.portfolio, name="portfolio"),
    path("alerts/", views.alerts, name="alerts"),
]
websocket_urlpatterns = [
    path("api/v1/positions/stream", position_stream, name="position-stream"),  # type: ignore[arg-type]
]
