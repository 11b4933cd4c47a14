"""From evaluations by the engine to what arrives at a server."""

from datetime import timedelta

import pytest

from portfolio.alerts.evaluate import evaluate
from tests.portfolio.alerts.scene import Scene
from tests.portfolio.notify.stage import Stage

pytestmark = [pytest.mark.django_db, pytest.mark.sockets]


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_drift_that_is_evaluated_a_thousand_times_is_one_mail(postbox, now):
    scene = Scene(now)
    stage = Stage(now, scene.account)
    stage.person("ada")
    scene.position()
    scene.verdict("DRIFT", venue="0.499")  # a warning: of what is critical people hear again, by escalation
    for number in range(1000):
        scene.now += timedelta(milliseconds=500)
        evaluate(scene.now)
        if not number % 20:
            scene.tick()
            stage.now = scene.now
            stage.deliver()
    [subject] = postbox.subjects
    assert subject.startswith("DRIFT BTC-PERP main: book 0.500, venue 0.499")
