"""A simulated venue in a process of its own, for benchmarks."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time

MEGABYTE = 1 << 20


class Server:
    """A simulated venue in a process of its own."""

    def __init__(self, *options: str, venue: str = "hyperliquid") -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        module = "simulator"
        command = [sys.executable, "-m", module, "--venue", venue, "--port", str(self.port)]
        self.began = time.monotonic()
        self.process = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL)
        self.base = f"http://127.0.0.1:{self.port}"

    def wait(self) -> float:
        """Seconds until the port was open."""
        while self.process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=0.1):
                    return time.monotonic() - self.began
            except OSError:
                time.sleep(0.01)
        raise RuntimeError("the simulator did not start")

    def stop(self) -> None:
        """End it."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=10)
