"""A small production of its own: Postgres and Redis that may be restarted, stream processes, a venue."""

import contextlib
import json
import os
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


def until(true, seconds=20.0, every=0.05, why=lambda: "did not happen in time"):
    """Wait; return the seconds it took."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds, why()
        time.sleep(every)
    return time.monotonic() - began


class Venue:
    """A simulated venue in a process of its own."""

    def __init__(self, log, *arguments, venue="hyperliquid"):
        self.name, self.port = venue, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "positions.venues.simulator", "--venue", venue]
        command += ["--port", str(self.port), "--allow-control", *arguments]
        with log.open("ab") as out:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out)
        until(self.answers)

    def answers(self):
        with contextlib.suppress(OSError):
            return bool(self.ask("/sim/users"))
        return False

    def ask(self, path, body=None, method=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path, data, {"Content-Type": "application/json"}, method=method
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
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
        self.process.kill()
        self.process.wait()


class Rig:
    """Services of its own, and the product's stream processes on them."""

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
        self.log = data_dir / "stream.log"
        self.processes = []
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
            cwd=ROOT, env=self.environment, check=True,
        )  # fmt: skip

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
        process.send_signal(number)
        process.wait(15)
        self.processes.remove(process)
        return time.monotonic() - began

    def query(self, statement, *values):
        with psycopg.connect(self.urls.database, autocommit=True, connect_timeout=2) as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    @property
    def redis(self):
        return redis.Redis.from_url(self.urls.redis, socket_timeout=2, socket_connect_timeout=2)

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
        until(
            lambda: self.redis.hlen("plumbline:stream:copies") == count,
            60,
            why=lambda: self.log.read_text()[-3000:],
        )
        return list(self.processes)

    def retire(self):
        """Leave no account enabled: copies that run are ready for the next test."""
        self.query("UPDATE positions_account SET enabled = false, label = label || ' ' || id WHERE enabled")

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
        for process in self.processes:
            process.kill()
            process.wait()
        self.services.release()
