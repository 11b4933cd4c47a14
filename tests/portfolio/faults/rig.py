"""A small production of its own: Postgres and Redis that may be restarted, stream and web processes, a venue.

Waits are long: the machine may be a slow one, and busy. What a wait is for is checked many times a second, so
on a quick one nobody waits longer than it takes.
"""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from decimal import Decimal
from pathlib import Path

import psycopg
import redis
from cryptography.fernet import Fernet

from config.embedded import Services
from config.servers import free_port

ROOT = Path(__file__).resolve().parents[3]


LONG = 60.0
STARTING = 150.0  # six processes of the product at once, on a machine that does other things too


def until(true, seconds=LONG, every=0.05, why=lambda: "did not happen in time"):
    """Wait; return the seconds it took."""
    began = time.monotonic()
    while not true():
        if time.monotonic() - began > seconds:
            raise AssertionError(f"not within {seconds:.0f} s: {why()}")
        time.sleep(every)
    return time.monotonic() - began


class Venue:
    """A simulated venue in a process of its own."""

    def __init__(self, log, *arguments, venue="hyperliquid"):
        self.name, self.port = venue, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "simulator", "--venue", venue]
        command += ["--port", str(self.port), "--allow-control", *arguments]
        with log.open("ab") as out:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out)
        until(self.answers, STARTING, why=lambda: log.read_text(errors="replace")[-3000:])

    def answers(self):
        with contextlib.suppress(OSError):
            return bool(self.ask("/sim/users"))
        return False

    def ask(self, path, body=None, method=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path, data, {"Content-Type": "application/json"}, method=method
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def users(self):
        return [row["user"] for row in self.ask("/sim/users")]

    def truth(self, user):
        return self.ask(f"/sim/truth?user={user}")

    def cause(self, **spec):
        return self.ask("/sim/faults", spec)

    def trade(self, user, size, side="buy", coin="ETH"):
        return self.cause(kind="trade", user=user, coin=coin, side=side, size=str(size))

    def pause(self, paused=True):
        self.ask("/sim/pause", {"paused": paused})

    def clear(self):
        self.ask("/sim/faults", method="DELETE")

    def stop(self):
        kill(self.process)


def kill(process):
    process.kill()
    process.wait(LONG)


class Web:
    """One web process of the product (Daphne), always on the same port."""

    def __init__(self, rig):
        self.rig, self.port = rig, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.socket_url = f"ws://127.0.0.1:{self.port}/api/v1/positions/stream"
        self.start()

    def start(self):
        command = [sys.executable, "-m", "daphne", "--bind", "127.0.0.1", "--port", str(self.port)]
        with self.rig.web_log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--verbosity", "0", "--ping-timeout", "20", "config.asgi:application"],
                cwd=ROOT, env=self.rig.environment, stdout=log, stderr=log,
            )  # fmt: skip

    def answers(self):
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/health/live", timeout=20):
            return True
        return False

    def until_up(self):
        until(self.answers, STARTING, why=lambda: self.rig.web_log.read_text(errors="replace")[-3000:])


