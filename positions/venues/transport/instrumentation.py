"""Extends each ccxt exchange class: exact numbers, our rate budget, scrubbed logs, a record of answers."""

from __future__ import annotations

import importlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from datetime import datetime
from functools import lru_cache
from typing import Any

from positions.venues.base import CcxtPatches
from positions.venues.errors import Corrupt, HttpRoundTrip
from positions.venues.fields import InvalidField, moment
from positions.venues.redaction import ScrubFilter, scrub
from positions.venues.transport.conversation import conversation
from positions.venues.transport.lazy_ccxt import exchange_class

logger = logging.getLogger("positions.venues.transport.instrumentation")
# On the logger and not on a handler: a secret must not reach any handler.
logger.addFilter(ScrubFilter())


current: ContextVar[HttpRoundTrip | None] = ContextVar("current", default=None)
FrameTap = Callable[[Any, Any], bool]
EVERY_PATCH = CcxtPatches()


class InstrumentedExchange:
    """A mixin before a ccxt.pro class. Set by the client: `plumbline_*` attributes; unset, it behaves as
    ccxt does.
    """

    plumbline_clock: Callable[[], datetime]
    plumbline_spend: Callable[[float], Awaitable[None]] | None = None
    plumbline_weigh: Callable[[str, Mapping[str, Any]], float] | None = None
    plumbline_tap: FrameTap | None = None
    plumbline_texts = False
    plumbline_patches = EVERY_PATCH
    number = str
    number_to_string: Callable[[Any], str | None]
    verbose = False
    clients: dict[str, Any]

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)  # type: ignore[call-arg]
        self.logger = logger
        if self.plumbline_patches.exponent_limit:
            # An attribute in ccxt, too; it would write every zero of 1e999999999.
            self.number_to_string = _bounded(self.number_to_string)

    async def initialize_client(self, params: Mapping[str, Any] | None = None) -> bool:
        """Where ccxt would sign an approval of fees for its builder, and a referrer. We never do."""
        return True

    @staticmethod
    def on_json_response(body: str) -> Any:
        """Unquoted decimals stay the digits the venue wrote, instead of passing through a double."""
        return json.loads(body, parse_float=str)

    def calculate_rate_limiter_cost(
        self, api: Any, method: Any, path: Any, params: Any, config: Any = None
    ) -> float:
        if self.plumbline_weigh is not None:
            return self.plumbline_weigh(str(path), params if isinstance(params, dict) else {})
        return super().calculate_rate_limiter_cost(api, method, path, params, config or {})  # type: ignore[misc,no-any-return]

    async def throttle(self, cost: float | None = None) -> None:
        """ccxt limits one instance; the budget is shared by every process behind one address."""
        if self.plumbline_spend is not None:
            await self.plumbline_spend(1.0 if cost is None else float(cost))
        else:
            await super().throttle(cost)  # type: ignore[misc]

    async def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        exchanged = HttpRoundTrip(url=scrub(url), sent_at=self.plumbline_clock())
        talk = conversation.get()
        if talk is not None:
            talk.exchanges.append(exchanged)
        token = current.set(exchanged)
        try:
            answer = await super().fetch(url, method, headers, body)  # type: ignore[misc]
            exchanged.answer = answer
            if not isinstance(answer, (dict, list)) and not self.plumbline_texts:
                # ccxt hands a page, a cut answer or nothing on as text, and most of its parsers make "no
                # rows" of it.
                raise Corrupt("the answer is not JSON", payload=exchanged.body, http_status=exchanged.status)
            return answer
        finally:
            exchanged.received_at = self.plumbline_clock()
            current.reset(token)

    def on_rest_response(
        self,
        code: int,
        reason: str,
        url: str,
        method: str,
        response_headers: Mapping[str, str],
        response_body: str,
        request_headers: Any,
        request_body: Any,
    ) -> str:
        exchanged = current.get()
        if exchanged is not None:
            exchanged.status = code
            exchanged.body = response_body
            exchanged.retry_after = next(
                (v for k, v in response_headers.items() if k.lower() == "retry-after"), None
            )
        return response_body.strip()

    def filter_by_since_limit(self, array: Any, since: Any = None, *args: Any, **kwargs: Any) -> Any:
        """ccxt drops rows without a time in silence: they are noted first."""
        if self.plumbline_patches.row_guards:
            _note_timeless(array)
        return super().filter_by_since_limit(array, since, *args, **kwargs)  # type: ignore[misc]

    def filter_by_value_since_limit(self, array: Any, *args: Any, **kwargs: Any) -> Any:
        """ccxt drops rows without a time in silence: they are noted first."""
        if self.plumbline_patches.row_guards:
            _note_timeless(array)
        return super().filter_by_value_since_limit(array, *args, **kwargs)  # type: ignore[misc]

    def parse_markets(self, markets: Any) -> list[Any]:
        """One market that cannot be read is not listed; the others are. Raises where none can be read."""
        if not self.plumbline_patches.row_guards:
            return super().parse_markets(markets)  # type: ignore[misc,no-any-return]
        listed: list[Any] = []
        unread: Exception | None = None
        for market in markets:
            try:
                listed += super().parse_markets([market])  # type: ignore[misc]
            except UNREADABLE_BY_CCXT as error:
                unread = error
                logger.warning("a market could not be read: %s", scrub(f"{type(error).__name__}: {error}"))
        if unread is not None and not listed:
            raise unread
        return listed

    def client(self, url: str) -> Any:
        """A socket whose unreadable frame ends it: ccxt would go on without ever reading another."""
        socket = super().client(url)  # type: ignore[misc]
        if self.plumbline_patches.socket_guards and "handle_message" not in vars(socket):
            socket.handle_message = _ends_socket(socket, socket.handle_message)
        return socket

    def handle_message(self, client: Any, message: Any) -> None:
        """WebSocket frames are copied, raw and in order, before ccxt caches, merges or drops them (True:
        ccxt need not see it).
        """
        if self.plumbline_tap is not None and self.plumbline_tap(client, message):
            return
        super().handle_message(client, message)  # type: ignore[misc]

    def on_close(self, client: Any, error: Any) -> None:
        """A socket that closes late must not take its successor along: ccxt forgets them by URL."""
        if not self.plumbline_patches.socket_guards or self.clients.get(client.url) is client:
            super().on_close(client, error)  # type: ignore[misc]

    def log(self, *args: Any) -> None:
        logger.debug("%s", scrub(" ".join(str(arg) for arg in args)))


