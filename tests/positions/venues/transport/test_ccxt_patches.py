"""Our changes to ccxt's inside: ccxt still has the place that each leans on, and each can be switched off."""

from __future__ import annotations

import inspect
import subprocess
import sys
import textwrap
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import settings

from positions.sync.connections import ports
from positions.venues.base import CcxtPatches
from positions.venues.transport.conversation import Conversation, conversation
from positions.venues.transport.instrumentation import ROW_PARSERS, instrumented_class
from positions.venues.transport.lazy_ccxt import exchange_class

OFF = CcxtPatches(lazy_import=False, exponent_limit=False, row_guards=False, socket_guards=False)


def run(code: str) -> str:
    """What a fresh process prints: patches of a process stay."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True, timeout=240
    )
    return done.stdout.strip()


class TestTheSettings:
    @pytest.mark.parametrize("name", ["lazy_import", "exponent_limit", "row_guards", "socket_guards"])
    def test_switch_each_change_off_alone(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        assert ports().patches == CcxtPatches()
        monkeypatch.setattr(settings, f"CCXT_{name.upper()}", False)
        assert ports().patches == CcxtPatches(**{name: False})


class TestTheLazyImport:
    def test_switched_off_imports_all_of_ccxt_where_names_are_as_the_lazy_import_has_them(self) -> None:
        said = run("""
            import importlib, sys
            from positions.venues.transport import lazy_ccxt
            whole = lazy_ccxt.exchange_class("okx", lazy=False)
            import ccxt.pro
            assert whole is ccxt.pro.okx
            assert {type(sys.modules[name]).__name__ for name in lazy_ccxt._PACKAGES} == {"module"}
            for package, names in lazy_ccxt._SHARED.items():
                for name, home in names.items():
                    assert getattr(importlib.import_module(home), name) is getattr(sys.modules[package], name)
            for name in ("nosuch", "base", ""):
                try:
                    lazy_ccxt.exchange_class(name, lazy=False)
                except lazy_ccxt.UnknownExchange:
                    continue
                raise AssertionError(name)
            print("as it has them")
        """)
        assert said == "as it has them"


class TestTheExponentLimit:
    def test_leans_on_the_constructor_that_every_precise_number_passes(self) -> None:
        assert (
            run("""
            from positions.venues.transport.instrumentation import instrumented_class
            instrumented_class("okx")
            from ccxt.base.precise import Precise
            refused = 0
            multiply = lambda text: Precise.string_mul(text, "1")
            add = lambda text: Precise.string_add(text, "1")
            for make in (Precise, multiply, add):
                try:
                    make("1e99999")
                except ValueError:
                    refused += 1
            print(refused, Precise.string_mul("1e-8", "3"))
        """)
            == "3 0.00000003"
        )

    def test_switched_off_leaves_ccxts_own_numbers(self) -> None:
        assert run("""
            from positions.venues.base import CcxtPatches
            from positions.venues.transport.instrumentation import instrumented_class
            exchange = instrumented_class("okx", CcxtPatches(exponent_limit=False))({})
            from ccxt.base.precise import Precise
            print(Precise.__init__.__module__, len(exchange.number_to_string("1e2000")) > 2000)
        """).startswith("ccxt.base.precise True")


DATED = {"instId": "BTC-USDT", "px": "1", "sz": "1", "side": "buy", "tradeId": "2", "ts": "1700000000000"}
UNDATED = {**DATED, "ts": "-1"}


class TestTheRowGuards:
    def test_lean_on_parsers_that_ccxt_still_has(self) -> None:
        names = ("binanceusdm", "bybit", "okx", "deribit", "coinbase", "gate", "revolutx")
        classes = [exchange_class(name) for name in names]
        assert [name for name in ROW_PARSERS if not any(hasattr(one, name) for one in classes)] == []

    @pytest.mark.parametrize("patches", [CcxtPatches(), CcxtPatches(row_guards=False)])
    async def test_keep_an_unreadable_row_unless_switched_off(self, patches: CcxtPatches) -> None:
        exchange = instrumented_class("okx", patches)({})
        talk = Conversation()
        token = conversation.set(talk)
        try:
            rows = exchange.parse_trades([UNDATED, DATED])
            kept = [row for row, _ in talk.unparsed]
            assert kept == ([UNDATED] if patches.row_guards else [])
            assert [row["id"] for row in rows if row["info"] is DATED] == ["2"]
        finally:
            conversation.reset(token)
            await exchange.close()


class TestTheSocketGuards:
    async def test_lean_on_what_ccxts_sockets_still_have(self) -> None:
        exchange = instrumented_class("okx")({})
        try:
            own = exchange_class("okx")
            assert list(inspect.signature(own.on_close).parameters) == ["self", "client", "error"]
            assert list(inspect.signature(own.handle_message).parameters)[:3] == ["self", "client", "message"]
            socket = own.client(exchange, "ws://127.0.0.1:9")
            for name in ("handle_message", "on_error", "close", "connecting", "connected", "futures"):
                assert hasattr(socket, name), name
            assert exchange.clients == {"ws://127.0.0.1:9": socket}
        finally:
            exchange.clients = {}
            await exchange.close()

    @pytest.mark.parametrize("patches", [CcxtPatches(), OFF])
    async def test_end_a_socket_after_an_unreadable_frame_unless_switched_off(
        self, patches: CcxtPatches
    ) -> None:
        exchange = instrumented_class("okx", patches)({})
        try:
            socket = exchange.client("ws://127.0.0.1:9")
            ended: list[Any] = []
            socket.on_error = ended.append
            frame = SimpleNamespace(data="a frame without a type")
            try:
                socket.handle_message(frame)
            except AttributeError:
                assert not patches.socket_guards
            assert bool(ended) == ("handle_message" in vars(socket)) == patches.socket_guards
        finally:
            exchange.clients = {}
            await exchange.close()
