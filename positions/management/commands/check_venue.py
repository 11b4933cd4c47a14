"""`manage.py check_venue ACCOUNT`: a table of the methods that work with an account's credentials."""

from __future__ import annotations

from argparse import ArgumentParser
from io import StringIO
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from rich.console import Console
from rich.table import Table

from core.security.security_events import by_command
from positions.management import keys
from positions.models import Account
from positions.sync.connections import CredentialsUnreadable, accept_key, connect_unvetted, run
from positions.venues.base import VenueError
from positions.venues.checkup import Check, Outcome, check

_COLOURS = {
    Outcome.GOOD: "green",
    Outcome.WARNING: "yellow",
    Outcome.BAD: "red",
    Outcome.NOT_THERE: "dim",
}


class Command(BaseCommand):
    """Calls every method of the venue's adapter, and prints the result and how far each was proven."""

    help = (
        "Check an account: permissions (a key that can do more than read is refused), clock offset, latency, "
        "account mode, history, and what could be read. Exits with 1 when something is red."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("account", help="the account's number or label")
        keys.add_acceptances(parser)

    def handle(self, *_: Any, **options: Any) -> None:
        account = _account(options["account"])
        if accepted := keys.accepted(options):
            accept_key(account=account, acceptances=accepted, who=by_command())
        try:
            venue = connect_unvetted(account=account)
        except (VenueError, CredentialsUnreadable) as error:
            raise CommandError(str(error)) from None
        try:
            checks = run(check(venue, now=timezone.now()))
        except VenueError as error:
            raise CommandError(str(error)) from None
        finally:
            run(venue.close())
        console = Console(width=140, force_terminal=self.stdout.isatty(), record=True, file=StringIO())
        console.print(_table(account, checks))
        self.stdout.write(console.export_text(styles=self.stdout.isatty()))
        bad = [row.name for row in checks if row.outcome is Outcome.BAD]
        if bad:
            raise CommandError(f"not working: {', '.join(bad)}")


def _account(name: str) -> Account:
    found = Account.objects.filter(pk=int(name)) if name.isdigit() else Account.objects.filter(label=name)
    account = found.first()
    if account is None:
        raise CommandError(f"there is no account {name!r}")
    return account


def _table(account: Account, checks: list[Check]) -> Table:
    table = Table(title=f"{account.label} · {account.venue} · {account.environment}")
    for heading in ("check", "result", "what was found", "our reading rests on"):
        table.add_column(heading, overflow="fold")
    for row in checks:
        colour = _COLOURS[row.outcome]
        evidence = row.evidence.value if row.evidence else ""
        table.add_row(row.name, f"[{colour}]{row.outcome.value}[/{colour}]", row.detail, evidence)
    return table
