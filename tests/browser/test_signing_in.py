"""Getting in, staying out, and how the doors look."""

import pytest
from django.template.loader import get_template

from tests.browser.conftest import PASSWORD, Site

pytestmark = pytest.mark.browser


class TestSigningIn:
    def test_leads_to_the_board(self, site: Site, vera):
        page = site.sign_in("vera")
        assert page.title().endswith("Board · Plumbline")
        assert (
            page.get_by_role("navigation", name="Main")
            .get_by_role("link", name="Board", exact=True)
            .is_visible()
        )
        assert site.complaints == []

    def test_leads_to_the_page_that_was_asked_for(self, site: Site, vera):
        page = site.page()
        page.goto("/alerts/")
        assert "/login/" in page.url
        page.get_by_label("Username").fill("vera")
        page.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url(f"{site.url}/alerts/")  # the page of the form ends so too

    def test_with_a_wrong_password_says_so_and_keeps_the_name(self, site: Site, vera):
        page = site.page()
        page.goto("/login/")
        page.get_by_label("Username").fill("vera")
        page.get_by_label("Password").fill("guess")
        page.get_by_role("button", name="Sign in").click()
        assert "do not match" in page.get_by_role("alert").inner_text()
        assert page.get_by_label("Username").input_value() == "vera"

    def test_is_paused_after_five_guesses_even_with_the_right_password(self, site: Site, vera):
        page = site.page()
        for _ in range(5):
            page.goto("/login/")
            page.get_by_label("Username").fill("vera")
            page.get_by_label("Password").fill("guess")
            page.get_by_role("button", name="Sign in").click()
        assert page.get_by_role("heading", name="Sign-in is paused").is_visible()
        assert "Wait 5 min" in page.inner_text("main").replace("\N{NO-BREAK SPACE}", " ")
        page.goto("/login/")
        page.get_by_label("Username").fill("vera")
        page.get_by_label("Password").fill(PASSWORD)
        with page.expect_response(lambda r: r.request.method == "POST") as answer:
            page.get_by_role("button", name="Sign in").click()
        assert answer.value.status == 429

    def test_is_needed_again_after_logging_out(self, site: Site, vera):
        page = site.sign_in("vera")
        page.get_by_label("Your menu").click()
        page.get_by_role("button", name="Log out").click()
        page.goto("/")
        assert "/login/" in page.url


class TestTheMenu:
    def test_shows_admin_only_to_staff(self, site: Site, vera):
        assert site.sign_in("vera").get_by_role("link", name="Admin", exact=True).count() == 0

    def test_shows_admin_to_staff(self, site: Site, ada):
        page = site.sign_in("ada")
        page.get_by_role("link", name="Admin", exact=True).click()
        page.wait_for_url(f"{site.url}/admin/")

    def test_changes_a_password(self, site: Site, vera):
        page = site.sign_in("vera")
        page.get_by_label("Your menu").click()
        page.get_by_role("link", name="Change password").click()
        page.get_by_label("Old password").fill(PASSWORD)
        page.get_by_label("New password", exact=True).fill("12345")
        page.get_by_label("New password confirmation").fill("12345")
        page.get_by_role("button", name="Change password").click()
        assert "too short" in page.locator(".bad").inner_text()
        page.get_by_label("Old password").fill(PASSWORD)
        page.get_by_label("New password", exact=True).fill("a better plumb line")
        page.get_by_label("New password confirmation").fill("a better plumb line")
        page.get_by_role("button", name="Change password").click()
        assert page.get_by_role("heading", name="Password changed").is_visible()
        vera.refresh_from_db()
        assert vera.check_password("a better plumb line")
        assert site.complaints == []


class TestTheTheme:
    def test_follows_the_system_until_somebody_chooses_then_is_remembered(self, site: Site, vera):
        page = site.sign_in("vera")
        ground = "getComputedStyle(document.body).backgroundColor"
        page.emulate_media(color_scheme="light")
        light = page.evaluate(ground)
        page.emulate_media(color_scheme="dark")
        dark = page.evaluate(ground)
        assert light != dark
        page.get_by_label("Your menu").click()
        page.get_by_role("button", name="Light").click()
        assert page.evaluate(ground) == light
        page.reload()
        assert page.evaluate(ground) == light
        assert page.locator('[data-set-theme="light"]').get_attribute("aria-pressed") == "true"

    def test_is_set_before_the_first_paint(self, site: Site, vera):
        page = site.sign_in("vera")
        page.evaluate("localStorage.setItem('plumbline.theme', 'dark')")
        page.add_init_script(
            "new MutationObserver((_, o) => { if (document.body) {"
            " window.themeAtBody = document.documentElement.dataset.theme; o.disconnect(); } })"
            ".observe(document, { childList: true, subtree: true })"
        )
        page.reload()
        assert page.evaluate("window.themeAtBody") == "dark"


class TestErrorPages:
    def test_an_unknown_address_says_where_to_look(self, site: Site, vera):
        page = site.sign_in("vera")
        answer = page.goto("/positions/999999999/")
        assert answer is not None
        assert answer.status == 404
        assert page.get_by_role("link", name="Closed positions").is_visible()

    def test_a_broken_page_needs_no_context_no_database_and_nothing_from_elsewhere(self, db):
        text = get_template("500.html").template.render(__import__("django").template.Context({}))
        assert "This page broke" in text
        assert "style=" not in text
        assert "http" not in text
