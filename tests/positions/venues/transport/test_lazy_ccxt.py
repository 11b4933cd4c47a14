"""One exchange is imported without the others, and whoever wants all of ccxt still gets it."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from positions.venues.transport.lazy_ccxt import UnknownExchange, exchange_class


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True, timeout=240
    )
    return done.stdout.strip()


class TestTheLazyImportOfCcxt:
    def test_imports_no_other_exchange(self) -> None:
        said = run("""
            import sys
            from positions.venues.transport.lazy_ccxt import exchange_class
            exchange_class("hyperliquid")
            print(sorted(n for n in sys.modules if n.startswith("ccxt.async_support.") and "base" not in n))
        """)
        assert said == "['ccxt.async_support.hyperliquid']"

    def test_builds_what_the_whole_package_would(self) -> None:
        said = run("""
            from positions.venues.transport.lazy_ccxt import exchange_class
            names = ["binanceusdm", "binancecoinm", "coinbase", "bybit", "okx", "gate"]
            lone = {name: exchange_class(name)().describe() for name in names}
            import ccxt, ccxt.pro
            assert len(ccxt.exchanges) > 90 and ccxt.NetworkError and ccxt.pro.exchanges
            for name in names:
                whole = getattr(ccxt.pro, name)().describe()
                assert lone[name]["id"] == name
                assert lone[name]["urls"] == whole["urls"] and lone[name]["has"] == whole["has"], name
            print("the same")
        """)
        assert said == "the same"

    def test_uses_a_ccxt_that_is_imported_already(self) -> None:
        said = run("""
            import ccxt.pro
            from positions.venues.transport.lazy_ccxt import exchange_class
            print(exchange_class("okx") is ccxt.pro.okx)
        """)
        assert said == "True"

    @pytest.mark.parametrize("name", ["nosuch", "base", "", "../x", "__init__"])
    def test_refuses_what_is_no_exchange(self, name: str) -> None:
        with pytest.raises(UnknownExchange):
            exchange_class(name)

    def test_the_protocol_needs_no_ccxt_at_all(self) -> None:
        said = run("""
            import sys
            import positions.venues.registry
            print([name for name in sys.modules if name.startswith(("ccxt", "django"))])
        """)
        assert said == "[]"
