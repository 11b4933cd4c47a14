"""What docs/streaming.md shows is run as it stands there, against the real web process."""

import re
import subprocess
import sys
import threading
import time

import pytest
from django.utils import timezone

from core.models import ApiKey
from core.security.scopes import Scope
from tests.api_keys import issue_key
from tests.browser.stream_client import ROOT, STREAMING, WAIT, judge, snippets
from tests.portfolio.market import BTC, Market

pytestmark = pytest.mark.browser

# Into a page that the server really sent: Chromium lets one that a test made up reach no local network.
MOUNT = """() => {
  document.body.innerHTML = '<div id="app"></div>';
  window.streamUrl = location.origin.replace("http", "ws") + "/api/v1/positions/stream";
  const script = document.createElement("script");
  script.src = "/snippet.js";
  document.body.append(script);
}"""
MS = WAIT * 1000


@pytest.fixture
def market(site):
    """Long 2 BTC at 60,000, marked at 61,000."""
    now = timezone.now()
    market = Market(now=now)
    market.fill("buy", "2", "60000", now=now)
    market.mark(BTC, "61000", now=now)
    return market


def written(folder):
    """The snippets, and the types beside them, as somebody would copy them."""
    for name, code in snippets().items():
        (folder / name).write_text(code)
    types = ROOT / "static" / "types" / "plumbline-stream.d.ts"
    (folder / types.name).write_text(types.read_text())
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """One script for each framework."""
    folder = written(tmp_path_factory.mktemp("snippets"))
    done = judge("build.mjs", folder)
    assert done.returncode == 0, done.stderr
    return folder


class TestTheSnippets:
    def test_are_four_files(self):
        assert set(snippets()) == {"positions.ts", "Board.tsx", "Board.vue", "Board.svelte"}

    def test_use_the_types_rightly(self, tmp_path):
        done = judge("types.mjs", written(tmp_path))
        assert done.returncode == 0, done.stderr

    def test_that_use_a_type_wrongly_are_found(self, tmp_path):
        code = written(tmp_path) / "positions.ts"
        code.write_text(code.read_text().replace("frame.position.open", "frame.position.opened"))
        done = judge("types.mjs", tmp_path)
        assert done.returncode == 1
        assert "'opened' does not exist" in done.stderr

    @pytest.mark.parametrize("framework", ["react", "vue", "svelte"])
    def test_show_the_book_live_and_come_back_with_what_was_missed(
        self, site, vera, market, built, framework
    ):
        site.sign_in("vera").close()
        page = site.page()
        script = (built / f"{framework}.js").read_text()
        sockets = []

        def relay(socket):
            socket.connect_to_server()
            sockets.append(socket)

        page.route_web_socket(re.compile(r"/api/v1/positions/stream"), relay)
        page.route("**/snippet.js", lambda route: route.fulfill(content_type="text/javascript", body=script))
        page.goto("/password/done/")
        page.evaluate(MOUNT)
        page.locator("ul.live").wait_for(timeout=MS)
        item = page.locator("li")
        item.filter(has_text="BTC-PERP 2 2000").wait_for(timeout=MS)
        market.mark(BTC, "61500", now=timezone.now())
        item.filter(has_text="BTC-PERP 2 3000").wait_for(timeout=MS)
        sockets[-1].close(code=1012)
        page.locator("ul.offline").wait_for(timeout=MS)
        market.fill("sell", "1", "61500", now=timezone.now())
        item.filter(has_text="BTC-PERP 1 1500").wait_for(timeout=MS)
        page.locator("ul.live").wait_for(timeout=MS)
        assert len(sockets) >= 2
        assert "resume=" in sockets[-1].url
        market.fill("sell", "1", "61500", now=timezone.now())
        item.wait_for(state="detached", timeout=MS)
        assert site.complaints == []


class TestThePythonClient:
    def test_prints_what_moves_and_stops_when_its_key_is_revoked(self, site, market, tmp_path):
        key, text = issue_key(name="bot", scopes=[Scope.READ])
        (code,) = re.findall(r"```python\n(.*?)```", STREAMING, re.DOTALL)
        url = f"{site.url.replace('http', 'ws', 1)}/api/v1/positions/stream"
        script = tmp_path / "client.py"
        script.write_text(f"{code}\n\nasyncio.run(watch({url!r}, {text!r}))\n")
        client = subprocess.Popen(
            [sys.executable, str(script)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        lines: list[str] = []
        reader = threading.Thread(target=lambda: lines.extend(iter(client.stdout.readline, "")), daemon=True)
        reader.start()
        try:
            deadline = time.monotonic() + WAIT
            price = 61_000
            while not lines:  # it has to connect first: until then a mark is in its snapshot
                assert time.monotonic() < deadline, client.poll()
                price += 100
                market.mark(BTC, str(price), now=timezone.now())
                time.sleep(0.3)
            assert re.fullmatch(r"BTC/USDC:USDC \d+ 1\n", lines[0])
            ApiKey.objects.filter(pk=key.pk).update(revoked_at=timezone.now())
            client.wait(WAIT)
            assert "PermissionError: the key is unknown, revoked or may not read" in client.stderr.read()
        finally:
            client.kill()
            client.wait(WAIT)
            reader.join(WAIT)
