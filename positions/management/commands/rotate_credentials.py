"""Encrypt every account's credentials with the newest key."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.security.security_events import by_command
from positions.sync.connections import rotate_credentials


class Command(BaseCommand):
    """After a new key was put first in CREDENTIALS_KEYS: re-encrypts all, then the old key can be removed."""

    help = "Re-encrypt all stored credentials with the first of CREDENTIALS_KEYS. Safe to repeat."

    def handle(self, *_: Any, **__: Any) -> None:
        done, unreadable = rotate_credentials(who=by_command())
        self.stdout.write(f"{done} accounts re-encrypted with the newest key.")
        if unreadable:
            names = ", ".join(unreadable)
            raise CommandError(
                f"not readable with any of CREDENTIALS_KEYS: {names}. "
                "Add the old key back, or enter their keys anew."
            )
