"""Pages and sockets."""

from __future__ import annotations

from django.urls import path

from portfolio.live.consumer import position_stream
from portfolio.pages import (
    alerts,
    connect,
    correct_book,
    faults,
    first_steps,
    mails,
    saved_views,
    subscriptions,
    views,
)
from portfolio.pages.portfolio_view import portfolio

urlpatterns = [
    path("", views.board, name="board"),
    path("views/", saved_views.save, name="view-save"),
    path("views/<int:pk>/delete/", saved_views.delete, name="view-delete"),
    path("positions/closed/", views.closed, name="positions-closed"),
    path("positions/<int:pk>/", views.position, name="position"),
    path("positions/<int:pk>/chart/", views.position_chart, name="position-chart"),
    path("positions/<int:pk>/correct/", correct_book.correct, name="position-correct"),
    path("positions/<int:pk>/take-back/", correct_book.take_back, name="position-take-back"),
    path("positions/<int:pk>/panel/", views.position_panel, name="position-panel"),
    path("entries/", views.entries, name="entries"),
    path("demo/faults/", faults.faults, name="demo-faults"),
    path("start/", first_steps.first_steps, name="first-steps"),
    path("accounts/connect/", connect.connect, name="account-connect"),
    path("accounts/<int:pk>/", views.account, name="account"),
    path("feeds/", views.feeds, name="feeds"),
    path("feeds/table/", views.feeds_table, name="feeds-table"),
    path("portfolio/", portfolio, name="portfolio"),
    path("alerts/mails/", mails.mails, name="alert-mails"),
    path("alerts/mails/<int:pk>/", mails.mail, name="alert-mail"),
    path("alerts/mails/<int:pk>/frame/", mails.mail_frame, name="alert-mail-frame"),
    path("alerts/mails/<int:pk>/retry/", mails.retry, name="alert-mail-retry"),
    path("alerts/subscriptions/", subscriptions.subscriptions, name="alert-subscriptions"),
    path("alerts/subscriptions/<int:pk>/", subscriptions.switch, name="alert-subscription"),
    path("alerts/unsubscribe/<str:token>/", subscriptions.unsubscribe, name="alert-unsubscribe"),
    path("alerts/", alerts.alerts, name="alerts"),
    path("alerts/open/", alerts.open_list, name="alerts-open"),
    path("alerts/<int:pk>/", alerts.alert, name="alert"),
    path("alerts/<int:pk>/acknowledge/", alerts.acknowledge, name="alert-acknowledge"),
    path("alerts/<int:pk>/mute/", alerts.mute, name="alert-mute"),
    path("alerts/mutes/<int:pk>/end/", alerts.end_mute, name="alert-mute-end"),
]
websocket_urlpatterns = [
    path("api/v1/positions/stream", position_stream, name="position-stream"),  # type: ignore[arg-type]
]
