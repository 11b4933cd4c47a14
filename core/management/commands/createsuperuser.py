"""`manage.py createsuperuser`: Django's, in one transaction with its security event."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.management.commands import createsuperuser
from django.contrib.auth.models import User
from django.db import transaction

from core.security.security_events import Act, by_command, record


class Command(createsuperuser.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        # One transaction: no person without the security event.
        with transaction.atomic():
            known = set(User.objects.values_list("pk", flat=True))
            super().handle(*args, **options)
            for person in User.objects.exclude(pk__in=known):
                after = {
                    "username": person.username,
                    "staff": person.is_staff,
                    "superuser": person.is_superuser,
                }
                record(Act.PERSON_MADE, who=by_command(), subject=person.username, after=after)
