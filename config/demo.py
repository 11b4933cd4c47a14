"""`bin/demo`: run the embedded services and every process of the Procfile until Ctrl-C or SIGTERM.

Imports no Django. It first ends the processes that an earlier, killed run left; it finds them by the DATA_DIR
in their environment.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import honcho.manager
import psutil
from honcho.environ import parse_procfile

from config import embedded, servers
from config.manage import ROOT, data_directory

MARK = "PLUMBLINE_DEMO"
# The local venues of the Procfile, by name: each keeps its port, because accounts point at it.
VENUES = ("replay", "hyperliquid", "coinbase")
SCENARIOS = ("calm", "trend", "crash")
KILL_AFTER = 3  # seconds from SIGTERM to SIGKILL: the whole must be gone within 5


class DemoFailed(RuntimeError):
    """The demo cannot start; the message is one line that says what to do."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="bin/demo", description="Run Plumbline with simulated venues.")
    parser.add_argument("--reset", action="store_true", help="forget all data first")
    parser.add_argument("--speed", type=_speed, default="3", help="how fast the venues' markets move (3)")
    parser.add_argument("--scenario", choices=SCENARIOS, default="calm", help="what the markets do (calm)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _stop_while_starting)
    os.umask(0o077)  # logs, states and schedules too are for the owner only
    try:
        demo = Demo(data_directory(), speed=options.speed, scenario=options.scenario)
        return demo.run(reset=options.reset)
    except (DemoFailed, servers.ServiceFailed) as error:
        print(f"bin/demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _speed(text: str) -> str:
    if not 0 < float(text) <= 1000:
        raise ValueError(text)
    return text


def _stop_while_starting(number: int, _: Any) -> None:
    _ignore_further_signals()
    raise SystemExit(128 + number)


def _ignore_further_signals() -> None:
    """Ignore signals from now on, so that the shutdown is not cut short."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class Demo:
    """One running demo on one data directory."""

    def __init__(self, data_dir: Path, *, speed: str = "3", scenario: str = "calm") -> None:
        self.data_dir = data_dir
        self.market = {"DEMO_SPEED": speed, "DEMO_SCENARIO": scenario}
        self.port = _port()
        self.url = f"http://127.0.0.1:{self.port}"

    def run(self, *, reset: bool) -> int:
        """Start everything, wait for the end, stop everything; return the exit code."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with self._alone():
            end_leftovers(self.data_dir)
            if reset:
                self._forget()
            if servers.free_port(self.port) != self.port:
                raise DemoFailed(
                    f"port {self.port} is taken by another program: stop that, or choose another one, "
                    f"like PORT={self.port + 1} bin/demo"
                )
            try:
                with embedded.running(self.data_dir) as urls:
                    environment = self._environment(urls)
                    self._seed(environment)
                    return self._run_processes(environment | self._app_role(environment))
            finally:
                end_leftovers(self.data_dir)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Refuse a second demo on the same data. A pid file: forked children would inherit a lock."""
        note = self.data_dir / "demo.pid"
        running = servers.read_json(note)
        if running and servers.is_alive(running.get("pid", 0), running.get("born", 0)):
            raise DemoFailed(
                f"already running at {running.get('url')} (pid {running.get('pid')}) on {self.data_dir}: "
                "use that one, or set DATA_DIR and PORT to run a second"
            )
        me = {"pid": os.getpid(), "born": servers.born(os.getpid()), "url": self.url}
        servers.write_private(note, json.dumps(me))
        try:
            yield
        finally:
            note.unlink(missing_ok=True)

    def _forget(self) -> None:
        services = embedded.Services(self.data_dir)
        services.release()
        if services.in_use():
            raise DemoFailed(f"another command still uses {self.data_dir}: wait for it, then reset again")
        for path in self.data_dir.iterdir():
            if path.name not in ("demo.pid", "test"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _environment(self, urls: embedded.Urls) -> dict[str, str]:
        ports_file = self.data_dir / "demo-ports.json"
        ports = self._venue_ports(servers.read_json(ports_file))
        servers.write_private(ports_file, json.dumps(ports))
        venue_ports = {f"{name.upper()}_PORT": str(port) for name, port in ports.items()}
        return (
            os.environ
            | self.market
            | venue_ports
            | {
                MARK: str(self.data_dir),
                "DATA_DIR": str(self.data_dir),
                "DATABASE_URL": urls.database,
                "REDIS_URL": urls.redis,
                "PORT": str(self.port),
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
                "SIM_CONTROL_TOKEN": self._control_token(),
                "PYTHONUNBUFFERED": "1",
                "LOG_FORMAT": os.environ.get("LOG_FORMAT", "console"),
                "HL_ALLOCATION": os.environ.get("HL_ALLOCATION", "0.80"),
                "CB_ALLOCATION": os.environ.get("CB_ALLOCATION", "0.20"),
            }
        )

    def _control_token(self) -> str:
        """Make the token that the venues' /sim asks for, in a file that only who started the demo reads."""
        token = secrets.token_urlsafe(32)
        servers.write_private(self.data_dir / "control-token", token)
        return token

    def _venue_ports(self, known: dict[str, Any]) -> dict[str, int]:
        """The ports of the venues: accounts and their instruments belong to an address, so it never moves."""
        told = servers.read_json(self.data_dir / "demo.json").get("venues", {})
        ports = {}
        for name in VENUES:
            used = known.get(name) or urllib.parse.urlsplit(told.get(name, "")).port
            ports[name] = servers.free_port(used)
            if used and ports[name] != used:
                raise DemoFailed(
                    f"port {used}, where the {name} venue lives, is taken by another program: stop that, "
                    "or start afresh with bin/demo --reset"
                )
        return ports

    def _app_role(self, environment: dict[str, str]) -> dict[str, str]:
        """The processes work as a role that owns nothing, where the database is the embedded one."""
        if os.environ.get("DATABASE_URL"):
            return {}
        postgres = embedded.Services(self.data_dir).postgres
        port = urllib.parse.urlsplit(environment["DATABASE_URL"]).port or 0
        return {"DATABASE_URL": postgres.grant(port, ROOT / "deploy" / "database_roles.sql")}

    def _seed(self, environment: dict[str, str]) -> None:
        venues = [
            part
            for name in VENUES
            for part in (f"--{name}", f"http://127.0.0.1:{environment[f'{name.upper()}_PORT']}")
        ]
        seeded = subprocess.run(
            [sys.executable, "manage.py", "seed_demo", *venues,
             "--url", self.url, "--write", str(self.data_dir / "demo.json")],
            cwd=ROOT, env=environment, check=False,
        )  # fmt: skip
        if seeded.returncode:
            raise DemoFailed("the demo could not be prepared: the lines above say why")

    def _run_processes(self, environment: dict[str, str]) -> int:
        honcho.manager.KILL_WAIT = KILL_AFTER
        manager = honcho.manager.Manager()
        for name, command in parse_procfile((ROOT / "Procfile").read_text()).processes.items():
            manager.add_process(name, command, env=environment, cwd=str(ROOT))
        threading.Thread(target=self._announce, daemon=True).start()
        try:
            manager.loop()
        finally:
            _ignore_further_signals()
        return int(manager.returncode or 0)

    def _announce(self) -> None:
        """Say where to go once the pages answer."""
        late_at = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError, urllib.error.URLError):
                urllib.request.urlopen(f"{self.url}/health/live", timeout=2).close()
                login = servers.read_json(self.data_dir / "demo.json")
                print(
                    f"\n  Plumbline runs at {self.url}\n"
                    f"  Log in as {login.get('username')} with the password {login.get('password')}\n"
                    f"  (also in {self.data_dir / 'demo.json'}). Ctrl-C ends it.\n",
                    flush=True,
                )
                return
            if time.monotonic() > late_at:
                late_at = float("inf")
                print("bin/demo: no answer from the web process yet: its messages are above", file=sys.stderr)
            time.sleep(0.1)


def _port() -> int:
    text = os.environ.get("PORT", "").strip() or "8000"
    if not (text.isascii() and text.isdigit()) or not 0 < int(text) < 65536:
        raise DemoFailed(f"PORT={text!r}: set it to a number from 1 to 65535")
    return int(text)


def end_leftovers(data_dir: Path) -> None:
    """End every process that a demo on `data_dir` started and that outlived it."""
    ours = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    left = [
        process for process in psutil.process_iter() if process.pid not in ours and _is_of(process, data_dir)
    ]
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, stubborn = psutil.wait_procs(left, timeout=2)
    for process in stubborn:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _is_of(process: psutil.Process, data_dir: Path) -> bool:
    with contextlib.suppress(psutil.Error, OSError):
        environment = process.environ()
        if environment.get(MARK) == str(data_dir):
            return True
        # honcho's own helpers are forks of bin/demo: they show the environment that it was started with.
        if "config.demo" in process.cmdline() and process.cwd() == str(ROOT):
            named = environment.get("DATA_DIR", "").strip() or ROOT / ".data"
            return Path(named).expanduser().resolve() == data_dir
    return False


if __name__ == "__main__":
    sys.exit(main())