def _ends_socket(socket: Any, handle: Callable[[Any], None]) -> Callable[[Any], None]:
    def handled(message: Any) -> None:
        try:
            handle(message)
        except Exception as error:  # noqa: BLE001  whatever a frame holds, its connection says so and ends
            reason = f"a frame could not be read ({type(error).__name__}: {error})"
            socket.on_error(Corrupt(reason, payload=str(getattr(message, "data", message))))

    return handled


# ccxt's parsers of one row: they raise TypeError, KeyError and the like on odd input, and lose the rows
# around it.
ROW_PARSERS = (
    "parse_position",
    "parse_position_risk",
    "parse_account_position",
    "parse_trade",
    "parse_ledger_entry",
    "parse_transaction",
    "parse_income",
    "parse_funding_history",
    "parse_my_trade",
)
# Those whose rows ccxt then filters by time: one that it dates before all coins would be lost in silence.
DATED = ROW_PARSERS[3:]
# What a parser of ccxt raises on a row that it did not expect.
UNREADABLE_BY_CCXT = (TypeError, ValueError, KeyError, AttributeError, IndexError, ArithmeticError)
UNREADABLE = "plumbline_unreadable"


@lru_cache
def instrumented_class(exchange_id: str, patches: CcxtPatches = EVERY_PATCH) -> type[Any]:
    """Return the ccxt class of an exchange with our changes in front. Raises UnknownExchange."""
    base = exchange_class(exchange_id, lazy=patches.lazy_import)
    members: dict[str, Any] = {"plumbline_patches": patches}
    if patches.exponent_limit:
        _bound_exponents()
    if patches.row_guards:
        members |= {
            name: _guarded(getattr(base, name), dated=name in DATED)
            for name in ROW_PARSERS
            if hasattr(base, name)
        }
    return type(f"Wired_{exchange_id}", (InstrumentedExchange, base), members)


