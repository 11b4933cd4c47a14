"""Decimals are exact wherever the product calculates, not only where a module names its context."""

import asyncio
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import ROUND_HALF_EVEN, Decimal, DivisionByZero, InvalidOperation, Overflow, getcontext
from pathlib import Path

import pytest

from positions.book.money import CONTEXT
from positions.venues.transport.lazy_ccxt import exchange_class

ROOT = Path(__file__).resolve().parents[3]
LARGE = Decimal("99999999999999999999.999999999999999999")  # the largest numeric(38,18)
PROBE = """
import decimal
c = decimal.getcontext()
print(c.prec, c.rounding, sorted(one.__name__ for one, on in c.traps.items() if on))
"""


def settings_of(context):
    return context.prec, context.rounding, {signal for signal, on in context.traps.items() if on}


EXACT = (76, ROUND_HALF_EVEN, {InvalidOperation, DivisionByZero, Overflow})


def here():
    return settings_of(getcontext()), CONTEXT.multiply(LARGE, LARGE) == LARGE * LARGE


class TestDecimalArithmetic:
    def test_stays_as_it_is_when_ccxt_formats_a_number(self):
        def ask():
            exchange = exchange_class("hyperliquid")()
            assert exchange.decimal_to_precision("1.25", 1, 1, 2) == "1.3"  # to one place, half up
            return here()

        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(ask).result() == (EXACT, True)

    def test_has_it_in_a_new_thread(self):
        found = []
        thread = threading.Thread(target=lambda: found.append(here()))
        thread.start()
        thread.join()
        assert found == [(EXACT, True)]

    def test_has_it_in_a_pool_of_threads(self):
        with ThreadPoolExecutor(2) as pool:
            assert {str(one) for one in pool.map(lambda _: here()[0][0], range(4))} == {"76"}

    def test_has_it_in_an_asyncio_task_and_the_threads_of_its_loop(self):
        async def task():
            return here()

        async def both():
            return await asyncio.create_task(task()), await asyncio.to_thread(here)

        # In a thread of its own: ccxt, used bare by other tests, changes the context of this one.
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(lambda: asyncio.run(both())).result() == ((EXACT, True), (EXACT, True))

    def test_has_it_in_a_loop_of_another_thread(self):
        async def task():
            return here()

        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(lambda: asyncio.run(task())).result() == (EXACT, True)

    @pytest.mark.parametrize(
        "start",
        [
            "from django.core.management import execute_from_command_line as run; run(['', 'check'])",
            "import config.asgi",
            "from config.celery import app; app.finalize(); app.loader.import_default_modules()",
        ],
        ids=["a command", "the web process", "the worker"],
    )
    def test_has_it_in(self, start, db):
        environment = os.environ | {"DJANGO_SETTINGS_MODULE": "config.settings"}
        process = subprocess.run(
            [sys.executable, "-c", start + PROBE],
            cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=120,
        )  # fmt: skip
        assert process.stdout.splitlines()[-1] == (
            "76 ROUND_HALF_EVEN ['DivisionByZero', 'InvalidOperation', 'Overflow']"
        )
