"""`manage.py simulate_venue --venue recorded --port 8801`: a local server that speaks a venue's protocol."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import BaseCommand

from simulator.command import VENUES, add_arguments, run


class Command(BaseCommand):
    """Runs a simulated venue in this process until a signal. It uses neither database nor Redis."""

    help = "Run a local venue: " + ", ".join(VENUES)
    requires_system_checks = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """The options of the simulators."""
        add_arguments(parser)

    def handle(self, **options: Any) -> None:
        """Hand over to the simulator."""
        run(argparse.Namespace(**options))
