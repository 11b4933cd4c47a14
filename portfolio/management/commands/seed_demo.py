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

from core.models import find_key, issue_key
from core.scopes import Role, Scope
from core.startup import await_services
from positions.models import Account
from positions.venues.simulator.recording import load_recording

USERNAME = "demo"
LABEL = "recorded trader"


class Command(BaseCommand):
    help = "Prepare the demo: migrate, make the login and the API key once, connect the recorded trader."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--venue-url", required=True, help="where the local venue answers")
        parser.add_argument("--url", required=True, help="where the pages answer")
        parser.add_argument("--write", required=True, type=Path, help="file for URL, login and key (0600)")

    def handle(self, *, venue_url: str, url: str, write: Path, **options: Any) -> None:
        await_services()
        call_command("migrate", verbosity=0)
        known = _read(write)
        # One transaction: a login without its key, or a key whose text was lost, would be of no use.
        with transaction.atomic():
            password = self._login(known.get("password"))
            key = self._key(known.get("api_key"))
            self._account(venue_url)
        _write(write, {"url": url, "username": USERNAME, "password": password, "api_key": key,
                       "simulator_url": venue_url})  # fmt: skip

    def _login(self, password: str | None) -> str:
        user, made = User.objects.get_or_create(username=USERNAME, defaults={"is_staff": True})
        if made:
            user.groups.add(Group.objects.get(name=Role.ADMIN.value))
        if made or password is None or not user.check_password(password):
            password = secrets.token_urlsafe(9)
            user.set_password(password)
            user.save(update_fields=["password"])
        return password

    def _key(self, text: str | None) -> str:
        if text is not None and find_key(text, now=timezone.now()) is not None:
            return text
        owner = User.objects.get(username=USERNAME)
        _, text = issue_key(name="demo", scopes=list(Scope), owner_id=owner.pk)
        return text

    def _account(self, venue_url: str) -> None:
        Account.objects.update_or_create(
            label=LABEL,
            defaults={"base_url": venue_url},
            create_defaults={
                "venue": "hyperliquid",
                "environment": "simulated",
                "base_url": venue_url,
                "address": load_recording().user,
                "created_at": timezone.now(),
            },
        )


def _read(path: Path) -> dict[str, str]:
    try:
        return dict(json.loads(path.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return {}


def _write(path: Path, content: dict[str, str]) -> None:
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    temporary.touch(mode=0o600)
    temporary.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(temporary, path)
