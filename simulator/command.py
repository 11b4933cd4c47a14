"""The simulators by name, and the command line they share."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from aiohttp import web

from . import recorded
from .coinbase import server as coinbase
from .hyperliquid import server as hyperliquid
from .serving import add_address, serve

VENUES: dict[str, Callable[[argparse.Namespace], web.Application]] = {
    "coinbase": coinbase.build,
    "hyperliquid": hyperliquid.build,
    "recorded": recorded.build,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """All options of all simulators."""
    parser.add_argument("--venue", choices=sorted(VENUES), required=True, help="which venue to be")
    add_address(parser)
    recorded.add_arguments(parser)
    hyperliquid.add_arguments(parser)


def run(options: argparse.Namespace) -> None:
    """Serve the chosen venue until a signal."""
    serve(lambda: VENUES[options.venue](options), host=options.host, port=options.port)
