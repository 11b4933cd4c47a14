"""A planted secret is looked for in everything that a full debug run prints."""

from __future__ import annotations

import asyncio
import io
import logging
import traceback
from collections import namedtuple
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import structlog

from positions.venues import redaction
from positions.venues.base import AccountConfig, Credentials, VenueError
from positions.venues.redaction import MASK, remember, scrub, scrub_value
from positions.venues.registry import VENUES
from positions.venues.transport.client import Retries

from .replay import Answer, opened, put_in

KEY = "planted-api-key-9c1f"
SECRET = "cGxhbnRlZC1zZWNyZXQtOWMxZi1wbGFudGVk"
PASSWORD = "planted-passphrase-9c1f"
PLANTED = Credentials(api_key=KEY, secret=SECRET, password=PASSWORD)


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process remembers every credential it decrypts, those of other tests too ("secret" among them)."""
    monkeypatch.setattr(redaction, "_secrets", set())
    monkeypatch.setattr(redaction, "_pattern", None)


@pytest.fixture
def printed() -> Iterator[io.StringIO]:
    """Everything that reaches the root logger at DEBUG, tracebacks included."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    root, level = logging.getLogger(), logging.getLogger().level
    names = ("ccxt", "asyncio", "aiohttp", "positions")
    levels = {name: logging.getLogger(name).level for name in names}
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    for name in names:
        logging.getLogger(name).setLevel(logging.DEBUG)
    yield out
    root.removeHandler(handler)
    root.setLevel(level)
    for name, old in levels.items():
        logging.getLogger(name).setLevel(old)


def clean(text: str) -> bool:
    return not any(secret in text for secret in (KEY, SECRET, PASSWORD))


class TestAFullDebugRun:
    @pytest.mark.parametrize("exchange", ["binance", "binanceusdm", "bybit", "okx", "coinbase"])
    async def test_prints_no_secret(self, exchange: str, printed: io.StringIO, capsys: Any) -> None:
        """Verbose ccxt, debug asyncio, a venue that quotes our key back, every error logged with
        its traceback.
        """
        asyncio.get_running_loop().set_debug(True)
        venue = opened(VENUES[exchange], exchange, [], {}, credentials=PLANTED)
        venue.client.exchange.verbose = True
        venue.client.retries = Retries(attempts=2, first_wait=timedelta(milliseconds=1))
        echo = {
            "msg": f"unknown key {KEY}, secret {SECRET}",
            "code": -1,
            "retCode": 10003,
            "retMsg": PASSWORD,
        }
        put_in(venue.client, lambda *_: Answer(echo, 502))
        logger = logging.getLogger("positions.tasks")

        failures: list[VenueError] = []
        for work in (venue.report, venue.permissions, lambda: venue.answered(venue.balance_calls)):
            try:
                await work()
            except VenueError as error:
                failures.append(error)
                logger.exception("round of account %s failed", venue.config)
                structlog.get_logger("positions").error("failed", config=repr(venue.config), error=str(error))
        await venue.close()

        said = printed.getvalue()
        captured = capsys.readouterr()
        assert len(failures) >= 2
        assert all(clean(str(error.payload)) for error in failures)
        assert all(clean("".join(traceback.format_exception(error))) for error in failures)
        assert "fetch Request" in said, "the run was verbose"
        assert clean(said)
        assert clean(captured.out + captured.err)
        assert MASK in said

    async def test_an_error_keeps_its_payload_without_the_secret(self) -> None:
        venue = opened(VENUES["binance"], "binance", [], {}, credentials=PLANTED)
        venue.client.retries = Retries(attempts=1)
        put_in(venue.client, lambda *_: Answer({"code": -2015, "msg": f"bad {KEY}"}, 401))
        with pytest.raises(VenueError) as failure:
            await venue.answered(venue.balance_calls)
        assert failure.value.payload is not None
        assert MASK in failure.value.payload
        assert clean(failure.value.payload)


class TestPlainDataThatCarriesKeys:
    def test_credentials_show_which_fields_are_set_and_nothing_more(self) -> None:
        assert repr(PLANTED) == f"Credentials(api_key={MASK!r}, secret={MASK!r}, password={MASK!r})"

    def test_a_config_can_be_printed(self) -> None:
        config = AccountConfig(account="1", venue="bybit", credentials=PLANTED)
        assert clean(f"{config} {config!r}")


class TestScrubbingOfSecrets:
    def test_hides_a_key_of_several_lines_line_by_line(self) -> None:
        pem = (
            "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIPlantedPlantedPlanted\nAAAAplantedSecond\n-----END-----"
        )
        remember([pem])
        assert "Planted" not in scrub(f"log: {pem!r}") + scrub("only MHcCAQEEIPlantedPlantedPlanted here")

    def test_reaches_into_nested_data(self) -> None:
        remember([SECRET])
        assert scrub_value({"a": [SECRET, ("x", {"b": SECRET})]}) == {"a": [MASK, ("x", {"b": MASK})]}

    def test_hides_in_a_named_tuple_as_errors_of_aiohttp_carry_it(self) -> None:
        remember([SECRET])
        key = namedtuple("ConnectionKey", ["host", "port", "proxy"])
        assert scrub_value(key("127.0.0.1", 443, SECRET)) == ("127.0.0.1", 443, MASK)

    def test_leaves_short_words_alone(self) -> None:
        remember(["abc", ""])
        assert scrub("abc is not a secret worth blanking") == "abc is not a secret worth blanking"
