"""Postgres and Redis are reached over TLS that verifies whom it reaches, by Celery as by everybody else."""

import contextlib
import datetime
import ipaddress
import socket
import ssl
import threading

import pytest
import redis
from celery import Celery
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from config import env
from tests.config.test_settings import PRODUCTION, run


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A TLS server of an authority of its own: its port, the authority's file, what came through."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName(
        [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    )
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1)).add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    authority, private = folder / "ca.pem", folder / "key.pem"
    authority.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority, private)
    listening, through = socket.create_server(("0.0.0.0", 0)), []

    def accept():
        while True:
            try:
                plain, _ = listening.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as encrypted:
                through.append(encrypted.recv(100))

    threading.Thread(target=accept, daemon=True).start()
    yield listening.getsockname()[1], authority, through
    listening.close()


def celery(url):
    """Connect as Celery does with our settings."""
    app = Celery(broker=url.partition("?")[0])
    app.conf.broker_use_ssl = env.redis_tls(url)
    with app.connection_for_write(connect_timeout=5) as connection:
        connection.default_channel.client.ping()


def client(url):
    redis.Redis.from_url(url, socket_timeout=5).ping()


class TestRedis:
    @pytest.mark.parametrize("connect", [celery, client])
    def test_is_refused_when_its_certificate_is_of_an_unknown_authority(self, server, connect):
        port, _, through = server
        through.clear()
        with pytest.raises(Exception, match="CERTIFICATE_VERIFY_FAILED"):
            connect(f"rediss://:topsecret@127.0.0.1:{port}/0")
        assert through == []

    @pytest.mark.parametrize("connect", [celery, client])
    def test_is_refused_when_its_certificate_names_another_host(self, server, connect):
        port, authority, through = server
        through.clear()
        with pytest.raises(Exception, match="CERTIFICATE_VERIFY_FAILED"):
            connect(f"rediss://:topsecret@127.0.0.2:{port}/0?ssl_ca_certs={authority}")
        assert through == []

    @pytest.mark.parametrize("connect", [celery, client])
    def test_is_spoken_to_when_the_authority_is_named(self, server, connect):
        port, authority, through = server
        through.clear()
        with pytest.raises(Exception, match=r"(?i)closed|reset|timed? ?out|connect"):  # it hangs up
            connect(f"rediss://:topsecret@127.0.0.1:{port}/0?ssl_ca_certs={authority}")
        assert b"AUTH" in through[0] or b"HELLO" in through[0]

    def test_without_tls_has_no_tls_settings(self):
        assert env.redis_tls("redis://127.0.0.1:1/0") is None


class TestWhatLeavesTheMachine:
    def findings(self, tmp_path, **variables):
        answer = run("manage.py", "check", "--deploy", data_dir=tmp_path, **PRODUCTION | variables)
        return {one for one in ("plumbline.E002", "plumbline.E003", "plumbline.W001") if one in answer.stderr}

    @pytest.mark.parametrize(
        ("variables", "found"),
        [
            ({}, set()),
            ({"DATABASE_URL": "postgres://u:p@db.example/n"}, {"plumbline.E002"}),
            ({"DATABASE_URL": "postgres://u:p@db.example/n?sslmode=require"}, {"plumbline.E002"}),
            ({"DATABASE_URL": "postgres://u:p@127.0.0.1:1,db.example:2/n"}, {"plumbline.E002"}),
            ({"DATABASE_URL": "postgres://u:p@127.0.0.1/n"}, set()),
            ({"DATABASE_URL": "postgres:///n?host=/run/postgresql"}, set()),
            ({"REDIS_URL": "redis://:p@redis.example/0"}, {"plumbline.E003"}),
            ({"REDIS_URL": "rediss://:p@redis.example/0?ssl_cert_reqs=none"}, {"plumbline.E003"}),
            ({"REDIS_URL": "rediss://:p@redis.example/0?ssl_check_hostname=false"}, {"plumbline.E003"}),
            ({"REDIS_URL": "redis://:p@[::1]:6379/0"}, set()),
            ({"CREDENTIALS_KEYS": ""}, {"plumbline.W001"}),
        ],
    )
    def test_is_verified_or_an_error_of_check_deploy(self, tmp_path, variables, found):
        assert self.findings(tmp_path, **variables) == found


class TestTheFileOfEncryptionKeys:
    KEY = PRODUCTION["CREDENTIALS_KEYS"]
    SHOW = "from config import settings as s; print(s.CREDENTIALS_KEYS, s.CREDENTIALS_KEY_IS_GENERATED)"

    def show(self, tmp_path, text, *, mode=0o600, **more):
        file = tmp_path / "keys"
        file.write_text(text)
        file.chmod(mode)
        return run("-c", self.SHOW, data_dir=tmp_path, CREDENTIALS_KEYS_FILE=str(file), **more)

    def test_has_one_on_each_line(self, tmp_path):
        assert self.show(tmp_path, f"{self.KEY}\n\n{self.KEY}\n").stdout == f"{[self.KEY] * 2} False\n"

    def test_is_refused_when_it_is_empty_or_others_may_write_it(self, tmp_path):
        assert "is empty" in self.show(tmp_path, "\n").stderr
        assert "written by others" in self.show(tmp_path, self.KEY, mode=0o666).stderr

    def test_is_refused_beside_the_variable(self, tmp_path):
        assert "not both" in self.show(tmp_path, self.KEY, CREDENTIALS_KEYS=self.KEY).stderr
