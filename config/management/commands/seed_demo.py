"""manage.py seed_demo: the database, a login, an API key and the demo's account, made once and kept."""

from __future__ import annotations

import json
import os
import secrets
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import transaction
from django.utils import timezone

from core.models import LONGEST, find_key, issue_key
from core.process.startup import await_services
from core.security.scopes import Role, Scope
from core.security.security_events import Act, by_command, record
from positions import accounts
from positions.sync.connections import encrypt
from positions.venues.base import Credentials
from simulator.coinbase.simulation import customer_key
from simulator.engine.traders import trader_address
from simulator.recording import load_recording

USERNAME = "demo"
ADDRESS = "demo@plumbline.invalid"  # the demo's mails go to a folder, and could go nowhere else
SEED = 1


def demo_accounts(*, replay: str, hyperliquid: str, coinbase: str) -> dict[str, dict[str, str]]:
    """Return the demo's accounts by label: a replay of real fills, and traders of the simulated venues."""
    treasury = Credentials(api_key=customer_key(0), secret="any secret will do on a simulated venue")
    return {
        "recorded trader": _hyperliquid(replay, load_recording().user),
        "main": _hyperliquid(hyperliquid, trader_address(SEED, 0)),
        "hedge": _hyperliquid(hyperliquid, trader_address(SEED, 1)),
        "treasury": {"venue": "coinbase", "base_url": coinbase, "credentials": encrypt(treasury)},
    }


def _hyperliquid(base_url: str, address: str) -> dict[str, str]:
    return {"venue": "hyperliquid", "base_url": base_url, "address": address}


class Command(BaseCommand):
    help = "Prepare the demo: migrate, make the login and the API key once, connect the demo's accounts."

    def add_arguments(self, parser: ArgumentParser) -> None:
        for venue in ("replay", "hyperliquid", "coinbase"):
            parser.add_argument(f"--{venue}", required=True, help="where that local venue answers")
        parser.add_argument("--url", required=True, help="where the pages answer")
        parser.add_argument("--write", required=True, type=Path, help="file for URL, login and key (0600)")

    def handle(self, *, url: str, write: Path, **options: Any) -> None:
        await_services()
        call_command("migrate", verbosity=0)
        venues = {name: options[name] for name in ("replay", "hyperliquid", "coinbase")}
        known = _read(write)
        # One transaction: a login without its key, or a key whose text was lost, would be of no use.
        with transaction.atomic():
            password = self._login(known.get("password"))
            key = self._key(known.get("api_key"))
            for label, fields in demo_accounts(**venues).items():
                self._account(label, fields)
        told = {"url": url, "username": USERNAME, "password": password, "api_key": key}
        _write(write, told | {"simulator_url": venues["hyperliquid"], "venues": venues})

    def _login(self, password: str | None) -> str:
        user, made = User.objects.get_or_create(
            username=USERNAME, defaults={"is_staff": True, "email": ADDRESS}
        )
        if made:
            user.groups.add(Group.objects.get(name=Role.ADMIN.value))
            after = {"username": USERNAME, "groups": [Role.ADMIN.value]}
            record(Act.PERSON_MADE, who=by_command(), subject=USERNAME, after=after)
        if made or password is None or not user.check_password(password):
            password = secrets.token_urlsafe(9)
            user.set_password(password)
            user.save(update_fields=["password"])
        return password

    def _key(self, text: str | None) -> str:
        if text is not None and find_key(text, now=timezone.now()) is not None:
            return text
        owner = User.objects.get(username=USERNAME)
        now = timezone.now()
        _, text = issue_key(
            name="demo",
            scopes=list(Scope),
            owner_id=owner.pk,
            who=by_command(),
            now=now,
            expires_at=now + LONGEST,
        )
        return text

    def _account(self, label: str, fields: dict[str, str]) -> None:
        # Only where the venue answers may change: keys and addresses stay as they were made.
        accounts.put_simulated(
            label=label, base_url=fields["base_url"], fields=fields, who=by_command(), now=timezone.now()
        )


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return {}


def _write(path: Path, content: dict[str, Any]) -> None:
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    temporary.touch(mode=0o600)
    temporary.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(temporary, path)
