"""The error matrix: what a venue or the network did, and what the operator is told to do about it."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import aiohttp
import pytest

from positions.venues.base import Denied, RateLimited, Transient, VenueError
from positions.venues.errors import PAYLOAD_LIMIT
from positions.venues.registry import VENUES
from positions.venues.transport.client import Retries

from .replay import DATA, NOW, Answer, Case, Session, error_cases, opened, put_in

HTML = "<html><head><title>502 Bad Gateway</title></head><body>cloudflare</body></html>"
ANSWERED = list(error_cases())
UNANSWERED: dict[str, tuple[str, BaseException, type[VenueError]]] = {
    "connection refused": ("binance", aiohttp.ClientConnectionError("refused"), Transient),
    "time-out": ("bybit", TimeoutError(), Transient),
    "TLS failure": ("okx", ssl.SSLError("handshake"), Transient),
}


def venue_of(exchange: str) -> Any:
    markets = json.loads((DATA / exchange / "markets.json").read_text())
    venue = opened(VENUES[exchange], exchange, markets["markets"], markets["options"])
    venue.client.retries = Retries(attempts=1)
    return venue


class TestEachErrorOfAVenue:
    @pytest.mark.parametrize("case", ANSWERED, ids=lambda case: case.id)
    async def test_conformance_says_what_to_do(self, case: Case) -> None:
        """Recorded and documented refusals (tests/data/venues/*/error-*.json), put in at the transport."""
        venue = venue_of(case.exchange)
        answer = Answer(case.response, case.status, case.headers or {})
        put_in(venue.client, lambda method, url, body: answer)

        with pytest.raises(VenueError) as failure:
            await venue.answered(venue.balance_calls)

        assert case.expected is not None
        assert type(failure.value).__name__ == case.expected["error"], str(failure.value)
        assert failure.value.payload == answer.text[:PAYLOAD_LIMIT]
        if "for_seconds" in case.expected:
            assert isinstance(failure.value, RateLimited)
            assert failure.value.for_ == timedelta(seconds=case.expected["for_seconds"])

    @pytest.mark.parametrize(("exchange", "broken", "meaning"), UNANSWERED.values(), ids=UNANSWERED)
    async def test_a_broken_network_is_transient(
        self, exchange: str, broken: BaseException, meaning: type[VenueError]
    ) -> None:
        venue = venue_of(exchange)
        put_in(venue.client, lambda method, url, body: broken)
        with pytest.raises(meaning):
            await venue.answered(venue.balance_calls)


def told_the_time(answer: Callable[[], Answer]) -> Callable[[str, str, Any], Answer]:
    """Answer Bybit's time, which is asked for once before a report, and everything else by `answer`."""
    seconds = int(NOW.timestamp())
    told = json.dumps({"retCode": 0, "result": {"timeSecond": str(seconds)}, "time": seconds * 1000})
    return lambda method, url, body: Answer(told) if "/market/time" in url else answer()


def of_balances(session: Session) -> list[str]:
    return [url for _, url, _ in session.requests if "wallet-balance" in url]


class TestARateLimitedRequest:
    async def test_honours_retry_after_and_pauses_the_shared_budget(self) -> None:
        venue = venue_of("binance")
        put_in(venue.client, lambda *_: Answer("{}", 429, {"Retry-After": "7"}))
        with pytest.raises(RateLimited) as failure:
            await venue.answered(venue.balance_calls)

        assert failure.value.for_ == timedelta(seconds=7)
        budget = venue.ports.budget
        assert budget._paused[venue.client.budget_key] > 0

    async def test_understands_a_date(self) -> None:
        venue = venue_of("binance")
        later = (NOW + timedelta(seconds=90)).strftime("%a, %d %b %Y %H:%M:%S GMT")
        put_in(venue.client, lambda *_: Answer("{}", 429, {"Retry-After": later}))
        with pytest.raises(RateLimited) as failure:
            await venue.answered(venue.balance_calls)
        assert failure.value.for_ == timedelta(seconds=90)


class TestADeniedRequest:
    async def test_names_the_remedy(self) -> None:
        venue = venue_of("binance")
        put_in(venue.client, lambda *_: Answer('{"code":-1021,"msg":"Timestamp outside of recvWindow"}', 400))
        with pytest.raises(Denied, match="synchronise this machine's clock"):
            await venue.answered(venue.balance_calls)

    async def test_is_not_tried_again(self) -> None:
        venue = venue_of("bybit")
        venue.client.retries = Retries(attempts=4, first_wait=timedelta(milliseconds=1))
        session = put_in(
            venue.client, told_the_time(lambda: Answer('{"retCode":10003,"retMsg":"API key is invalid."}'))
        )
        with pytest.raises(Denied):
            await venue.answered(venue.balance_calls)
        assert len(of_balances(session)) == 1


class TestATransientError:
    async def test_is_tried_again_until_it_works(self) -> None:
        venue = venue_of("bybit")
        venue.client.retries = Retries(attempts=4, first_wait=timedelta(milliseconds=1))
        answers = [Answer(HTML, 502), Answer("null", 500), Answer('{"retCode":0,"result":{"list":[]}}')]
        session = put_in(venue.client, told_the_time(lambda: answers.pop(0)))
        report = await venue.answered(venue.balance_calls)
        assert report.balances_complete
        assert len(of_balances(session)) == 3
