"""A firewall between one copy and Postgres that drops packets: nothing is closed, nothing is refused."""

import contextlib
import socket
import threading

import psycopg


class Firewall:
    """`drop()` lets nothing through any more; `lift()` lets through what was sent meanwhile, too."""

    def __init__(self, database):
        target = psycopg.conninfo.conninfo_to_dict(database)
        self._target = "127.0.0.1", int(target["port"])
        self._server = socket.create_server(("127.0.0.1", 0))
        port = self._server.getsockname()[1]
        self.url = database.replace(f":{target['port']}/", f":{port}/")
        self._open = threading.Event()
        self._open.set()
        threading.Thread(target=self._accept, name="firewall", daemon=True).start()

    def drop(self):
        self._open.clear()

    def lift(self):
        self._open.set()

    def close(self):
        """Nobody comes in any more; what waits may go."""
        self._server.close()
        self.lift()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                inside, _ = self._server.accept()
                threading.Thread(target=self._join, args=[inside], name="firewall", daemon=True).start()

    def _join(self, inside):
        self._open.wait()
        with contextlib.suppress(OSError):
            outside = socket.create_connection(self._target, timeout=20)
            outside.settimeout(None)
            threading.Thread(target=self._pump, args=[outside, inside], name="firewall", daemon=True).start()
            self._pump(inside, outside)

    def _pump(self, source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._open.wait()
                target.sendall(data)
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
