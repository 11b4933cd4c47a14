"""Views of the board that people keep under a name."""

import pytest

from portfolio.models import SavedView


def keep(client, name, query="sort=-unrealized&group=asset"):
    return client.post("/views/", {"name": name, "query": query}, follow=True)


class TestAView:
    def test_is_kept_and_led_back_to(self, as_viewer):
        page = keep(as_viewer, "  Winners   first ").content.decode()
        assert "Kept as “Winners first”." in page
        assert 'href="/?sort=-unrealized&amp;group=asset" aria-current="true">Winners first</a>' in page

    def test_of_the_same_name_is_replaced(self, as_viewer, viewer):
        keep(as_viewer, "Mine")
        keep(as_viewer, "Mine", "q=btc")
        assert [view.query for view in SavedView.objects.filter(owner=viewer)] == ["q=btc"]

    def test_keeps_nothing_that_no_view_has(self, as_viewer):
        keep(as_viewer, "Mine", "next=https://elsewhere.example&sort=secret&q=btc")
        assert SavedView.objects.get().query == "q=btc"

    @pytest.mark.parametrize("name", ["", "   ", "x" * 41, "a\x00b"])
    def test_needs_a_name_that_fits(self, as_viewer, name):
        answer = as_viewer.post("/views/", {"name": name, "query": ""})
        assert answer.status_code in (302, 400)
        assert not SavedView.objects.exists()

    def test_is_seen_and_forgotten_by_its_owner_only(self, as_viewer, as_trader):
        keep(as_viewer, "Mine")
        assert "Mine</a>" not in as_trader.get("/").content.decode()
        view = SavedView.objects.get()
        assert as_trader.post(f"/views/{view.pk}/delete/").status_code == 404
        assert (
            "“Mine” is forgotten."
            in as_viewer.post(f"/views/{view.pk}/delete/", follow=True).content.decode()
        )
        assert not SavedView.objects.exists()

    def test_is_one_of_thirty_at_most(self, as_viewer, viewer):
        SavedView.objects.bulk_create(SavedView(owner=viewer, name=f"view {n}", query="") for n in range(30))
        assert "delete one first" in keep(as_viewer, "One more").content.decode()
        assert SavedView.objects.count() == 30
        assert "Kept as" in keep(as_viewer, "view 3").content.decode()

    def test_with_the_longest_search_fits(self, as_viewer):
        keep(as_viewer, "Long", "q=" + "%F0%9F%90%8B" * 200)
        assert SavedView.objects.get().name == "Long"
