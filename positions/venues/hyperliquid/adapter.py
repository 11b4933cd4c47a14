"""Hyperliquid: read by address, without a key, from the raw answers of its info endpoint.

Limits and weights: https://hyperliquid.gitbook.io (rate limits), 1200 a minute and address; ccxt under-
counts them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from positions.venues.base import (
    AccountConfig,
    AccountValue,
    Candle,
    Credentials,
    Denied,
    EntryBatch,
    Method,
    Permissions,
    Ports,
    RateLimited,
    Report,
    StreamEvent,
    Unsupported,
    VenueInstrument,
    VenueMark,
    merged,
)
from positions.venues.decoding import ROW_ERRORS, BatchBuilder, corrupt, readable, unexpected
from positions.venues.evidence import evidence_of
from positions.venues.fields import milliseconds, moment, number, required
from positions.venues.hyperliquid import account_values, rows
from positions.venues.hyperliquid.address_profile import AddressProfile
from positions.venues.hyperliquid.state import build_report
from positions.venues.hyperliquid.stream import fills_decoder, funding_decoder, ledger_decoder, watch
from positions.venues.instruments.catalog import Catalog, catalogs
from positions.venues.instruments.relisting import relisted
from positions.venues.transport.client import Client, Limits
from positions.venues.transport.conversation import Conversation

# 1200 a minute, so that a full bucket and a minute of refill together stay under it.
LIMITS = Limits(capacity=300.0, per_second=15.0)
_WEIGHTS = {
    "l2Book": 2, "allMids": 2, "clearinghouseState": 2, "orderStatus": 2, "spotClearinghouseState": 2,
    "exchangeStatus": 2, "userRole": 60,
}  # fmt: skip
# Lists cost one more per 20 rows (candles: 60) of the answer, known only afterwards.
_ROWS_PER_WEIGHT = {
    "userFills": 20, "userFillsByTime": 20, "userFunding": 20, "userNonFundingLedgerUpdates": 20,
    "historicalOrders": 20, "candleSnapshot": 60,
}  # fmt: skip
FILLS_PAGE, FILLS_KEPT = 2000, 10_000
UPDATES_PAGE = 500
MOST_PAGES = 40
# A fill can become visible a little after its time: what is newer is not claimed as covered.
SETTLING = timedelta(seconds=1)
_LISTS = {
    Method.FILLS: ("userFillsByTime", FILLS_PAGE, fills_decoder),
    Method.FUNDING: ("userFunding", UPDATES_PAGE, funding_decoder),
    Method.TRANSFERS: ("userNonFundingLedgerUpdates", UPDATES_PAGE, ledger_decoder),
}


def weigh(path: str, params: Mapping[str, Any]) -> float:
    """The documented weight of a request; the part that depends on the answer is charged afterwards."""
    if path != "info":
        return 1.0
    return float(_WEIGHTS.get(str(params.get("type")), 20))


class Hyperliquid:
    """One address. `options["dexes"]` names builder dexes to read with every report; others at times."""

    capabilities = evidence_of("hyperliquid")

    def __init__(self, config: AccountConfig, ports: Ports) -> None:
        if not config.address:
            raise Denied("a Hyperliquid account needs its wallet address (0x and 40 hexadecimal digits)")
        self.config = config
        self.address = config.address.lower()
        self.ports = ports
        urls = None
        if config.base_url:
            root = config.base_url.rstrip("/")
            socket = root.replace("https://", "wss://", 1).replace("http://", "ws://", 1)
            urls = {"public": root, "private": root, "ws": {"public": f"{socket}/ws"}}
        # Reading needs no key, and with one ccxt would sign things: see ccxt's initialize_client.
        keyless = replace(config, credentials=Credentials())
        self.client = Client(
            "hyperliquid", config=keyless, ports=ports, limits=LIMITS, weigh=weigh, urls=urls
        )
        # Some of its answers are bare JSON texts ("default"); each is checked where it is read.
        self.client.exchange.plumbline_texts = True
        self.profile = AddressProfile(
            self.address,
            cache=ports.cache,
            server=config.server,
            dexes=(str(dex) for dex in config.options.get("dexes", ())),
        )
        self._exists = False

    async def _info(self, kind: str, **params: Any) -> tuple[Any, Conversation]:
        answer, talk = await self.client.call("public_post_info", {"type": kind, **params})
        per = _ROWS_PER_WEIGHT.get(kind)
        if per and isinstance(answer, list):
            # Ours already: a bucket too deep in debt holds the next question up, not this answer.
            with contextlib.suppress(RateLimited):
                await self.client.spend(float(len(answer) // per))
        return answer, talk

    async def _list(self, kind: str, **params: Any) -> tuple[list[Any], Conversation]:
        answer, talk = await self._info(kind, **params)
        if not isinstance(answer, list):
            raise unexpected(kind, "a list", answer, talk)
        return answer, talk

    # Instruments

    async def instruments(self, *, refresh: bool = False) -> tuple[VenueInstrument, ...]:
        """Perpetuals of every dex, and spot pairs."""
        return tuple(await self.catalog(refresh=refresh))

    async def catalog(self, *, refresh: bool = False) -> Catalog:
        """The instruments by venue symbol."""
        return await catalogs.get(
            self.config.server,
            cache=self.ports.cache,
            clock=self.ports.clock,
            load=self._load_instruments,
            refresh=refresh,
        )

    async def _load_instruments(self) -> Iterable[VenueInstrument]:
        spot, talk = await self._info("spotMeta")
        try:
            named = [
                row for row in spot["tokens"] if isinstance(row, Mapping) and {"index", "name"} <= row.keys()
            ]
            tokens = {row["index"]: str(row["name"]) for row in named}
            found = rows.spot_instruments(spot)
            for dex in ("", *await self._dex_names()):
                meta, talk = await self._info("meta", **_dex(dex))
                collateral = tokens.get(meta.get("collateralToken", 0), "USDC")
                found.extend(rows.perp_instruments(meta, dex=dex, collateral=collateral))
        except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
            raise corrupt("instruments", error, talk) from error
        return found

    async def _dex_names(self) -> list[str]:
        answer, talk = await self._list("perpDexs")
        try:
            return [str(row["name"]) for row in answer if isinstance(row, Mapping) and row.get("name")]
        except (KeyError, TypeError) as error:
            raise corrupt("perpDexs", error, talk) from error

    # State

    async def report(self, *, scopes: Collection[str] | None = None) -> Report:
        """Main dex and dexes in use at every call, all dexes every 10 minutes; spot always; or just `scopes`.

        Raises Denied when the address has no account (it would answer as an empty one).
        """
        catalog = await self.catalog()
        now = self.ports.clock()
        await self.profile.recall()
        listed = {row.scope for row in catalog} - {"", rows.SPOT}
        if scopes is None:
            everywhere = self.profile.all_dexes_due(now)
            dexes = ["", *sorted((listed if everywhere else set()) | self.profile.dexes)]
        else:
            everywhere = listed <= set(scopes)
            dexes = sorted(set(scopes) - {rows.SPOT})
        wants_spot = scopes is None or rows.SPOT in scopes
        mode = await self.account_mode(now)
        answers = await asyncio.gather(
            *(self._info("clearinghouseState", user=self.address, **_dex(dex)) for dex in dexes),
            *([self._info("spotClearinghouseState", user=self.address)] if wants_spot else []),
            return_exceptions=True,
        )
        scopes_read = [*dexes, *([rows.SPOT] if wants_spot else [])]
        states = [answer if isinstance(answer, BaseException) else answer[0] for answer in answers]
        result = await self.read_report(
            dict(zip(scopes_read, states, strict=True)), catalog=catalog, sent_at=now, mode=mode
        )
        self.profile.add_dexes(row.scope for row in result.positions)
        self.profile.add_dexes(rows.scope_of(row.wallet) for row in result.balances)
        if everywhere and all(scope.complete for scope in result.scopes):
            self.profile.keep_look(now)
        await self.profile.share()
        if not result.positions and not any(row.total for row in result.balances):
            await self._check_exists()
        self._exists = True
        return result

    async def read_report(
        self, answers: Mapping[str, Any], *, catalog: Catalog, sent_at: datetime, mode: str | None
    ) -> Report:
        """Read answers by scope into one report, with a new catalog where they name an unknown coin.

        Raises the first error when nothing was answered.
        """
        received_at = self.ports.clock()
        result = build_report(answers, catalog, sent_at=sent_at, received_at=received_at, mode=mode)
        if result.unknown_symbols and (fresh := await self.relist(result.unknown_symbols)) is not None:
            result = build_report(answers, fresh, sent_at=sent_at, received_at=received_at, mode=mode)
        return result

    async def account_mode(self, now: datetime) -> str | None:
        """default, unifiedAccount, portfolioMargin, …: in the unified modes collateral lives in the spot
        wallet.
        """
        if self.profile.mode_due(now):
            answer, talk = await self._info("userAbstraction", user=self.address)
            if not isinstance(answer, str):
                raise unexpected("userAbstraction", "a text", answer, talk)
            self.profile.keep_mode(answer.strip('"'), now)
        return self.profile.mode

    async def _check_exists(self) -> None:
        if self._exists:
            return
        answer, talk = await self._info("userRole", user=self.address)
        role = answer.get("role") if isinstance(answer, Mapping) else None
        if not isinstance(role, str):
            raise unexpected("userRole", "an object with a role", answer, talk)
        if role == "missing":
            raise Denied(
                f"Hyperliquid ({self.config.environment}) has no account at {self.address}: check the "
                "address, or deposit first; it answers as an empty account"
            )

    # Facts

    async def entries(
        self, *, since: datetime, until: datetime | None = None, methods: Collection[Method] | None = None
    ) -> EntryBatch:
        """Fills (of every dex and spot), funding and transfers; the venue keeps the 10 000 newest fills."""
        catalog = await self.catalog()
        wanted = set(_LISTS) if methods is None else set(methods)
        batches = [await self._pages(method, catalog, since, until) for method in _LISTS if method in wanted]
        if not batches:
            raise Unsupported(f"no such facts on Hyperliquid: {', '.join(sorted(wanted))}")
        return merged(batches)

    async def _pages(
        self, method: Method, catalog: Catalog, since: datetime, until: datetime | None
    ) -> EntryBatch:
        """All pages of a list, oldest first; each starts at the last row's time (inclusive, so it repeats
        rows).
        """
        kind, size, make = _LISTS[method]
        decoder = make(self.address)
        decoded = BatchBuilder(method, catalog, decoder, refresh=self.relist)
        start, problem, unread = milliseconds(since), None, False
        began = milliseconds(self.ports.clock())
        window = {"endTime": milliseconds(until)} if until is not None else {}
        for _ in range(MOST_PAGES):
            page, talk = await self._list(kind, user=self.address, startTime=start, **window)
            sent_at = talk.first_sent_at or self.ports.clock()
            newest = await decoded.take(page)
            if newest is None or newest <= start:
                if len(page) >= size:
                    problem = f"{method}: {size} rows at one time, what follows cannot be asked"
                break
            # A page may be cut short: only one that brings nothing newer ends the list, or one that tells of
            # what happened since we asked. An account that trades all the time has no last page.
            start = newest
            if newest >= began:
                unread = True
                break
        else:
            problem = f"{method}: more than {MOST_PAGES} pages, the rest was not asked"
        covered_to = sent_at - SETTLING if until is None else min(until, sent_at - SETTLING)
        if problem or unread:
            covered_to = min(covered_to, moment(start) - timedelta(milliseconds=1))
        covered_from, kept_since = since, None
        if method is Method.FILLS and decoded.distinct >= FILLS_KEPT and decoded.oldest is not None:
            covered_from = kept_since = max(since, decoded.oldest)
        batch = decoded.batch(
            asked=(since, until or sent_at),
            covered=(covered_from, covered_to) if covered_from < covered_to else None,
            problem=problem,
            kept_since=kept_since,
        )
        self.profile.add_batch(batch)
        return batch

    async def relist(self, symbols: Collection[str]) -> Catalog | None:
        """Read anew what is listed, because nobody knows these coins; None: that was done just now, or
        failed: the coins stay unknown, and what was read with them is kept.
        """
        if not catalogs.may_refresh(self.config.server, symbols, now=self.ports.clock()):
            return None
        return await relisted(self.catalog(refresh=True), symbols)

    # Prices

    async def marks(self, *, symbols: Collection[str] | None = None) -> tuple[VenueMark, ...]:
        """Mid prices (weight 2 per dex): main perpetuals and spot, and the builder dexes of `symbols`."""
        if symbols is None:
            dexes = {"", *self.profile.dexes}
        else:
            dexes = {symbol.partition(":")[0] if ":" in symbol else "" for symbol in symbols}
        found: list[VenueMark] = []
        for dex in sorted(dexes):
            answer, talk = await self._info("allMids", **_dex(dex))
            if not isinstance(answer, Mapping):
                raise unexpected("allMids", "an object", answer, talk)
            now = talk.last.received_at if talk.last and talk.last.received_at else self.ports.clock()
            found.extend(rows.mids(answer, symbols=symbols, time=now))
        return tuple(found)

    async def candles(
        self, *, symbol: str, interval: str, since: datetime, until: datetime | None = None
    ) -> tuple[Candle, ...]:
        """At most the 5000 newest; mid-price independent, from trades."""
        end = milliseconds(until or self.ports.clock())
        request = {"coin": symbol, "interval": interval, "startTime": milliseconds(since), "endTime": end}
        answer, talk = await self._list("candleSnapshot", req=request)
        return readable("candles", answer, _candle, talk)

    async def account_values(self) -> tuple[AccountValue, ...]:
        """What the venue says that the account was worth (`portfolio`), oldest first, each moment once.

        The finest series that has a moment is taken: of the last day, week, month, then of all time.
        """
        answer, talk = await self._list("portfolio", user=self.address)
        found: dict[datetime, AccountValue] = {}
        for one in readable("portfolio", answer, account_values.series, talk):
            for value in one:
                found.setdefault(value.time, value)
        return tuple(found[at] for at in sorted(found))

    # The account and the connection

    def watch(self, *, symbols: Collection[str] | None = None) -> AsyncIterator[StreamEvent]:
        """Fills, funding, transfers and state of the account, and mids of every market."""
        return watch(self, client=self.client, profile=self.profile, symbols=symbols)

    async def permissions(self) -> Permissions:
        """An address alone can read, and nothing else."""
        return Permissions(read=True, trade=False, withdraw=False, notes=("read by address, no key is used",))

    async def clock_offset(self) -> timedelta | None:
        """The venue's clock minus ours, halving the round trip."""
        answer, talk = await self._info("exchangeStatus")
        if not isinstance(answer, Mapping) or talk.last is None or talk.last.received_at is None:
            raise unexpected("exchangeStatus", "an object", answer, talk)
        middle = talk.last.sent_at + (talk.last.received_at - talk.last.sent_at) / 2
        try:
            return moment(answer.get("time")) - middle
        except ROW_ERRORS as error:
            raise corrupt("the venue's time", error, talk) from error

    async def close(self) -> None:
        """Close the connections of this account."""
        await self.client.close()


def _candle(row: Mapping[str, Any]) -> Candle:
    return Candle(
        time=moment(row.get("t")),
        open=required(row, "o"),
        high=required(row, "h"),
        low=required(row, "l"),
        close=required(row, "c"),
        volume=number(row.get("v")),
    )


def _dex(name: str) -> dict[str, str]:
    """The main dex is asked by leaving the field out."""
    return {"dex": name} if name else {}
