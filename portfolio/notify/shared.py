"""What the messages of one pass have in common, read or written once: one alert goes to many readers."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from django.contrib.auth.models import User

from core.api.auth import Principal, principal_of_user
from portfolio.models import Delivery

Found = TypeVar("Found")


@dataclass
class Shared:
    """Answers of one pass, by what was asked. `sent` is what recipients were sent before, see `outbox`."""

    sent: list[Delivery] = field(default_factory=list)
    known: dict[Hashable, Any] = field(default_factory=dict)

    def once(self, key: Hashable, find: Callable[[], Found]) -> Found:
        """Return what `find` answers, asked once for each key."""
        if key not in self.known:
            self.known[key] = find()
        found: Found = self.known[key]
        return found

    def principal(self, user: User) -> Principal:
        """Return what a person may see."""
        return self.once(("principal", user.pk), lambda: principal_of_user(user))
