"""The examples in deploy/: they say what they must, and their programs start with them and keep it."""

import datetime
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from config.servers import free_port

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
HOST = "plumbline.example"
# What stands behind the proxy: it tells what it was sent.
BEHIND = """
async def application(scope, receive, send):
    if scope["type"] != "http":
        return
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        if not message["more_body"]:
            break
    said = b"\\n".join(name + b": " + value for name, value in scope["headers"])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": said})
"""


def program(name):
    """Return a program's path: named in the environment, on the PATH, or among our own packages."""
    beside = Path(sys.executable).parent / name
    return os.environ.get(name.upper()) or shutil.which(name) or (str(beside) if beside.exists() else None)


@contextmanager
def running(command, port, **more):
    process = subprocess.Popen(command, **more)
    try:
        until = time.monotonic() + 20
        while time.monotonic() < until and process.poll() is None:
            with closing(socket.socket()) as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        assert process.poll() is None, "the program ended while starting"
        yield
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def behind(tmp_path_factory):
    folder, port = tmp_path_factory.mktemp("behind"), free_port()
    (folder / "behind.py").write_text(BEHIND)
    command = [sys.executable, "-m", "uvicorn", "--port", str(port), "--log-level", "warning"]
    with running([*command, "behind:application"], port, cwd=folder):
        yield port


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Return the files of a certificate for HOST and of its key."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (folder / "cert.pem").write_bytes(made.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.TraditionalOpenSSL, plain)
    )
    return folder / "cert.pem", folder / "key.pem"


@contextmanager
def nginx(folder, port, behind, certificate):
    text = (DEPLOY / "nginx.conf").read_text()
    for old, new in {
        "/run/nginx.pid": f"{folder}/nginx.pid",
        "/var/log/nginx/": f"{folder}/",
        "/etc/ssl/plumbline/fullchain.pem": str(certificate[0]),
        "/etc/ssl/plumbline/privkey.pem": str(certificate[1]),
        "127.0.0.1:8000": f"127.0.0.1:{behind}",
        "listen 80 default_server": f"listen 127.0.0.1:{free_port()}",
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        "client_header_timeout 10s": "client_header_timeout 1s",
        "client_body_timeout 15s": "client_body_timeout 1s",
        "http {": "http {\n" + "".join(
            f"{one}_temp_path {folder}/{one};\n"
            for one in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        ),
    }.items():  # fmt: skip
        assert old in text, old
        text = text.replace(old, new)
    (folder / "nginx.conf").write_text("daemon off;\n" + text)
    command = [program("nginx"), "-p", str(folder), "-e", f"{folder}/start.log", "-c", f"{folder}/nginx.conf"]
    with running(command, port):
        yield


@contextmanager
def caddy(folder, port, behind, certificate):
    text = (DEPLOY / "Caddyfile").read_text()
    for old, new in {
        "{\n\tservers {": "{\n\tadmin off\n\tauto_https disable_redirects\n\tservers {",
        "plumbline.example {": f"https://{HOST}:{port} {{\n\ttls {certificate[0]} {certificate[1]}",
        "127.0.0.1:8000": f"127.0.0.1:{behind}",
        "read_header 10s": "read_header 1s",
        "read_body 15s": "read_body 1s",
    }.items():
        assert old in text, old
        text = text.replace(old, new)
    (folder / "Caddyfile").write_text(text)
    command = [program("caddy"), "run", "--adapter", "caddyfile", "--config", f"{folder}/Caddyfile"]
    with running(command, port, env=os.environ | {"HOME": str(folder)}, stderr=subprocess.DEVNULL):
        yield


PROXIES = {"nginx": nginx, "caddy": caddy}


@pytest.fixture(scope="module", params=sorted(PROXIES))
def proxy(request, tmp_path_factory, behind, certificate):
    if program(request.param) is None:
        pytest.skip(
            f"no {request.param} here: its file is read only (name the program in {request.param.upper()}=)"
        )
    folder, port = tmp_path_factory.mktemp(request.param), free_port()
    folder.chmod(0o755)
    with PROXIES[request.param](folder, port, behind, certificate):
        yield port


def ask(port, *parts, pause=0.0):
    """Send parts over TLS; return the answer, until the connection ends, and the seconds that took."""
    trust = ssl.create_default_context()
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE  # made by this test
    began, got = time.monotonic(), b""
    plain = socket.create_connection(("127.0.0.1", port), timeout=15)
    with closing(trust.wrap_socket(plain, server_hostname=HOST)) as client:
        try:
            for part in parts:
                client.sendall(part)
                time.sleep(pause)
            while chunk := client.recv(65536):
                got += chunk
        except (ConnectionError, ssl.SSLError):
            pass  # cut off: what had come by then is the answer
    return got, time.monotonic() - began


def head(port, more=""):
    return f"POST / HTTP/1.1\r\nHost: {HOST}:{port}\r\nConnection: close\r\n{more}".encode()


class TestAProxy:
    def test_passes_a_request_with_its_host_scheme_and_address(self, proxy):
        got, _ = ask(proxy, head(proxy, "X-Forwarded-For: 6.6.6.6\r\nContent-Length: 2\r\n\r\nab"))
        text = got.decode().lower()
        assert text.startswith("http/1.1 200")
        assert f"host: {HOST}:{proxy}" in text
        assert "x-forwarded-proto: https" in text
        assert "x-forwarded-for: 127.0.0.1" in text
        assert "6.6.6.6" not in text

    def test_refuses_what_is_above_three_megabytes(self, proxy):
        size = 4_000_000
        got, _ = ask(proxy, head(proxy, f"Content-Length: {size}\r\n\r\n"), b"x" * size)
        assert got.startswith(b"HTTP/1.1 413") or not got  # cut off while the rest was still on its way

    def test_ends_headers_that_drip(self, proxy):
        got, seconds = ask(proxy, head(proxy), *[b"X"] * 8, pause=0.5)
        assert not got.startswith(b"HTTP/1.1 200")
        assert seconds < 8

    def test_ends_a_body_that_stops(self, proxy):
        got, seconds = ask(proxy, head(proxy, "Content-Length: 100\r\n\r\n"), b"x")
        assert not got.startswith(b"HTTP/1.1 200")
        assert seconds < 8


class TestAFile:
    @pytest.mark.parametrize("name", ["nginx.conf", "Caddyfile"])
    def test_closes_what_it_opens(self, name):
        plain = re.sub(r"#.*", "", (DEPLOY / name).read_text())
        assert plain.count("{") == plain.count("}") > 3

    def test_of_nginx_bounds_sizes_times_and_counts(self):
        text = (DEPLOY / "nginx.conf").read_text()
        for wanted in (
            "client_max_body_size 3m", "client_header_timeout", "client_body_timeout", "limit_conn ",
            "limit_req ", "X-Forwarded-For $remote_addr", "Host $http_host", "Upgrade $http_upgrade",
        ):  # fmt: skip
            assert wanted in text

    def test_of_caddy_bounds_sizes_and_times(self):
        text = (DEPLOY / "Caddyfile").read_text()
        for wanted in ("read_header", "read_body", "idle", "max_size 3MB", "max_header_size"):
            assert wanted in text
