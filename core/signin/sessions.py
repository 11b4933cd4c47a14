"""The sessions of one person, as the database has them."""

from __future__ import annotations

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.models import Session
from django.utils import timezone


def of(person: int | None) -> list[Session]:
    """Return the living sessions of a person.

    A session says whose it is only inside, so all that live are read: one for each browser that is signed in.
    """
    living = Session.objects.filter(expire_date__gt=timezone.now())
    return [row for row in living if str(row.get_decoded().get(SESSION_KEY)) == str(person)]
