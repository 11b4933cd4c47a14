"""`manage.py load_accounts FILE.toml`: make accounts from a file; secrets come from environment variables.

    [[accounts]]
    label = "main"
    venue = "hyperliquid"
    address = "0x…"
    environment = "live"                        # or testnet; base_url makes it simulated
    credentials = { api_key = "env:HL_KEY", secret = "env:HL_SECRET" }
    options = { trading = "off" }

A key that can trade or withdraw, or whose permissions the venue does not tell, is refused unless options say
`allow_trade = true`, `allow_withdraw = true`, `allow_unknown = true`.
An existing account gets new keys and options; its venue, environment, address and base URL cannot change.
"""

from __future__ import annotations

import os
import tomllib
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from core.security.security_events import by_command
from positions import accounts
from positions.models import Account
from positions.sync.connections import AccountRefusal, add_account, set_credentials
from positions.venues.base import Credentials, Environment

_KNOWN = {"label", "venue", "environment", "address", "base_url", "credentials", "options", "enabled"}
_IDENTITY = ("venue", "environment", "address", "base_url")
_SECRETS = ("api_key", "secret", "password", "private_key", "uid")
ENV = "env:"


class Command(BaseCommand):
    help = (
        "Make accounts from a TOML file (see docs/ledger.md). Secrets are written as env:NAME, never plainly."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            described = tomllib.loads(options["file"].read_text()).get("accounts", [])
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise CommandError(f"{options['file']}: {error}") from error
        if not described:
            raise CommandError(f"{options['file']} names no [[accounts]]")
        checked = [self._checked(number, one) for number, one in enumerate(described, start=1)]
        for one in checked:
            self.stdout.write(self._load(one))

    def _checked(self, number: int, one: dict[str, Any]) -> dict[str, Any]:
        name = f"account {number} ({one.get('label', 'no label')})"
        if unknown := sorted(one.keys() - _KNOWN):
            raise CommandError(f"{name}: unknown {', '.join(unknown)}")
        if not one.get("label") or not one.get("venue"):
            raise CommandError(f"{name}: needs a label and a venue")
        default = "simulated" if one.get("base_url") else "live"
        try:
            environment = Environment(one.get("environment", default))
        except ValueError:
            raise CommandError(f"{name}: environment {one['environment']!r} is not known") from None
        return {
            **one,
            "environment": environment,
            "credentials": self._secrets(name, one.get("credentials", {})),
        }

    def _secrets(self, name: str, given: dict[str, str]) -> Credentials:
        values = {}
        for field, reference in given.items():
            if field not in _SECRETS:
                raise CommandError(f"{name}: {field} is no credential; known: {', '.join(_SECRETS)}")
            variable = str(reference).removeprefix(ENV)
            if not str(reference).startswith(ENV):
                raise CommandError(f"{name}: write {field} as {ENV}NAME; secrets stay out of files")
            if not os.environ.get(variable):
                raise CommandError(f"{name}: {variable} is not set in the environment")
            values[field] = os.environ[variable]
        return Credentials(**values)

    def _load(self, one: dict[str, Any]) -> str:
        label = one["label"]
        known = Account.objects.filter(label=label).first()
        if known is None:
            try:
                account = add_account(
                    label=label,
                    venue=one["venue"],
                    environment=one["environment"],
                    address=one.get("address", ""),
                    base_url=one.get("base_url", ""),
                    credentials=one["credentials"],
                    options=one.get("options", {}),
                    now=timezone.now(),
                    who=by_command(),
                )
            except AccountRefusal as error:
                raise CommandError(f"{label}: {error}") from None
            self._warn(label, account.key_warnings)
            if not one.get("enabled", True):
                account.enabled = False
                accounts.edit(account=account, fields=["enabled"], who=by_command())
            return f"{label}: added"
        return self._update(known, one)

    def _warn(self, label: str, warnings: tuple[str, ...]) -> None:
        for warning in warnings:
            self.stderr.write(f"Warning: {label}: {warning}")

    def _update(self, known: Account, one: dict[str, Any]) -> str:
        wanted = {**one, "environment": one["environment"].value}
        changed = [name for name in _IDENTITY if wanted.get(name, "") != getattr(known, name)]
        if changed:
            raise CommandError(
                f"{known.label}: {', '.join(changed)} cannot change; its facts belong to what it was: "
                "make an account with another label"
            )
        if one["credentials"].plain():
            try:
                warnings = set_credentials(
                    account=known,
                    credentials=one["credentials"],
                    options=one.get("options"),
                    who=by_command(),
                )
            except AccountRefusal as error:
                raise CommandError(f"{known.label}: {error}") from None
            self._warn(known.label, warnings)
        known.options = one.get("options", known.options)
        known.enabled = one.get("enabled", known.enabled)
        accounts.edit(account=known, fields=["options", "enabled"], who=by_command())
        return f"{known.label}: updated"
