"""What `bin/audit` makes of lock files, of OSV's answers, and of a network that is away."""

import datetime
import http.server
import json
import socket
import threading

import pytest

from tests import audit
from tests.audit import NotAsked, Package

TODAY = datetime.date(2026, 6, 1)
DJANGO = Package("PyPI", "django", "5.2.19")


@pytest.fixture
def osv():
    """A server that answers as OSV does: what it was asked, and what it shall answer."""
    asked, answers = [], []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            status, body = answers.pop(0)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked, answers
    server.shutdown()
    server.server_close()


def exception(**changed):
    return {
        "id": "GHSA-1", "since": TODAY, "until": TODAY + datetime.timedelta(days=30),
        "reason": "not reachable",
    } | changed  # fmt: skip


class TestTheLockFiles:
    def test_are_all_read(self):
        found = audit.locked(audit.ROOT)
        assert {one.ecosystem for one in found} == {"PyPI", "npm"}
        names = {one.name.lower() for one in found}
        assert {"django", "ccxt", "pytest", "uv"} <= names
        assert all(one.version[0].isdigit() for one in found)


class TestAsking:
    def test_names_what_is_known(self, osv):
        url, asked, answers = osv
        answers.append(
            (200, json.dumps({"results": [{}, {"vulns": [{"id": "GHSA-2"}, {"id": "GHSA-1"}]}]}).encode())
        )
        found = audit.ask([Package("npm", "x", "1.0"), DJANGO], url=url)
        assert found == {DJANGO: ["GHSA-1", "GHSA-2"]}
        assert asked[0]["queries"][1] == {
            "package": {"ecosystem": "PyPI", "name": "django"},
            "version": "5.2.19",
        }

    @pytest.mark.parametrize(
        "answer",
        [(500, b""), (200, b"<html>"), (200, b"[]"), (200, b'{"results": []}'), (200, b'{"results": 7}')],
    )
    def test_that_is_answered_otherwise_is_not_asked(self, osv, answer):
        url, _, answers = osv
        answers.append(answer)
        with pytest.raises(NotAsked):
            audit.ask([DJANGO], url=url)

    def test_without_a_network_makes_nothing_red(self, monkeypatch, capsys):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        monkeypatch.setattr(audit.ask, "__kwdefaults__", {"url": f"http://127.0.0.1:{port}"})
        assert audit.main() == 0
        assert "could not be asked" in capsys.readouterr().out


class TestAVulnerability:
    def test_is_wrong_unless_it_is_excepted(self):
        found = {DJANGO: ["GHSA-1", "GHSA-2"]}
        assert audit.judge(found, [], today=TODAY) == ["django 5.2.19 (PyPI): GHSA-1, GHSA-2"]
        assert audit.judge(found, [exception()], today=TODAY) == ["django 5.2.19 (PyPI): GHSA-2"]

    @pytest.mark.parametrize(
        ("changed", "says"),
        [
            ({"until": TODAY - datetime.timedelta(days=1)}, "the exception ended on 2026-05-31"),
            ({"until": TODAY + datetime.timedelta(days=400)}, "92 days at most"),
            ({"until": "2026-09-01"}, "needs `since`, `until` and `reason`"),
            ({"reason": ""}, "needs `since`, `until` and `reason`"),
        ],
    )
    def test_is_not_excepted_for_ever(self, changed, says):
        wrong = audit.judge({DJANGO: ["GHSA-1"]}, [exception(**changed)], today=TODAY)
        assert says in wrong[0]
        assert wrong[1] == "django 5.2.19 (PyPI): GHSA-1"
