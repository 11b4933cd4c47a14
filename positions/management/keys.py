"""How commands accept what a key can do: by name, one flag for each."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from positions.venues.keys.vetting import ACCEPTANCES, TRADE, UNKNOWN, WITHDRAW

_HELP = {
    WITHDRAW: "accept, from now on, a key that can withdraw",
    TRADE: "accept, from now on, a key that can trade",
    UNKNOWN: "accept, from now on, a key whose permissions the venue does not tell",
}


def add_acceptances(parser: ArgumentParser) -> None:
    """Add --allow-withdraw, --allow-trade and --allow-unknown."""
    for name in ACCEPTANCES:
        parser.add_argument(f"--{name.replace('_', '-')}", action="store_true", help=_HELP[name])


def accepted(options: dict[str, Any]) -> dict[str, bool]:
    """Return the account's options of the flags that were given."""
    return {name: True for name in ACCEPTANCES if options[name]}