# Far beyond any number of a venue. "1e999999999" is short, and takes ccxt's arithmetic gigabytes.
LONGEST_EXPONENT = 3


def _refuse_long_exponents(number: Any) -> None:
    if isinstance(number, str) and len(number.lower().partition("e")[2].lstrip("+-")) > LONGEST_EXPONENT:
        raise ValueError(f"{number[:40]!r} is no number of a venue")


def _bounded(write: Callable[[Any], str | None]) -> Callable[[Any], str | None]:
    def written(number: Any) -> str | None:
        _refuse_long_exponents(number)
        return write(number)

    return written


@lru_cache
def _bound_exponents() -> None:
    """Make ccxt's exact numbers refuse (ValueError) an exponent of more than three digits."""
    precise = importlib.import_module("ccxt.base.precise").Precise
    made = precise.__init__

    def bounded(self: Any, number: Any, decimals: Any = None) -> None:
        if decimals is None:
            _refuse_long_exponents(number)
        made(self, number, decimals)

    precise.__init__ = bounded


def _is_of_the_row(error: Exception) -> bool:
    """Whether a parser failed on what the row holds, and not for being none (NotSupported)."""
    names = {one.__name__ for one in type(error).__mro__}
    return isinstance(error, UNREADABLE_BY_CCXT) or ("ExchangeError" in names and "NotSupported" not in names)


def _guarded(parse: Callable[..., Any], *, dated: bool) -> Callable[..., Any]:
    """A row parser that notes a row it cannot read instead of raising, inside a call of ours."""

    def parse_row(self: Any, row: Any, *args: Any, **kwargs: Any) -> Any:
        talk = conversation.get()
        if talk is None or talk.inside_row:
            return parse(self, row, *args, **kwargs)
        talk.given.append(row)
        talk.inside_row = True
        try:
            parsed = parse(self, row, *args, **kwargs)
            if dated:
                for one in parsed if isinstance(parsed, list) else [parsed]:
                    moment(one.get("timestamp"))
        except Exception as error:
            if not _is_of_the_row(error):
                raise
            reason = f"{type(error).__name__}: {error}"
            talk.unparsed.append((row, reason))
            # ccxt sorts its rows by time and id: a row without them would fail the whole list.
            place = {"timestamp": 0, "id": ""}
            return {"info": row, "symbol": _symbol_in(self, row), **place, UNREADABLE: reason}
        else:
            return parsed
        finally:
            talk.inside_row = False

    return parse_row


def _note_timeless(rows: Any) -> None:
    """Note the unified rows of an account that have no time."""
    talk = conversation.get()
    if talk is None:
        return
    noted = {id(raw) for raw, _ in talk.unparsed}
    for row in rows or ():
        if not isinstance(row, dict) or "info" not in row or id(row["info"]) in noted:
            continue
        try:
            moment(row.get("timestamp"), "timestamp")
        except InvalidField as error:
            talk.unparsed.append((row["info"], f"InvalidField: {error}"))


def _symbol_in(exchange: Any, row: Any) -> str | None:
    """The one contract whose venue id stands in an unreadable row: its legs are unknown, the
    others are not.
    """
    listed = exchange.markets_by_id or {}
    found: set[str] = set()
    for value in row.values() if isinstance(row, dict) else ():
        markets = listed.get(value, ()) if isinstance(value, str) else ()
        found |= {market["symbol"] for market in markets if market.get("contract")}
    return found.pop() if len(found) == 1 else None
