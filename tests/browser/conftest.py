"""A real Chromium and the real web process, one of each per worker; each test gets its own clean window.

Playwright's synchronous interface keeps an event loop running in this thread. So the browser lives no longer
than a module (other modules' asynchronous tests need the thread), and meanwhile Django is told that queries
between its calls are meant.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import Group, User
from django.db import connection, connections
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from core.security.scopes import Role
from tests.browser import server
from tests.browser.chromium import ARGUMENTS, executable

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        browser = playwright.chromium.launch(executable_path=executable(), args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with browser.new_context() as context:
        yield context.new_page()


@pytest.fixture(scope="session")
def web_url(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the web process on this worker's test database and Redis."""
    database = server.database_url(connection.settings_dict)
    log = tmp_path_factory.mktemp("web") / "web.log"
    with server.running(database=database, redis=settings.REDIS_URL, log=log) as url:
        yield url


@dataclass
class Site:
    """The product as one person meets it. `complaints` is all that the browser's console had to say."""

    url: str
    context: BrowserContext
    complaints: list[str] = field(default_factory=list)

    def page(self) -> Page:
        page = self.context.new_page()
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(f"exception: {error}"))
        return page

    def _hear(self, message) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text} ({message.location.get('url')})")

    def sign_in(self, username: str) -> Page:
        """Through the form, as people do; returns the page that they land on."""
        page = self.page()
        page.goto(f"{self.url}/login/")
        page.get_by_label("Username").fill(username)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{self.url}/")
        return page


@pytest.fixture
def _connections(browser: Browser, django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Close this test's connection afterwards, or it would outlive the database: under a running event loop
    Django hands out another one than the one that pytest-django closes.
    """
    yield
    with django_db_blocker.unblock():
        connections.close_all()


@pytest.fixture
def site(web_url: str, browser: Browser, _connections: None, transactional_db: None) -> Iterator[Site]:
    with browser.new_context(base_url=web_url) as context:
        yield Site(web_url, context)


@pytest.fixture
def vera(site: Site) -> User:
    """A viewer."""
    return person("vera", Role.VIEWER)


@pytest.fixture
def ada(site: Site) -> User:
    """An admin."""
    return person("ada", Role.ADMIN, is_staff=True, is_superuser=True)


def person(name: str, role: Role, **fields: bool) -> User:
    user = User.objects.create_user(name, password=PASSWORD, **fields)
    user.groups.add(Group.objects.get(name=role.value))
    return user
