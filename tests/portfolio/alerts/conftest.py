import pytest
from django.utils import timezone

from tests.portfolio.alerts.scene import Scene


@pytest.fixture
def scene(db):
    return Scene(timezone.now())
