"""Pictures of every page of a running demo: `python -m tests.browser.screenshots FOLDER [--data-dir .data]`.

Desktop and phone, light and dark. Says what scrolls sideways and what the console complained about; exits
with 1 if anything did.
"""

import argparse
import json
import sys
from pathlib import Path

from django.conf import settings
from django.template import Context, Engine
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.chromium import ARGUMENTS, executable

ROOT = Path(__file__).resolve().parents[2]
SIZES = {"desktop": (1440, 900, 1), "phone": (390, 844, 2)}
THEMES = ("light", "dark")
SIGNED_OUT = {"login": "/login/"}
PAGES = {
    "board": "/",
    "portfolio": "/portfolio/",
    "proof": "/reconciliation/",
    "cases": "/reconciliation/cases/",
    "certificates": "/reconciliation/runs/",
    "feeds": "/feeds/",
    "allocation": "/reconciliation/allocation/",
    "statistics": "/reconciliation/statistics/",
    "alerts": "/alerts/",
    "closed": "/positions/closed/",
    "entries": "/entries/",
    "password": "/password/",
    "not-found": "/nothing/here/",
    "admin": "/admin/",
    "api-docs": "/api/docs",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data-dir", type=Path, default=ROOT / ".data")
    arguments = parser.parse_args()
    demo = json.loads((arguments.data_dir / "demo.json").read_text())
    arguments.folder.mkdir(parents=True, exist_ok=True)
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=ARGUMENTS)
        for size in SIZES:
            for theme in THEMES:
                complaints += _tour(browser, demo, arguments.folder, size, theme)
        browser.close()
    sys.stderr.writelines(f"{line}\n" for line in complaints)
    return 1 if complaints else 0


def _tour(browser: Browser, demo: dict, folder: Path, size: str, theme: str) -> list[str]:
    width, height, scale = SIZES[size]
    heard: list[str] = []
    with browser.new_context(
        base_url=demo["url"],
        viewport={"width": width, "height": height},
        device_scale_factor=scale,
        color_scheme=theme,
    ) as context:
        page = context.new_page()
        page.on("console", lambda m: heard.append(f"{m.type}: {m.text}") if m.type == "error" else None)
        page.on("pageerror", lambda error: heard.append(f"exception: {error}"))
        for name, path in SIGNED_OUT.items():
            _shoot(page, name, path, folder / f"{name}-{size}-{theme}.png", width, heard)
        page.get_by_label("Username").fill(demo["username"])
        page.get_by_label("Password").fill(demo["password"])
        page.get_by_role("button", name="Sign in").click()
        page.locator('[data-badge][data-state="live"]').wait_for()
        pages = PAGES | _details(page)
        for name, path in pages.items():
            _shoot(page, name, path, folder / f"{name}-{size}-{theme}.png", width, heard)
        _shoot_broken(page, folder / f"broken-{size}-{theme}.png")
    expected = "the server responded with a status of 404"
    return [f"{size} {theme}: {line}" for line in heard if expected not in line]


def _details(page: Page) -> dict[str, str]:
    """The first position and account of the board, if it has any."""
    links = page.locator("[data-rows] [data-link]")
    if not links.count():
        return {}
    position = links.first.get_attribute("href") or ""
    page.goto(position)
    account = page.locator('a[href^="/accounts/"]').first.get_attribute("href") or ""
    return {"position": position, "account": account}


def _shoot(page: Page, name: str, path: str, target: Path, width: int, heard: list[str]) -> None:
    page.goto(path)
    if page.locator("[data-badge]").count():
        page.locator('[data-badge][data-state="live"]').wait_for()
    page.wait_for_timeout(400)
    wide = page.evaluate("document.documentElement.scrollWidth")
    if wide > width and name not in ("admin", "api-docs"):
        heard.append(f"{name} scrolls sideways: {wide} of {width}")
    page.screenshot(path=target)


def _shoot_broken(page: Page, target: Path) -> None:
    """The page of a fault, as Django would send it: rendered without context."""
    engine = Engine(dirs=[ROOT / "templates"])
    body = engine.get_template("500.html").render(Context({}))
    page.route("**/broken", lambda route: route.fulfill(status=200, content_type="text/html", body=body))
    page.goto("/broken")
    page.wait_for_timeout(300)
    page.screenshot(path=target)


if __name__ == "__main__":
    if not settings.configured:
        settings.configure()
    sys.exit(main())
