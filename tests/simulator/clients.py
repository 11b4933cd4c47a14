"""Real clients, pointed at a server of ours: nothing of theirs is changed but the address."""

import contextlib
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import ccxt.async_support
import ccxt.pro


def hyperliquid(base, *, user=None, key=None, pro=False):
    """Unmodified ccxt of the venue at `base` (http://host:port), with the address (and key) of a user."""
    module = ccxt.pro if pro else ccxt.async_support
    exchange = module.hyperliquid({"walletAddress": user, "privateKey": key})
    exchange.urls["api"] = {
        "public": base,
        "private": base,
        "ws": {"public": base.replace("http", "ws") + "/ws"},
    }
    exchange.enableRateLimit = False
    return exchange


@contextlib.asynccontextmanager
async def connected(base, **options):
    """A ccxt client that is closed afterwards."""
    exchange = hyperliquid(base, **options)
    try:
        yield exchange
    finally:
        await exchange.close()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def simulator(*arguments, module="simulator"):
    """A simulator in a process of its own; yields (base, seconds until it answered)."""
    port = free_port()
    began = time.monotonic()
    command = [sys.executable, "-m", module, *arguments, "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        yield f"http://127.0.0.1:{port}", wait_for(port, process, began)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
        process.stderr.close()


def wait_for(port, process, began, limit=60.0):
    while time.monotonic() - began < limit:
        if process.poll() is not None:
            raise AssertionError(f"the simulator ended: {process.stderr.read()}")
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=0.2):
                return time.monotonic() - began
        except OSError:
            time.sleep(0.02)
    raise AssertionError("the simulator did not open its port")


def post(base, body, path="/info"):
    """(status, content type, text) of a raw POST."""
    data = body if isinstance(body, bytes) else body.encode()
    request = urllib.request.Request(base + path, data=data, headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.status, reply.headers.get_content_type(), reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers.get_content_type(), error.read().decode()
