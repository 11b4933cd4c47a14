from django.urls import path

from core.http import views

urlpatterns = [
    path("health/live", views.live, name="health-live"),
    path("health/ready", views.ready, name="health-ready"),
    path("health", views.details, name="health"),
]
