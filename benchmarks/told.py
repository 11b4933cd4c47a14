"""How soon people know, in real processes: web, worker, beat and stream, a mail server and a browser.

From the commit of what reconciliation or a feed writes: a drift until a mail server accepted the mail, and
a price that crosses a band until the banner stands on a page that is open in Chromium. Nothing is called
directly: who evaluates, who sends and who pushes is whoever does so in production.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from email import message_from_bytes, policy
from multiprocessing.connection import Connection
from statistics import median
from typing import Any

from benchmarks._live_rig import Web
from config import servers

SAMPLES = 60
WITHIN = 15.0
WARM_UP = 60.0
SEEN = """
globalThis.seen = {};
document.addEventListener("plumbline:frame", () => { globalThis.heard = true; });
new MutationObserver(() => {
  const title = document.querySelector("[data-alarm]:not([hidden]) [data-alarm-title]")?.textContent;
  if (title) seen[title] ??= Date.now();
}).observe(document, { subtree: true, childList: true, characterData: true, attributes: true });
"""


def run(report: Callable[..., None]) -> None:
    """Milliseconds from commit to people, the slowest of a hundred and the median."""
    told, theirs = multiprocessing.Pipe()
    with ExitStack() as stack:
        port = stack.enter_context(_mail_server(told, theirs))
        web = Web(os.environ.get("BENCH_SERVER", "daphne"))
        stack.callback(web.end)
        os.environ |= {
            "EMAIL_URL": f"smtp://localhost:{port}", "EMAIL_FROM": "Plumbline <plumbline@desk.example>",
            "PUBLIC_URL": web.address,
        }  # fmt: skip
        for command in (
            ["celery", "--quiet", "--app", "config", "worker", "--concurrency", "2", "--without-gossip"],
            ["celery", "--quiet", "--app", "config", "beat", "--pidfile="],
            ["django", "stream"],
        ):
            stack.enter_context(_process(*command))
        web.until_up()
        desk = Desk()
        desk.drift()  # the first: processes load what they need
        _wait_for(told, desk.names[0], WARM_UP)
        waits = [_mailed(desk, told) for _ in range(SAMPLES)]
        _report(report, "drift committed to mail accepted", waits)
        if page := stack.enter_context(_page(web.address, desk.user)):
            _report(report, "band crossed to banner", [_shown(desk, page) for _ in range(SAMPLES)])


def _report(report: Callable[..., None], name: str, waits: list[float]) -> None:
    slowest = sorted(waits)[-1 - len(waits) // 100]
    report(f"{name}, p99 of {len(waits)}", slowest, "ms", 2000, "lower")
    report(f"{name}, median", median(waits), "ms", 1000, "lower")


# Around the product -----------------------------------------------------------------------------------------


class _Sink:
    """Takes every mail and says when, and its text: what changes together is one mail that lists all."""

    def __init__(self, told: Connection) -> None:
        self.told = told

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        message = message_from_bytes(envelope.content, policy=policy.default)
        text = message.get_body(("plain",))
        self.told.send((time.time(), "" if text is None else text.get_content()))
        return "250 accepted"


def _serve(told: Connection, port: int) -> None:
    from aiosmtpd.controller import Controller

    Controller(_Sink(told), hostname="127.0.0.1", port=port).start()
    told.send((0.0, "ready"))
    multiprocessing.Event().wait()


@contextmanager
def _mail_server(told: Connection, theirs: Connection) -> Iterator[int]:
    port = servers.free_port()
    server = multiprocessing.Process(target=_serve, args=(theirs, port), daemon=True)
    server.start()
    try:
        told.recv()
        yield port
    finally:
        server.kill()


@contextmanager
def _process(*command: str) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-m", *command], start_new_session=True)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def _page(address: str, user: Any) -> Iterator[Any]:
    """A page of the product that is open in Chromium; None, and said, where there is no Chromium."""
    from django.conf import settings
    from django.test import Client
    from playwright.sync_api import sync_playwright

    from tests.browser.chromium import ARGUMENTS, executable

    if executable() is None or not shutil.which(str(executable())):
        sys.stderr.write("no Chromium: the banner is not measured (CHROMIUM names it)\n")
        yield None
        return
    client = Client()
    client.force_login(user)
    session = client.cookies[settings.SESSION_COOKIE_NAME].value
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = (
        "1"  # Playwright keeps a loop in this thread; others have started
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=ARGUMENTS)
        context = browser.new_context(base_url=address)
        context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": address}])
        context.add_init_script(SEEN)
        page = context.new_page()
        page.goto("/portfolio/")
        page.wait_for_function("() => globalThis.heard", timeout=60_000)
        yield page
        browser.close()


# What happens -----------------------------------------------------------------------------------------------


class Desk:
    """Legs that are proven and far from liquidation, of each of which one thing goes wrong."""

    def __init__(self) -> None:
        from django.contrib.auth.models import Group, User
        from django.utils import timezone

        from core.security.scopes import Role
        from portfolio.models import Recipient, Subscription
        from positions.models import Account
        from tests.portfolio.market import Market

        now = timezone.now()
        self.user = User.objects.create_user("reader", email="reader@example.com")
        self.user.groups.add(Group.objects.get(name=Role.VIEWER.value))
        recipient = Recipient.objects.create(user=self.user)
        Subscription.objects.create(recipient=recipient, min_severity="warning", created_at=now)
        self.market = Market(now=now, label="bench")
        # Paused: there is no venue to read, and what is written here must stay.
        Account.objects.filter(pk=self.market.account.pk).update(paused_until=now + timedelta(days=1))
        self.names: list[str] = []
        self.legs = self._legs(now)

    def _legs(self, now: datetime) -> Iterator[tuple[str, str]]:
        from positions import observe
        from positions.book.world import World
        from reconciliation.models import Run, Verdict
        from tests.portfolio.market import described

        market, coins = self.market, [f"C{n}" for n in range(2 * SAMPLES + 5)]
        symbols = {f"{coin}/USDC:USDC": coin for coin in coins}
        market.instruments |= observe.instruments(
            world=World("hyperliquid", "simulated"),
            described=[
                described(symbol, "linear", coin, tick="0.1", step="0.001")
                for symbol, coin in symbols.items()
            ],
            now=now,
        )
        run = Run.objects.create(
            account=market.account, started_at=now, finished_at=now, as_of=now, complete=True
        )
        for symbol in symbols:
            market.mark(symbol, "100", now=now)
            market.fill("buy", "3", "100", now=now, instrument=symbol)
            market.state(symbol, now=now, quantity="3", liquidation_price="60")
            Verdict.objects.create(
                account=market.account, instrument_id=market.instruments[symbol], leg="net", status="SYNCED",
                as_of=now, seen_as_of=now, run=run, changed_at=now,
            )  # fmt: skip
        return iter([(f"{coin}-PERP ", symbol) for symbol, coin in symbols.items()])

    def _next(self) -> str:
        name, symbol = next(self.legs)
        self.names.append(name)
        return symbol

    def drift(self) -> float:
        """Write that a leg differs by 5 USD, as reconciliation does; return when that was committed."""
        from django.utils import timezone

        from reconciliation.models import Verdict

        now = timezone.now()
        suspected = [{"kind": "quantity", "book": "3", "venue": "2.95", "drift": True}]
        Verdict.objects.filter(instrument=self.market.instruments[self._next()]).update(
            status="DRIFT", suspected=suspected, seen_as_of=now, changed_at=now
        )
        return time.time()

    def cross(self) -> float:
        """Move a price to 1.6 % from liquidation; return when that was committed."""
        from django.utils import timezone

        now, symbol = timezone.now(), self._next()
        self.market.state(symbol, now=now, quantity="3", liquidation_price="60")
        self.market.mark(symbol, "61", now=now)
        return time.time()


def _mailed(desk: Desk, told: Connection) -> float:
    committed = desk.drift()
    return 1000 * (_wait_for(told, desk.names[-1], WITHIN) - committed)


def _wait_for(told: Connection, name: str, seconds: float) -> float:
    """Return when the first mail about a leg was accepted."""
    deadline = time.monotonic() + seconds
    while told.poll(max(0.0, deadline - time.monotonic())):
        at, text = told.recv()
        if f"DRIFT {name}" in text:
            return float(at)
    return time.time()


def _shown(desk: Desk, page: Any) -> float:
    committed = desk.cross()
    title = f"LIQUIDATION NEAR {desk.names[-1]}"
    script = "(start) => Object.entries(seen).find(([title]) => title.startsWith(start))?.[1]"
    found = page.wait_for_function(script, arg=title, timeout=WITHIN * 1000)
    return float(found.json_value()) - 1000 * committed
