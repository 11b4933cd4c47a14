"""`manage.py changepassword`: Django's, in one transaction with its security event."""

from __future__ import annotations

import getpass
from typing import Any

from django.contrib.auth.management.commands import changepassword
from django.db import transaction

from core.security.security_events import Act, by_command, record


class Command(changepassword.Command):
    def handle(self, *args: Any, **options: Any) -> str | None:
        # One transaction: no new password without its security event.
        with transaction.atomic():
            said: str | None = super().handle(*args, **options)
            record(Act.PASSWORD_CHANGED, who=by_command(), subject=options["username"] or getpass.getuser())
        return said
