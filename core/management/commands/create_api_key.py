"""manage.py create_api_key: make an API key and show it once."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from core.models import ApiKey, issue_key
from core.scopes import Scope


class Command(BaseCommand):
    help = "Make an API key. Its text is printed once and never stored."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="who or what will use it")
        parser.add_argument(
            "--scope",
            action="append",
            choices=[scope.value for scope in Scope],
            help="repeatable; default: read",
        )
        parser.add_argument("--tier", choices=ApiKey.Tier.values, default=ApiKey.Tier.STANDARD.value)
        parser.add_argument(
            "--account", action="append", type=int, help="an account id; repeatable; default: all"
        )
        parser.add_argument("--days", type=int, help="valid for so many days; default: until revoked")
        parser.add_argument("--owner", help="username; the key dies with that person's account")

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["name"].strip():
            raise CommandError("name the key after who or what will use it")
        if options["days"] is not None and options["days"] < 1:
            raise CommandError("--days must be at least 1")
        owner = None
        if options["owner"]:
            owner = User.objects.filter(username=options["owner"]).first()
            if owner is None:
                raise CommandError(f"there is no user {options['owner']!r}")
        key, text = issue_key(
            name=options["name"],
            scopes=[Scope(scope) for scope in options["scope"] or ["read"]],
            owner_id=owner.pk if owner else None,
            tier=options["tier"],
            accounts=options["account"],
            expires_at=timezone.now() + timedelta(days=options["days"]) if options["days"] else None,
        )
        self.stderr.write(f"{key.name}: scopes {', '.join(key.scopes)}; tier {key.tier}. Shown once:")
        self.stdout.write(text)