class Rig:
    """Services of its own, and the product's stream and web processes on them."""

    def __init__(self, data_dir):
        self.data_dir = data_dir
        self.key = Fernet.generate_key().decode()
        self.services = Services(data_dir, durable=True)
        self.urls = self.services.acquire()
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"},
            "DATA_DIR": str(data_dir),
            "DATABASE_URL": self.urls.database,
            "REDIS_URL": self.urls.redis,
            "CREDENTIALS_KEYS": self.key,
            "LOG_LEVEL": "INFO",
            "FILL_POLL_SECONDS": "2",
        }
        self.log, self.web_log = data_dir / "stream.log", data_dir / "web.log"
        self.processes = []
        self._webs = []
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
            cwd=ROOT, env=self.environment, check=True,
        )  # fmt: skip
        for _ in range(2):  # they start up beside whatever comes next
            self.stream()
            self._webs.append(Web(self))

    def webs(self):
        """Two web processes that are up."""
        for web in self._webs:
            web.until_up()
        return self._webs

    def api_key(self):
        """The text of a key that may read everything."""
        owner = f"rig-{secrets.token_hex(4)}"  # people stay: each test makes its own
        subprocess.run(
            [sys.executable, "manage.py", "createsuperuser", "--noinput", "--username", owner, "--email", ""],
            cwd=ROOT, env=self.environment | {"DJANGO_SUPERUSER_PASSWORD": "rig"}, check=True,
            capture_output=True,
        )  # fmt: skip
        made = subprocess.run(
            [sys.executable, "manage.py", "create_api_key", "browsers", "--tier", "unlimited",
             "--owner", owner],
            cwd=ROOT, env=self.environment, check=True, capture_output=True, text=True,
        )  # fmt: skip
        return made.stdout.strip()

    def stream(self, **environment):
        """Start one copy."""
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "manage.py", "stream"],
                cwd=ROOT, env=self.environment | environment, stdout=log, stderr=log,
            )  # fmt: skip
        self.processes.append(process)
        return process

    def end(self, process, number=signal.SIGTERM):
        began = time.monotonic()
        self.processes.remove(process)
        process.send_signal(number)
        try:
            process.wait(LONG)
        except subprocess.TimeoutExpired:
            kill(process)
            raise AssertionError(f"still there {LONG:.0f} s after signal {number}: {self.told()}") from None
        return time.monotonic() - began

    def told(self):
        """The end of what the copies logged."""
        return self.log.read_text(errors="replace")[-4000:]

    def query(self, statement, *values):
        with psycopg.connect(self.urls.database, autocommit=True, connect_timeout=20) as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    @property
    def redis(self):
        return redis.Redis.from_url(self.urls.redis, socket_timeout=20, socket_connect_timeout=20)

    def account(self, venue, user, label):
        """An enabled account: of an address, or (Coinbase) of an API key."""
        keys = json.dumps({"api_key": user, "secret": "any"}).encode()
        [[pk]] = self.query(
            "INSERT INTO positions_account (label, venue, environment, base_url, address, credentials,"
            " enabled, pause_reason, options, created_at) VALUES (%s, %s, 'simulated', %s, %s, %s,"
            " true, '', '{}', now()) RETURNING id",
            label, venue.name, venue.url, user if venue.name == "hyperliquid" else "",
            Fernet(self.key).encrypt(keys).decode() if venue.name == "coinbase" else "",
        )  # fmt: skip
        return pk

    def copies(self, count):
        """So many copies that are up: those that run already, and new ones."""
        for process in self.processes[count:]:
            self.end(process)
        while len(self.processes) < count:
            self.stream()
        until(lambda: self.redis.hlen("plumbline:stream:copies") == count, STARTING, why=self.told)
        return list(self.processes)

    def retire(self):
        """Leave no account enabled: copies that run are ready for the next test."""
        self.query("UPDATE positions_account SET enabled = false, label = label || ' ' || id WHERE enabled")
        self.forget_budgets()

    def forget_budgets(self):
        """The venue's rate limits as after some quiet minutes."""
        for key in self.redis.scan_iter("plumbline:venues:budget:*"):
            self.redis.delete(key)

    def feed(self, account):
        text = self.redis.hget("plumbline:feeds", account)
        return json.loads(text) if text else {"state": None, "copy": None}

    def is_live(self, *accounts):
        return all(self.feed(account)["state"] == "live" for account in accounts)

    def fills(self, account):
        [[count]] = self.query(
            "SELECT count(*) FROM positions_entry WHERE account_id = %s AND kind = 'fill'", account
        )
        return count

    def sizes(self, account):
        return dict(
            self.query(
                "SELECT i.venue_symbol, p.quantity FROM positions_position p"
                " JOIN positions_instrument i ON i.id = p.instrument_id"
                " WHERE p.account_id = %s AND p.quantity <> 0 AND i.kind <> 'asset'",
                account,
            )
        )

    def open_positions(self, accounts):
        """Signed quantity by position, of these accounts, as the book has it."""
        return dict(
            self.query(
                "SELECT id, quantity FROM positions_position WHERE account_id = ANY(%s) AND quantity <> 0",
                list(accounts),
            )
        )

    def differences(self, venue, user, account):
        """What the book says otherwise than the venue's own ledger: {} when nothing."""
        truth = venue.truth(user)
        said = {coin: Decimal(one["size"]) for coin, one in truth["positions"].items()}
        found = {}
        if self.sizes(account) != said:
            found["sizes"] = (self.sizes(account), said)
        if self.fills(account) != truth["totals"]["fills"]:
            found["fills"] = (self.fills(account), truth["totals"]["fills"])
        [[duplicates]] = self.query(
            "SELECT count(*) - count(DISTINCT venue_ref) FROM positions_entry WHERE account_id = %s", account
        )
        if duplicates:
            found["duplicates"] = duplicates
        return found

    def agrees(self, venue, user, account):
        """Whether book and truth are equal. Services that are away answer nothing: then not."""
        with contextlib.suppress(psycopg.Error, OSError):
            return not self.differences(venue, user, account)
        return False

    def close(self):
        for process in [*self.processes, *(web.process for web in self._webs)]:
            kill(process)
        self.services.release()
