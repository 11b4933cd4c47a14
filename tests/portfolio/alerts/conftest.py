import pytest
from django.utils import timezone

from core.process import heartbeats
from tests.portfolio.alerts.scene import Scene


@pytest.fixture
def scene(db, monkeypatch):
    # The web process of this worker's browser tests goes on saying in the same Redis database that it lives.
    monkeypatch.setattr(heartbeats, "HEARTBEATS", "health:processes:of-the-scene")
    return Scene(timezone.now())
