"""Compare accounts with their venues now, and print what was found."""

from __future__ import annotations

import uuid
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from positions.models import Account
from positions.queries import accounts_in_use
from reconciliation.models import Trigger
from reconciliation.runs import runs


class Command(BaseCommand):
    help = "Compare accounts with their venues now. Exits 1 if a run is incomplete or something differs."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("accounts", nargs="*", help="labels; none: all that are enabled")

    def handle(self, *args: Any, accounts: list[str], **options: Any) -> None:
        rows = accounts_in_use()
        if accounts:
            rows = rows.filter(label__in=accounts)
            if unknown := set(accounts) - set(rows.values_list("label", flat=True)):
                raise CommandError(f"there is no account {', '.join(sorted(unknown))}")
        proven = [self._one(row) for row in rows]  # every account, also after one that is not
        if not all(proven):
            raise CommandError("not everything is proven")

    def _one(self, account: Account) -> bool:
        try:
            run = runs.reconcile(
                account=account, now=timezone.now(), trace_id=uuid.uuid4().hex, trigger=Trigger.DEMAND
            )
        except runs.RunConflict as busy:
            self.stdout.write(f"{account.label}: {busy}")
            return False
        told = [*run.legs, *run.balances]
        off = [one for one in told if any(found["drift"] for found in one["differences"])]
        word = "complete" if run.complete else f"incomplete: {run.problem or 'some rows cannot be read'}"
        self.stdout.write(f"{account.label}: {word}; {len(told)} compared, {len(off)} differ")
        for one in off:
            name = one.get("symbol") or f"{one['asset']} in {one['wallet']}"
            for found in one["differences"]:
                self.stdout.write(f"  {name}: {found['kind']}: book {found['book']}, venue {found['venue']}")
        return run.complete and not off
