"""The embedded services, really started, stopped, killed and shared."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from config import embedded, servers
from config.embedded import Services

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.processes


@pytest.fixture
def services(tmp_path):
    made = Services(tmp_path, durable=False)
    yield made
    made.release()
    made.valkey.stop()
    made.postgres.stop()


def query(urls, statement):
    with psycopg.connect(urls.database, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else None


def wait_gone(process):
    psutil.wait_procs([process], timeout=5)
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


class TestServices:
    def test_answer_and_their_passwords_are_private(self, services, tmp_path):
        urls = services.acquire()
        assert query(urls, "SELECT 1") == [(1,)]
        assert redis.Redis.from_url(urls.redis).ping()
        for name in ("services.json", "embedded.json"):
            assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
        with pytest.raises(redis.AuthenticationError):
            redis.Redis.from_url(urls.redis.replace(services.valkey.password + "@", "wrong@")).ping()
        with pytest.raises(psycopg.OperationalError, match="password"):
            query(embedded.Urls(urls.database.replace(services.postgres.password, "wrong"), ""), "SELECT 1")

    def test_keep_data_and_port_over_a_restart(self, services):
        urls = services.acquire()
        query(urls, "CREATE TABLE fact (n int)")
        query(urls, "INSERT INTO fact VALUES (42)")
        services.release()
        assert services.postgres.running() is None
        assert services.valkey.running() is None
        again = services.acquire()
        assert again == urls
        assert query(again, "SELECT n FROM fact") == [(42,)]

    def test_recover_from_kill_9_of_both(self, services):
        services.postgres.durable = services.valkey.durable = True
        urls = services.acquire()
        redis.Redis.from_url(urls.redis).set("fact", 42)
        query(urls, "CREATE TABLE fact (n int)")
        for process in (services.postgres.running(), services.valkey.running()):
            process.kill()
            wait_gone(process)
        again = services.acquire()
        assert query(again, "SELECT count(*) FROM fact") == [(0,)]
        assert redis.Redis.from_url(again.redis).get("fact") == b"42"

    def test_are_not_fooled_by_a_stale_pid_file(self, services, tmp_path):
        services.acquire()
        services.release()
        (tmp_path / "postgres" / "postmaster.pid").write_text(f"{os.getpid()}\n{tmp_path}\n1\n1\n\n\n\n\n")
        (tmp_path / "valkey" / "valkey.pid").write_text(str(os.getpid()))
        assert query(services.acquire(), "SELECT 1") == [(1,)]

    def test_start_over_after_a_half_made_cluster(self, services, tmp_path):
        (tmp_path / "postgres.new").mkdir()
        (tmp_path / "postgres.new" / "PG_VERSION").write_text("18")
        assert query(services.acquire(), "SELECT 1") == [(1,)]

    def test_move_aside_when_their_port_was_taken(self, services):
        import socket

        urls = services.acquire()
        port = services.postgres.port()
        services.release()
        with socket.socket() as thief:
            thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            thief.bind(("127.0.0.1", port))
            thief.listen()
            again = services.acquire()
            assert again.database != urls.database
            assert query(again, "SELECT 1") == [(1,)]

    def test_say_where_the_log_is_when_they_cannot_start(self, services, tmp_path):
        services.acquire()
        services.release()
        (tmp_path / "postgres" / "postgresql.conf").write_text("nonsense = here\n")
        with pytest.raises(servers.ServiceFailed, match=r"PostgreSQL stopped while starting.*postgres\.log"):
            services.acquire()

    def test_do_not_try_a_wrong_password_again_and_again(self, services, tmp_path):
        services.acquire()
        services.release()
        (tmp_path / "embedded.json").write_text('{"a')
        lost = Services(tmp_path, durable=False)
        started = time.monotonic()
        with pytest.raises(servers.ServiceFailed, match="restore that file, or start afresh"):
            lost.acquire()
        assert time.monotonic() - started < 15
        assert lost.postgres.running() is None


class TestTwoUsersOfOneDirectory:
    def test_share_the_services_and_the_last_one_stops_them(self, services, tmp_path):
        script = (
            "import sys; from pathlib import Path; from config.embedded import Services;"
            f"s = Services(Path({str(tmp_path)!r}), durable=False); s.acquire(); print('up', flush=True);"
            "sys.stdin.readline(); s.release()"
        )
        urls = services.acquire()
        other = subprocess.Popen(
            [sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert other.stdout.readline() == "up\n"
        services.release()
        assert query(urls, "SELECT 1") == [(1,)], "stopped although another process uses them"
        other.communicate("\n")
        assert services.postgres.running() is None

    def test_forget_one_that_was_killed(self, services, tmp_path):
        script = (
            "import time; from pathlib import Path; from config.embedded import Services;"
            f"Services(Path({str(tmp_path)!r}), durable=False).acquire(); print('up', flush=True);"
            "time.sleep(60)"
        )
        other = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert other.stdout.readline() == "up\n"
        other.send_signal(signal.SIGKILL)
        other.wait()
        services.acquire()
        services.release()
        assert services.postgres.running() is None


class TestBinManage:
    def test_starts_services_for_its_length(self, tmp_path):
        environment = {"PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path)}
        answer = subprocess.run(
            [sys.executable, "-m", "config.manage", "migrate", "-v0"],
            cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert answer.returncode == 0, answer.stderr
        assert Services(tmp_path).postgres.running() is None
        assert not (tmp_path / "services.json").exists()

    def test_plain_manage_works_beside_it(self, services, tmp_path):
        services.acquire()
        environment = {"PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path)}
        answer = subprocess.run(
            [sys.executable, "manage.py", "migrate", "--plan"],
            cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert answer.returncode == 0, answer.stderr
        assert "core.0001_initial" in answer.stdout
