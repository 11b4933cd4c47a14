"""Browsers in one thread: each keeps what docs/streaming.md says it must, and comes back with its token."""

import asyncio
import contextlib
import json
import threading
from decimal import Decimal

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from tests.portfolio.faults.rig import LONG, STARTING, until

# What a browser and a new one must show alike; a price's time and what follows from it may be a frame behind.
SHOWN = (
    "symbol", "account_id", "version", "status", "quantity", "entry_price", "realized_pnl", "fees", "funding",
    "mark_price", "unrealized_pnl", "liquidation_price", "leverage", "proof",
)  # fmt: skip


class Screen:
    """One browser. It tries its web processes in turn, as behind a load balancer."""

    def __init__(self, urls, key, *, form="named", pings=False):
        self.urls, self.key, self.form, self.pings = urls, key, form, pings
        self.rows, self.columns, self.token = {}, (), ""
        self.frames = self.snapshots = self.connections = 0
        self.backwards = []
        self.is_open = False

    async def run(self):
        turn = 0
        while True:
            url = f"{self.urls[turn % len(self.urls)]}?format={self.form}&resume={self.token}"
            with contextlib.suppress(OSError, TimeoutError, WebSocketException):
                async with connect(
                    url,
                    additional_headers={"X-API-Key": self.key},
                    open_timeout=20,
                    max_size=None,
                    max_queue=None,
                ) as socket:
                    self.connections += 1
                    self.is_open = True
                    await self._listen(socket)
            self.is_open = False
            turn += 1
            await asyncio.sleep(0.2)

    async def _listen(self, socket):
        pinging = asyncio.create_task(self._ping(socket)) if self.pings else None
        try:
            async for text in socket:
                self.take(json.loads(text))
        finally:
            if pinging is not None:
                pinging.cancel()

    async def _ping(self, socket):
        with contextlib.suppress(WebSocketException):
            while True:
                await socket.send(json.dumps({"type": "ping", "token": self.token}))
                await asyncio.sleep(3)

    def take(self, frame):
        """Apply one frame as the documentation says."""
        self.frames += 1
        if frame["type"] == "snapshot":
            self.snapshots += 1
            self.rows = {row["id"]: row for row in frame["positions"]}
            self.columns = frame.get("columns", ())
        elif frame["type"] == "position_update":
            self._put(frame["position"])
        elif frame["type"] == "rows":
            for values in frame["rows"]:
                news = dict(zip(self.columns, values, strict=True))
                if news["id"] in self.rows:
                    self.rows[news["id"]] = self.rows[news["id"]] | news
        self.token = frame.get("token", self.token)

    def _put(self, row):
        known = self.rows.get(row["id"])
        if known is not None and row["version"] < known["version"]:
            self.backwards.append((row["id"], known["version"], row["version"]))
        if row["open"]:
            self.rows[row["id"]] = row
        else:
            self.rows.pop(row["id"], None)

    def shown(self):
        """What its user sees of each position."""
        return {key: {name: row[name] for name in SHOWN if name in row} for key, row in self.rows.items()}


class Clients:
    """Three browsers: two hear whole positions (one of them pings), one hears compact rows."""

    def __init__(self, rig):
        self.rig = rig
        key = rig.api_key()
        one, other = (web.socket_url for web in rig.webs())
        self.screens = {
            "named": Screen([one, other], key),
            "pinging": Screen([other, one], key, pings=True),
            "compact": Screen([one, other], key, form="compact"),
        }
        self._key = key
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="browsers", daemon=True)
        self._thread.start()
        self._running = [
            asyncio.run_coroutine_threadsafe(screen.run(), self._loop) for screen in self.screens.values()
        ]
        until(lambda: all(screen.snapshots for screen in self.screens.values()), STARTING, why=self._why)

    def _why(self):
        return f"no snapshot\n{self.rig.web_log.read_text()[-3000:]}"

    def server(self, url):
        """What a browser that connects now is shown; None while nobody is let in."""

        async def first():
            screen = Screen([url], self._key)
            options = {"additional_headers": {"X-API-Key": self._key}, "max_size": None, "max_queue": None}
            async with asyncio.timeout(20):
                # Unbounded: the library cannot close a connection of which it has stopped reading.
                async with connect(url, **options) as socket:
                    async for text in socket:
                        screen.take(json.loads(text))
                        if screen.snapshots:
                            return screen.shown()
            return None

        with contextlib.suppress(OSError, TimeoutError, WebSocketException):
            return asyncio.run_coroutine_threadsafe(first(), self._loop).result(30)
        return None

    def differences(self, accounts):
        """What browsers show otherwise than the servers, and the servers otherwise than the book."""
        found = []
        servers = {web.socket_url: self.server(web.socket_url) for web in self.rig.webs()}
        for url, shown in servers.items():
            if shown is None:
                found.append((url, "lets nobody in"))
                continue
            held = {
                key: Decimal(row["quantity"]) for key, row in shown.items() if row["account_id"] in accounts
            }
            book = self.rig.open_positions(accounts)
            if held != book:
                found.append((url, "shows", held, "not the book's", book))
            # An earlier test's venue is gone, and with it a price that never reached Postgres.
            past = {key for key, row in shown.items() if row["account_id"] not in accounts}
            for name, screen in self.screens.items():
                unequal = _unequal(screen.shown(), shown)
                found += [(url, name, *pair) for pair in unequal if pair[0] not in past]
        return found

    def backwards(self):
        """Positions that went back to an earlier version on a screen, within one connection."""
        return [(name, *one) for name, screen in self.screens.items() for one in screen.backwards]

    def close(self):
        for one in self._running:
            one.cancel()
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(LONG)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(LONG)
        self._loop.close()

    @staticmethod
    async def _end():
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait(others, timeout=20) if others else None


def _unequal(one, other):
    return [
        (key, {name: (one.get(key, {}).get(name), other.get(key, {}).get(name)) for name in SHOWN
               if one.get(key, {}).get(name) != other.get(key, {}).get(name)})
        for key in one.keys() | other.keys()
        if one.get(key) != other.get(key)
    ]  # fmt: skip
