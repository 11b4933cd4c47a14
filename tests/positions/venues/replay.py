"""Recorded answers, put in where the network would be: ccxt signs, parses and judges them as it
would live ones.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from multidict import CIMultiDict

from positions.venues.base import AccountConfig, Credentials, Ports
from positions.venues.generic.markets import store
from positions.venues.transport.client import Client
from positions.venues.transport.local_ports import MemoryBudget, ports

DATA = Path(__file__).resolve().parents[2] / "data" / "venues"
NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
# Values with the shape each exchange's signature needs; none is a key of anything.
FAKE = Credentials(
    api_key="conformance-key",
    secret="Y29uZm9ybWFuY2Utc2VjcmV0LWNvbmZvcm1hbmNl",
    password="conformance-pass",
    private_key="0x" + "11" * 32,
    uid="1234567",
)
ADDRESS = "0x193bd350ec838b1e22d6f302da5343b920aa1c2b"


@dataclass
class Answer:
    """One HTTP answer. `body` is sent as it is when it is a string, else as JSON."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})

    @property
    def text(self) -> str:
        return self.body if isinstance(self.body, str) else json.dumps(self.body)


class _Response:
    def __init__(self, answer: Answer) -> None:
        self.status, self.reason, self.content = answer.status, "", None
        self.headers = CIMultiDict(answer.headers)
        self._text = answer.text

    async def __aenter__(self) -> _Response:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def text(self, **_: object) -> str:
        return self._text


class Session:
    """Stands in for aiohttp's session: hands every request to `answer(method, url, body)`; keeps
    what was asked.
    """

    def __init__(self, answer: Callable[[str, str, Any], Answer | BaseException]) -> None:
        self._answer = answer
        self.requests: list[tuple[str, str, Any]] = []
        self.headers: dict[str, str] = {}

    def __getattr__(self, method: str) -> Callable[..., _Response]:
        if method not in ("get", "post", "put", "delete", "patch"):
            raise AttributeError(method)

        def request(url: Any, *, data: bytes | None = None, **_: object) -> _Response:
            body = json.loads(data) if data and data[:1] in b"{[" else data
            self.requests.append((method, str(url), body))
            answer = self._answer(method, str(url), body)
            if isinstance(answer, BaseException):
                raise answer
            return _Response(answer)

        return request

    async def close(self) -> None:
        return None


def put_in(client: Client, answer: Callable[[str, str, Any], Answer | BaseException]) -> Session:
    """Answer a client's requests from here on; the session tells what was asked."""
    session = Session(answer)
    client.exchange.session = session
    client.exchange.own_session = False
    return session


def routed(recorded: Any) -> Callable[[str, str, Any], Answer]:
    """The recorded answer of a case: one for all requests, or by URL (`__routes__`)."""

    def answer(method: str, url: str, body: Any) -> Answer:
        if isinstance(recorded, Mapping) and "__routes__" in recorded:
            for pattern, content in recorded["__routes__"]:
                if re.search(pattern, url):
                    return Answer(content)
            raise AssertionError(f"no recorded answer for {method} {url}")
        return Answer(recorded)

    return answer


@dataclass(frozen=True)
class Case:
    """One recorded answer: what was called, what came, and (ours) what must be made of it."""

    exchange: str
    id: str
    method: str
    input: list[Any]
    response: Any
    markets: list[Any]
    options: Mapping[str, Any]
    status: int = 200
    headers: Mapping[str, str] | None = None
    expected: Mapping[str, Any] | None = None
    credentials: Mapping[str, Any] | None = None
    address: str = ADDRESS


def snake(method: str) -> str:
    """fetchMyTrades → fetch_my_trades."""
    return re.sub(r"(?<!^)([A-Z])", lambda found: "_" + found.group(1).lower(), method)


