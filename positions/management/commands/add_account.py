"""Make an account without a browser."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from core.security.security_events import by_command
from positions.management import keys
from positions.sync.connections import AccountRefusal, add_account
from positions.venues.base import Credentials, Environment


class Command(BaseCommand):
    """Adds an account at a venue; keys come from a file or standard input, never from the command line."""

    help = (
        "Add an account. Hyperliquid and wallets need an address only. Keys: --credentials FILE (or - for "
        'standard input) with JSON such as {"api_key": "…", "secret": "…", "password": "…"}.'
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--venue", required=True, help="hyperliquid, coinbase, … or any ccxt exchange id")
        parser.add_argument("--label", required=True, help="the account's name on screen; unique")
        parser.add_argument("--address", default="", help="wallet address (0x…)")
        parser.add_argument(
            "--base-url", default="", help="a server that speaks the venue's protocol: simulated"
        )
        parser.add_argument("--testnet", action="store_true", help="the venue's own test network")
        parser.add_argument(
            "--trading", choices=["off", "on"], default="off", help="whether orders may be sent"
        )
        keys.add_acceptances(parser)
        parser.add_argument(
            "--credentials", default="", metavar="FILE", help="JSON with the keys; - reads stdin"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        if options["base_url"] and options["testnet"]:
            raise CommandError("--base-url makes a simulated account and --testnet a testnet one: choose one")
        environment = (
            Environment.SIMULATED
            if options["base_url"]
            else Environment.TESTNET
            if options["testnet"]
            else Environment.LIVE
        )
        try:
            account = add_account(
                label=options["label"],
                venue=options["venue"],
                environment=environment,
                address=options["address"],
                base_url=options["base_url"],
                credentials=_credentials(options["credentials"]),
                options={"trading": options["trading"]} | keys.accepted(options),
                now=timezone.now(),
                who=by_command(),
            )
        except AccountRefusal as error:
            raise CommandError(str(error)) from None
        for warning in account.key_warnings:
            self.stderr.write(f"Warning: {warning}")
        self.stdout.write(
            f"Account {account.pk} “{account.label}” at {account.venue} ({account.environment}) added. "
            f"Check it: manage.py check_venue {account.pk}"
        )


def _credentials(source: str) -> Credentials:
    if not source:
        return Credentials()
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text()
        return Credentials(**json.loads(text))
    except (OSError, ValueError, TypeError) as error:
        # The text is not quoted: it may hold the key.
        raise CommandError(f"cannot read the credentials: {type(error).__name__}") from None
