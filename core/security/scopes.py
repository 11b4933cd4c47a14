"""Who may do what: one table of roles and scopes, for people (groups) and for API keys."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User


class Scope(StrEnum):
    """What an operation needs, and what an API key may be given."""

    READ = "read"  # see positions, balances, entries, verdicts
    WRITE = "write"  # report fills and other entries
    CORRECT = "correct"  # open, reduce, close by hand; act on cases
    RECONCILE = "reconcile"  # start a reconciliation
    ADMIN = "admin"  # accounts, keys, limits


class Role(StrEnum):
    """The groups that a migration makes."""

    VIEWER = "viewer"
    TRADER = "trader"
    ADMIN = "admin"


SCOPES_OF_ROLE: dict[Role, frozenset[Scope]] = {
    Role.VIEWER: frozenset({Scope.READ}),
    Role.TRADER: frozenset({Scope.READ, Scope.WRITE, Scope.CORRECT, Scope.RECONCILE}),
    Role.ADMIN: frozenset(Scope),
}


def scopes_of_roles(names: Collection[str]) -> frozenset[Scope]:
    """Return the union of what groups of these names allow; a group that is no role allows nothing."""
    return frozenset().union(*(SCOPES_OF_ROLE[role] for role in Role if role.value in names))


def scopes_of_user(user: User | AbstractBaseUser | AnonymousUser) -> frozenset[Scope]:
    """Return the union of what a person's groups allow; a superuser may do everything, nobody nothing."""
    if not user.is_authenticated or not isinstance(user, User) or not user.is_active:
        return frozenset()
    if user.is_superuser:
        return frozenset(Scope)
    return scopes_of_roles(
        {group.name for group in user.groups.all()}
    )  # what was read for many at once counts