def market(entry: Any) -> dict[str, Any]:
    """A unified market from the short form [id, symbol, contractSize], or as it is."""
    if isinstance(entry, Mapping):
        return dict(entry)
    identity, symbol, size = entry
    pair, _, rest = symbol.partition(":")
    base, _, quote = pair.partition("/")
    settle, *dated = rest.split("-") if rest else [None]
    kind = "spot" if settle is None else "option" if len(dated) == 3 else "future" if dated else "swap"
    inverse = settle is not None and settle == base
    return {
        "id": identity, "symbol": symbol, "base": base, "quote": quote, "settle": settle,
        "baseId": base, "quoteId": quote, "settleId": settle, "type": kind, "spot": kind == "spot",
        "margin": False, "swap": kind == "swap", "future": kind == "future", "option": kind == "option",
        "contract": settle is not None, "linear": settle is not None and not inverse,
        "inverse": settle is not None and inverse, "active": True, "contractSize": size,
        "precision": {"amount": 1e-8, "price": 1e-8}, "limits": {},
    }  # fmt: skip


def unhurried() -> Ports:
    """Ports whose budget counts tokens and never waits: a minute passes between two requests."""
    minutes = itertools.count(step=60.0)
    return replace(ports(lambda: NOW), budget=MemoryBudget(now=lambda: next(minutes)))


def config_for(exchange: str, **more: Any) -> AccountConfig:
    """A live-looking account: no request leaves, the transport is replaced."""
    fields = {"address": ADDRESS, "credentials": FAKE, "timeout": timedelta(seconds=2), **more}
    return AccountConfig(account="1", venue=exchange, **fields)


def give_keys(exchange: Any, credentials: Mapping[str, Any] | None) -> None:
    """Every credential that an exchange wants: the case's own, else something of the right shape."""
    for name, wanted in exchange.requiredCredentials.items():
        if wanted and not getattr(exchange, name, None):
            setattr(exchange, name, "1")
    for name, value in (credentials or {}).items():
        setattr(exchange, name, value)


def inject(client: Client, markets: list[Any], options: Mapping[str, Any]) -> None:
    """Give a client the case's markets, and make them those of its server."""
    exchange = client.exchange
    exchange.set_markets([market(entry) for entry in markets])
    exchange.options.update(options)
    store.hold(client)


def opened(
    adapter: Callable[..., Any], exchange: str, markets: list[Any], options: Mapping[str, Any], **more: Any
) -> Any:
    """An adapter on replayed transport, with markets in place."""
    store.forget()
    venue = adapter(config_for(exchange, **more), unhurried())
    inject(venue.client, markets, options)
    return venue


def recorded_cases() -> Iterator[Case]:
    """Our recordings: <exchange>/<oddity>.json, each with what must be made of it."""
    return (case for case in _cases() if case.expected and "error" not in case.expected)


def error_cases() -> Iterator[Case]:
    """Refusals: <exchange>/error-<oddity>.json, each with the error it must become."""
    return (case for case in _cases() if case.expected and "error" in case.expected)


def _cases() -> Iterator[Case]:
    for folder in sorted(path for path in DATA.iterdir() if path.is_dir()):
        markets = json.loads((folder / "markets.json").read_text())
        for path in sorted(folder.glob("*.json")):
            if path.name == "markets.json":
                continue
            case = json.loads(path.read_text())
            yield Case(
                exchange=case["exchange"],
                id=f"{folder.name}/{path.stem}",
                method=case["method"],
                input=case["input"],
                response=case["response"],
                markets=markets["markets"],
                options={**markets["options"], **case["options"]},
                status=case.get("status", 200),
                headers=case.get("headers"),
                expected=case["expected"],
                address=case.get("address", ADDRESS),
            )


def flat_cases(folder: Path) -> Iterator[Case]:
    """Cases of files in the reference format ({exchange, markets, options, cases}), at any depth."""
    for path in sorted(folder.rglob("*.json")):
        document = json.loads(path.read_text())
        if not isinstance(document, Mapping) or "cases" not in document:
            continue
        for case in document["cases"]:
            yield Case(
                exchange=document["exchange"],
                id=case["id"],
                method=case["method"],
                input=list(case.get("input") or []),
                response=case["httpResponse"],
                markets=document["markets"],
                options={**document.get("options", {}), **(case.get("options") or {})},
                credentials=case.get("credentials"),
            )
