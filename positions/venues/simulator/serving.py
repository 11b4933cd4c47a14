"""Runs a simulator's application on a port until a signal ends it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from aiohttp import web


class Refused(ValueError):
    """The options of a simulator make no sense; the message says which."""


def add_address(parser: argparse.ArgumentParser) -> None:
    """Where to listen."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, required=True, help="port to listen on")


def serve(build: Callable[[], web.Application], *, host: str, port: int) -> None:
    """Build and serve until SIGINT or SIGTERM; a refused option or a taken port is one line, exit code 2."""
    try:
        web.run_app(
            build(), host=host, port=port, print=announce(host, port), access_log=None, shutdown_timeout=1.0
        )
    except (ValueError, OSError) as error:
        sys.stderr.write(f"simulator: {error}\n")
        raise SystemExit(2) from error


def announce(host: str, port: int) -> Callable[[str], None]:
    """One line when the port is open."""

    def line(_: str) -> None:
        sys.stdout.write(f"simulator: listening on http://{host}:{port}\n")
        sys.stdout.flush()

    return line
