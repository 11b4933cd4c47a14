"""Which accounts a command is about."""

from __future__ import annotations

from django.core.management.base import CommandError

from positions.models import Account


def named(labels: list[str] | None) -> list[Account]:
    """Return the accounts of these labels, or all. Raises CommandError that names an unknown one."""
    every = Account.objects.order_by("label")
    if not labels:
        return list(every)
    found = {account.label: account for account in every.filter(label__in=labels)}
    unknown = sorted(set(labels) - found.keys())
    if unknown:
        raise CommandError(f"no account is labelled {', '.join(unknown)}")
    return [found[label] for label in labels]
