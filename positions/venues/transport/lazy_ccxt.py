"""Imports one exchange of ccxt without importing all of them.

`import ccxt.pro` executes the code of more than a hundred exchanges (seconds, and 120 MB) because the
package's `__init__` files name them all. Here the three packages are registered *unexecuted*: a name is
resolved when somebody asks for it. Whoever asks for something that only the real `__init__` defines gets
it: the `__init__` is then executed once, in place. Nothing of ccxt is copied, and nothing changed but that
it rounds numbers in a decimal context of its own.
"""

from __future__ import annotations

import decimal
import functools
import importlib
import importlib.util
import sys
import threading
from types import ModuleType
from typing import Any

_lock = threading.RLock()
_PACKAGES = ("ccxt", "ccxt.async_support", "ccxt.pro")
# Names that ccxt's own modules take from the package, and the module that defines each.
_SHARED = {
    "ccxt": {"Exchange": "ccxt.base.exchange", "Precise": "ccxt.base.precise"},
    "ccxt.async_support": {"Exchange": "ccxt.async_support.base.exchange"},
    "ccxt.pro": {"Exchange": "ccxt.async_support.base.exchange"},
}


class UnknownExchange(LookupError):
    """ccxt has no exchange of this id."""


def exchange_class(exchange_id: str, *, lazy: bool = True) -> type[Any]:
    """Return the ccxt.pro class of an exchange (REST and WebSocket); async-only where ccxt.pro has none.

    With `lazy` off, ccxt is imported as a whole, in its own way. Raises UnknownExchange.
    """
    if not lazy:
        return _from_whole_package(exchange_id)
    with _lock:
        _register()
        for package in ("ccxt.pro", "ccxt.async_support"):
            if not exchange_id.isalnum() or not importlib.util.find_spec(f"{package}.{exchange_id}"):
                continue
            found = _named(package, exchange_id)
            if isinstance(found, type):
                _keep_decimal_context()
                return found
    raise UnknownExchange(exchange_id)


def _keep_decimal_context() -> None:
    """Round in a context of its own: ccxt changes that of the thread which asks it to format a number."""
    base = importlib.import_module("ccxt.base.exchange")
    rounding = base.decimal_to_precision
    if hasattr(rounding, "__wrapped__"):
        return

    @functools.wraps(rounding)
    def apart(*args: Any, **named: Any) -> Any:
        with decimal.localcontext():
            return rounding(*args, **named)

    vars(base)["decimal_to_precision"] = apart


def _from_whole_package(exchange_id: str) -> type[Any]:
    for name in ("ccxt.pro", "ccxt.async_support"):
        package = importlib.import_module(name)
        if exchange_id in package.exchanges:
            found = getattr(package, exchange_id)
            if isinstance(found, type):
                _keep_decimal_context()
                return found
    raise UnknownExchange(exchange_id)


def _register() -> None:
    for name in _PACKAGES:
        if name in sys.modules:
            continue
        spec = importlib.util.find_spec(name)
        if spec is None:
            raise ImportError(f"{name} is not installed")
        module = importlib.util.module_from_spec(spec)
        module.__class__ = _Unexecuted
        sys.modules[name] = module
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)


class _Unexecuted(ModuleType):
    """A package of ccxt whose `__init__` has not run: it resolves shared names, error classes and exchanges
    itself.
    """

    def __getattr__(self, name: str) -> Any:
        package = self.__name__
        with _lock:
            if name.startswith("__"):
                # The import machinery asks for __path__ and the like: never a reason to execute a package.
                raise AttributeError(f"module {package!r} has no attribute {name!r}")
            home = _SHARED[package].get(name, "ccxt.base.errors")
            value = getattr(importlib.import_module(home), name, None)
            if value is not None:
                return value
            if name.islower() and importlib.util.find_spec(f"{package}.{name}"):
                return _named(package, name)
            return _execute(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        """The real `__init__` puts an exchange's class where importing its module would leave the module."""
        if isinstance(value, ModuleType):
            value = value.__dict__.get(name, value)
        super().__setattr__(name, value)


def _named(package: str, exchange_id: str) -> Any:
    importlib.import_module(f"{package}.{exchange_id}")
    return sys.modules[package].__dict__[exchange_id]


def _execute(module: ModuleType, name: str) -> Any:
    """Somebody wants more than one exchange of the package (`ccxt.exchanges`): give it the real thing."""
    module.__class__ = ModuleType
    spec = module.__spec__
    if spec is None or spec.loader is None:
        raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
    spec.loader.exec_module(module)
    return getattr(module, name)
