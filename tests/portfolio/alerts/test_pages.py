"""The pages of alerts, and the banner on all others."""

from io import StringIO

import pytest
from django.core.management import call_command

from portfolio.models import Alert, Mute
from tests.portfolio.alerts.scene import alerts, told


@pytest.fixture
def drift(scene):
    scene.position()
    scene.verdict("DRIFT")
    scene.tick()
    return alerts()[0]


def shown(answer):
    return " ".join(answer.content.decode().split())


class TestThePage:
    def test_shows_what_is_open_and_what_is_over(self, as_viewer, scene, drift):
        assert drift.title in shown(as_viewer.get("/alerts/"))
        scene.verdict("SYNCED")
        scene.tick()
        page = shown(as_viewer.get("/alerts/"))
        assert "Nothing is wrong that nobody has seen." in page
        assert "It went away by itself" in page
        assert f"Certificate {scene.run.pk}" in page

    def test_is_narrowed_and_ignores_what_is_no_choice(self, as_viewer, drift):
        assert "Nothing open matches." in shown(as_viewer.get("/alerts/?severity=info"))
        assert drift.title in shown(as_viewer.get("/alerts/?severity=loud&kind=drift&account=x"))
        assert as_viewer.get("/alerts/?after=nonsense").status_code == 400

    def test_escapes_what_comes_from_outside(self, as_viewer, drift):
        Alert.objects.update(title="<script>alert(1)</script>", summary="<img src=x>")
        page = shown(as_viewer.get("/alerts/"))
        assert "<script>alert(1)" not in page
        assert "<img src=x>" not in page

    def test_has_no_buttons_for_who_may_only_read(self, as_viewer, as_trader, drift):
        assert "I have seen it" not in shown(as_viewer.get("/alerts/"))
        assert "I have seen it" in shown(as_trader.get("/alerts/"))

    def test_is_sent_again_only_when_it_changed(self, as_viewer, drift):
        first = as_viewer.get("/alerts/open/")
        again = as_viewer.get("/alerts/open/", headers={"If-None-Match": first["ETag"]})
        assert (first.status_code, again.status_code) == (200, 304)

    def test_of_one_alert_has_its_history(self, as_viewer, drift):
        page = shown(as_viewer.get(f"/alerts/{drift.pk}/"))
        assert "What people were told" in page
        assert as_viewer.get("/alerts/99999/").status_code == 404


class TestTheBanner:
    def test_is_on_every_page_while_something_critical_is_open(self, as_trader, scene, drift):
        for path in ("/", "/portfolio/", "/reconciliation/", "/alerts/"):
            page = shown(as_trader.get(path))
            assert f"<span data-alarm-title>{drift.title}</span>" in page
        as_trader.post(f"/alerts/{drift.pk}/acknowledge/")
        assert f"<span data-alarm-title>{drift.title}" not in shown(as_trader.get("/"))


class TestActing:
    def test_acknowledges_by_post_only(self, as_trader, as_viewer, drift):
        assert as_trader.get(f"/alerts/{drift.pk}/acknowledge/").status_code == 405
        assert as_viewer.post(f"/alerts/{drift.pk}/acknowledge/").status_code == 403
        assert as_trader.post(f"/alerts/{drift.pk}/acknowledge/").status_code == 302
        assert alerts()[0].acknowledged_by == "user:tom"

    def test_mutes_with_a_reason_and_an_end(self, as_trader, drift):
        as_trader.post(f"/alerts/{drift.pk}/mute/", {"reason": " ", "for": "1h"})
        as_trader.post(f"/alerts/{drift.pk}/mute/", {"reason": "why not", "for": "ever"})
        assert not Mute.objects.exists()
        as_trader.post(f"/alerts/{drift.pk}/mute/", {"reason": "planned", "for": "1d"})
        mute = Mute.objects.get()
        assert (mute.subject, mute.who) == (drift.subject, "user:tom")
        assert "Muted until" in shown(as_trader.get("/alerts/"))
        as_trader.post(f"/alerts/mutes/{mute.pk}/end/")
        assert "Muted until" not in shown(as_trader.get("/alerts/"))


@pytest.mark.django_db
class TestTheCommand:
    def test_raises_a_test_alert_and_clears_it(self):
        for expected in ("raised", "cleared"):
            out = StringIO()
            call_command("test_alert", who="anna", stdout=out)
            assert expected in out.getvalue()
        assert told("test") == ["raised", "cleared"]
        assert alerts("test")[0].title == "TEST by anna: this is how an alert reaches you"
