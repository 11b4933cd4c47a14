"""The error matrix: what a venue or the network did, and what the operator is told to do about it."""

from __future__ import annotations

import ssl
from datetime import timedelta
from typing import Any

import aiohttp
import pytest

from positions.venues.base import Corrupt, Denied, RateLimited, Transient, Unsupported, VenueError
from positions.venues.client import Retries
from positions.venues.errors import PAYLOAD_LIMIT
from positions.venues.registry import VENUES

from .replay import DATA, NOW, Answer, opened, put_in

HTML = "<html><head><title>502 Bad Gateway</title></head><body>cloudflare</body></html>"
MATRIX: dict[str, tuple[str, Any, type[VenueError]]] = {
    # venue, what came, what it means
    "429 with Retry-After": ("binance", Answer("{}", 429, {"Retry-After": "7"}), RateLimited),
    "429 without": ("bybit", Answer("", 429), RateLimited),
    "418 banned": ("binanceusdm", Answer('{"code":-1003,"msg":"Way too many requests"}', 418), RateLimited),
    "bybit's own too many": ("bybit", Answer('{"retCode":10006,"retMsg":"Too many visits!"}'), RateLimited),
    "binance wrong key": (
        "binance", Answer('{"code":-2015,"msg":"Invalid API-key, IP, or permissions"}', 401), Denied,
    ),
    "binance wrong clock": (
        "binance", Answer('{"code":-1021,"msg":"Timestamp outside of recvWindow"}', 400), Denied,
    ),
    "bybit wrong key": ("bybit", Answer('{"retCode":10003,"retMsg":"API key is invalid."}'), Denied),
    "okx wrong passphrase": (
        "okx", Answer('{"code":"50105","msg":"Passphrase incorrect","data":[]}', 401), Denied,
    ),
    "coinbase wrong key": (
        "coinbase", Answer('{"errors":[{"id":"invalid_token","message":"x"}]}', 401), Denied,
    ),
    "plain 403": ("okx", Answer('{"message":"forbidden"}', 403), Denied),
    "blocked place": ("binance", Answer('{"code":0,"msg":"restricted location"}', 451), Denied),
    "500": ("okx", Answer("null", 500), Transient),
    "502 page of a gateway": ("binanceusdm", Answer(HTML, 502, {"Content-Type": "text/html"}), Transient),
    "503": ("coinbase", Answer("", 503), Transient),
    "403 page of a CDN": ("okx", Answer(HTML, 403, {"Content-Type": "text/html"}), Transient),
    "page with 200": ("bybit", Answer(HTML, 200, {"Content-Type": "text/html"}), Corrupt),
    "truncated JSON": ("binance", Answer('{"balances":[{"asset":"BTC","free":"0.1"'), Corrupt),
    "a number": ("okx", Answer("17"), Corrupt),
    "nothing": ("bybit", Answer(""), Corrupt),
    "an object without rows": ("bybit", Answer('{"retCode":0,"retMsg":"OK"}'), Corrupt),
    "400 of another kind": ("okx", Answer('{"code":"51000","msg":"Parameter error"}', 400), Unsupported),
    "connection refused": ("binance", aiohttp.ClientConnectionError("refused"), Transient),
    "time-out": ("bybit", TimeoutError(), Transient),
    "TLS failure": ("okx", ssl.SSLError("handshake"), Transient),
}  # fmt: skip


def venue_of(exchange: str) -> Any:
    import json

    markets = json.loads((DATA / exchange / "markets.json").read_text())
    venue = opened(VENUES[exchange], exchange, markets["markets"], markets["options"])
    venue.client.retries = Retries(attempts=1)
    return venue


@pytest.mark.parametrize(("exchange", "answer", "meaning"), MATRIX.values(), ids=MATRIX)
class TestErrorMatrix:
    async def test_says_what_to_do(self, exchange: str, answer: Any, meaning: type[VenueError]) -> None:
        venue = venue_of(exchange)
        put_in(venue.client, lambda method, url, body: answer)

        with pytest.raises(VenueError) as failure:
            await venue.answered(venue.balance_asks)

        assert type(failure.value) is meaning, str(failure.value)
        if isinstance(answer, Answer):
            assert failure.value.payload == answer.text[:PAYLOAD_LIMIT]


class TestRateLimited:
    async def test_honours_retry_after_and_pauses_the_shared_budget(self) -> None:
        venue = venue_of("binance")
        put_in(venue.client, lambda *_: Answer("{}", 429, {"Retry-After": "7"}))
        with pytest.raises(RateLimited) as failure:
            await venue.answered(venue.balance_asks)

        assert failure.value.for_ == timedelta(seconds=7)
        budget = venue.ports.budget
        assert budget._paused[venue.client.budget_key] > 0

    async def test_understands_a_date(self) -> None:
        venue = venue_of("binance")
        later = (NOW + timedelta(seconds=90)).strftime("%a, %d %b %Y %H:%M:%S GMT")
        put_in(venue.client, lambda *_: Answer("{}", 429, {"Retry-After": later}))
        with pytest.raises(RateLimited) as failure:
            await venue.answered(venue.balance_asks)
        assert failure.value.for_ == timedelta(seconds=90)


class TestDenied:
    async def test_names_the_remedy(self) -> None:
        venue = venue_of("binance")
        put_in(venue.client, lambda *_: Answer('{"code":-1021,"msg":"Timestamp outside of recvWindow"}', 400))
        with pytest.raises(Denied, match="synchronise this machine's clock"):
            await venue.answered(venue.balance_asks)

    async def test_is_not_tried_again(self) -> None:
        venue = venue_of("bybit")
        venue.client.retries = Retries(attempts=4, first_wait=timedelta(milliseconds=1))
        session = put_in(venue.client, lambda *_: Answer('{"retCode":10003,"retMsg":"API key is invalid."}'))
        with pytest.raises(Denied):
            await venue.answered(venue.balance_asks)
        assert len(session.requests) == 1


class TestTransient:
    async def test_is_tried_again_until_it_works(self) -> None:
        venue = venue_of("bybit")
        venue.client.retries = Retries(attempts=4, first_wait=timedelta(milliseconds=1))
        answers = [Answer(HTML, 502), Answer("null", 500), Answer('{"retCode":0,"result":{"list":[]}}')]
        session = put_in(venue.client, lambda *_: answers.pop(0))
        report = await venue.answered(venue.balance_asks)
        assert report.balances_complete
        assert len(session.requests) == 3
