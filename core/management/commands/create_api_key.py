"""manage.py create_api_key: make an API key and show it once."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from core.models import LONGEST, VALID_FOR, ApiKey, issue_key
from core.security.scopes import Scope, scopes_of_user
from core.security.security_events import by_command


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
        parser.add_argument(
            "--days",
            type=int,
            default=VALID_FOR.days,
            help=f"valid for so many days; default: {VALID_FOR.days}",
        )
        parser.add_argument(
            "--owner",
            required=True,
            help="username; the key never does more than that person may at the time",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["name"].strip():
            raise CommandError("name the key after who or what will use it")
        if not 1 <= options["days"] <= LONGEST.days:
            raise CommandError(f"--days must be at least 1 and at most {LONGEST.days}")
        owner = User.objects.filter(username=options["owner"], is_active=True).first()
        if owner is None:
            raise CommandError(f"there is no user {options['owner']!r} who is switched on")
        scopes = [Scope(scope) for scope in options["scope"] or ["read"]]
        if beyond := sorted(set(scopes) - scopes_of_user(owner)):
            raise CommandError(
                f"{owner.get_username()} has not the scope {', '.join(beyond)}, nor would the key"
            )
        now = timezone.now()
        key, text = issue_key(
            name=options["name"],
            scopes=scopes,
            owner_id=owner.pk,
            who=by_command(),
            now=now,
            tier=options["tier"],
            accounts=options["account"],
            expires_at=now + timedelta(days=options["days"]),
        )
        until = f"valid until {key.expires_at:%Y-%m-%d}"
        self.stderr.write(
            f"{key.name}: scopes {', '.join(key.scopes)}; tier {key.tier}; {until}. Shown once:"
        )
        self.stdout.write(text)
