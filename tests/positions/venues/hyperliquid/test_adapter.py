"""Hyperliquid, one oddity each, on replayed transport."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from positions.book.entries import Kind
from positions.venues.base import Corrupt, Denied, Method, RateLimited, Transient, Unsupported
from positions.venues.hyperliquid.adapter import FILLS_KEPT, FILLS_PAGE, weigh
from positions.venues.transport.client import Retries
from tests.positions.venues.reading import FLAT, catalog_for, opened_hyperliquid
from tests.positions.venues.replay import NOW, Answer

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
QUIET = {
    "userAbstraction": '"default"',
    "userRole": {"role": "user"},
    "spotClearinghouseState": {"balances": []},
    "clearinghouseState": FLAT,
    "userFillsByTime": [],
    "userFunding": [],
    "userNonFundingLedgerUpdates": [],
}


def fill(number: int, *, time: int | None = None, **more: Any) -> dict[str, Any]:
    time = 1_700_000_000_000 + number if time is None else time
    return {
        "coin": "ETH", "px": "2000.0", "sz": "1.0", "side": "B", "time": time,
        "startPosition": f"{number}.0", "dir": "Open Long", "closedPnl": "0.0", "hash": "0x0", "oid": number,
        "crossed": True, "fee": "0.9", "tid": number, "feeToken": "USDC", **more,
    }  # fmt: skip


def held(coin: str, size: str, **more: Any) -> dict[str, Any]:
    position = {
        "coin": coin,
        "szi": size,
        "entryPx": "2000.0",
        "positionValue": "2100.0",
        "unrealizedPnl": "100.0",
    }
    return {"type": "oneWay", "position": {**position, **more}}


def state(*positions: Any, **more: Any) -> dict[str, Any]:
    return {**copy.deepcopy(FLAT), "assetPositions": list(positions), **more}


async def opened(answers: dict[str, Any], **config: Any) -> Any:
    """The adapter, with ETH and flx:CRCL listed; answers by request type, or by (type, dex)."""

    def answer(kind: str, body: Any) -> Any:
        given = {**QUIET, **answers}
        found = given.get(f"{kind}:{body['dex']}") if "dex" in body else None
        found = found if found is not None else given[kind]
        return found(body) if callable(found) else found

    venue, session = await opened_hyperliquid(
        catalog_for([{"coin": "ETH"}, {"coin": "flx:CRCL"}]), answer, **config
    )
    venue.client.retries = Retries(
        attempts=2, first_wait=timedelta(milliseconds=1), longest_wait=timedelta(milliseconds=2)
    )
    return venue, session


class TestAHyperliquidReportWithPartsMissing:
    async def test_a_dex_that_fails_is_unknown_and_the_other_still_counts(self) -> None:
        venue, _ = await opened(
            {"clearinghouseState": state(held("ETH", "1.05")), "clearinghouseState:flx": Answer("null", 500)}
        )
        report = await venue.report()

        assert [row.venue_symbol for row in report.positions] == ["ETH"]
        assert report.observed("ETH", scope="")
        assert not report.observed("flx:CRCL", scope="flx")
        assert not report.complete
        assert not report.balances_complete

    async def test_raises_when_nothing_was_answered(self) -> None:
        venue, _ = await opened(
            {"clearinghouseState": Answer("null", 500), "spotClearinghouseState": Answer("null", 500)}
        )
        with pytest.raises(Transient):
            await venue.report()

    async def test_an_unknown_coin_is_named_and_the_rows_around_it_are_kept(self) -> None:
        venue, _ = await opened({"clearinghouseState": state(held("ETH", "1.05"), held("NEWCOIN", "7.0"))})
        report = await venue.report(scopes=[""])

        assert [row.venue_symbol for row in report.positions] == ["ETH"]
        assert report.unknown_symbols == ("NEWCOIN",)
        assert not report.observed("NEWCOIN", scope="")
        assert report.observed("ETH", scope="")

    @pytest.mark.parametrize("size", [None, "", "abc", "NaN", [], True, {}])
    async def test_a_size_that_is_no_number_makes_its_own_leg_unknown(self, size: Any) -> None:
        venue, _ = await opened({"clearinghouseState": state(held("ETH", size))})
        report = await venue.report(scopes=[""])

        assert report.positions == ()
        assert not report.observed("ETH", scope="")
        assert [row.what for row in report.unreadable] == ["position"]
        assert next(row for row in report.balances if row.wallet == "perp").total is None

    async def test_a_missing_entry_price_is_unknown_and_not_zero(self) -> None:
        venue, _ = await opened({"clearinghouseState": state(held("ETH", "1.05", entryPx=None))})
        report = await venue.report(scopes=[""])
        assert report.positions[0].entry_price is None

    async def test_a_row_that_is_no_object_withholds_certainty_from_every_leg(self) -> None:
        venue, _ = await opened({"clearinghouseState": state(None)})
        report = await venue.report(scopes=[""])
        assert not report.observed("ETH", scope="")

    async def test_unified_collateral_is_in_the_spot_wallet(self) -> None:
        balances = {
            "balances": [{"coin": "USDC", "token": 0, "total": "500.0", "hold": "0.0", "entryNtl": "0.0"}]
        }
        venue, _ = await opened({"userAbstraction": '"unifiedAccount"', "spotClearinghouseState": balances})
        report = await venue.report()
        assert [(row.wallet, row.total) for row in report.balances] == [("spot", Decimal(500))]
        assert report.account_mode == "unifiedAccount"


class TestAnUnknownHyperliquidAddress:
    async def test_an_empty_account_is_asked_for_its_role(self) -> None:
        venue, session = await opened({"userRole": {"role": "missing"}})
        with pytest.raises(Denied, match="no account"):
            await venue.report()
        assert [body["type"] for _, _, body in session.requests].count("userRole") == 1

    async def test_an_account_that_holds_something_is_not_asked(self) -> None:
        venue, session = await opened({"clearinghouseState": state(held("ETH", "1.05"))})
        await venue.report()
        assert "userRole" not in [body["type"] for _, _, body in session.requests]

    async def test_an_account_without_an_address_is_refused(self) -> None:
        with pytest.raises(Denied, match="needs its wallet address"):
            await opened({}, address=None)


class TestPagingOfHyperliquidLists:
    async def test_follows_pages_and_counts_repeats_once(self) -> None:
        everything = [fill(number) for number in range(FILLS_PAGE + 5)]

        def page(body: Any) -> Any:
            return [row for row in everything if row["time"] >= body["startTime"]][:FILLS_PAGE]

        venue, _ = await opened({"userFillsByTime": page})
        batch = await venue.entries(since=LONG_AGO, methods=[Method.FILLS])

        assert len(batch.entries) == FILLS_PAGE + 5
        assert batch.complete
        assert batch.counts["fills.duplicate"] == 2

    async def test_a_full_page_of_one_moment_cannot_be_passed_and_says_so(self) -> None:
        venue, _ = await opened(
            {"userFillsByTime": [fill(n, time=1_700_000_000_000) for n in range(FILLS_PAGE)]}
        )
        batch = await venue.entries(since=LONG_AGO, methods=[Method.FILLS])

        assert not batch.complete
        assert batch.covered is not None
        assert batch.covered[1] < datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
        assert "at one time" in batch.problems[0]

    async def test_more_fills_than_the_venue_keeps_leave_the_start_uncovered(self) -> None:
        everything = [fill(number) for number in range(FILLS_KEPT)]

        def page(body: Any) -> Any:
            return [row for row in everything if row["time"] >= body["startTime"]][:FILLS_PAGE]

        venue, _ = await opened({"userFillsByTime": page})
        batch = await venue.entries(since=LONG_AGO, methods=[Method.FILLS])

        assert batch.covered is not None
        assert batch.covered[0] == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
        assert not batch.complete

    async def test_a_bad_row_is_reported_and_the_others_are_booked(self) -> None:
        rows = [fill(1), fill(2, side="X"), None, fill(3)]
        venue, _ = await opened({"userFillsByTime": rows})
        batch = await venue.entries(since=LONG_AGO, methods=[Method.FILLS])

        assert len(batch.entries) == 2
        assert len(batch.unreadable) == 2
        assert not batch.complete

    async def test_what_is_newer_than_the_question_is_not_claimed(self) -> None:
        venue, _ = await opened({})
        batch = await venue.entries(since=LONG_AGO)
        assert batch.covered is not None
        assert batch.covered[1] < NOW

    async def test_a_kind_of_fact_that_does_not_exist_is_unsupported(self) -> None:
        venue, _ = await opened({})
        with pytest.raises(Unsupported):
            await venue.entries(since=LONG_AGO, methods=[Method.CANDLES])


LEDGER_TYPES = {
    "internalTransfer out": (
        {"type": "internalTransfer", "usdc": "5.0", "user": "ME", "destination": "0xother", "fee": "1.0"},
        [("perp", "-5.0"), ("perp", "-1.0")],
    ),
    "internalTransfer in": (
        {"type": "internalTransfer", "usdc": "5.0", "user": "0xother", "destination": "ME", "fee": "1.0"},
        [("perp", "5.0")],
    ),
    "send to oneself": (
        {
            "type": "send",
            "token": "USDC",
            "amount": "7.0",
            "user": "ME",
            "destination": "ME",
            "sourceDex": "spot",
            "destinationDex": "",
            "fee": "0.0",
        },
        [("spot", "-7.0"), ("perp", "7.0")],
    ),
    "vaultDeposit": ({"type": "vaultDeposit", "vault": "0xv", "usdc": "9.0"}, [("perp", "-9.0")]),
    "rewardsClaim": ({"type": "rewardsClaim", "amount": "2.0", "token": "USDC"}, [("spot", "2.0")]),
    "liquidation notice": ({"type": "liquidation", "liquidatedNtlPos": "1.0"}, []),
}


class TestAHyperliquidLedgerUpdate:
    @pytest.mark.parametrize(("delta", "moves"), LEDGER_TYPES.values(), ids=LEDGER_TYPES)
    async def test_moves_each_wallet_once(self, delta: dict[str, Any], moves: list[tuple[str, str]]) -> None:
        venue, _ = await opened({})
        mine = {key: venue.address if value == "ME" else value for key, value in delta.items()}
        venue, _ = await opened(
            {"userNonFundingLedgerUpdates": [{"time": 1_700_000_000_000, "hash": "0x1", "delta": mine}]}
        )
        batch = await venue.entries(since=LONG_AGO, methods=[Method.TRANSFERS])

        assert sorted((entry.wallet, entry.amount) for entry in batch.entries) == sorted(
            (w, Decimal(a)) for w, a in moves
        )
        assert batch.complete

    async def test_a_type_never_seen_is_reported_with_its_row(self) -> None:
        row = {"time": 1_700_000_000_000, "hash": "0x1", "delta": {"type": "moonLanding", "usdc": "5.0"}}
        venue, _ = await opened({"userNonFundingLedgerUpdates": [row]})
        batch = await venue.entries(since=LONG_AGO, methods=[Method.TRANSFERS])

        assert batch.entries == ()
        assert batch.unreadable[0].payload == row
        assert "moonLanding" in batch.unreadable[0].reason


class TestWeightsOfHyperliquidRequests:
    @pytest.mark.parametrize(
        ("kind", "weight"), [("clearinghouseState", 2), ("allMids", 2), ("userRole", 60), ("userFunding", 20)]
    )
    def test_are_the_documented_ones(self, kind: str, weight: int) -> None:
        assert weigh("info", {"type": kind}) == weight

    async def test_a_long_answer_costs_more(self) -> None:
        venue, _ = await opened({"userFillsByTime": [fill(number) for number in range(100)]})
        before = dict(venue.ports.budget.spent)
        await venue.entries(since=LONG_AGO, methods=[Method.FILLS])
        spent = venue.ports.budget.spent[venue.client.budget_key] - before.get(venue.client.budget_key, 0)
        assert spent == 20 + 100 // 20 + 20 + 100 // 20, (
            "two pages: the list, and the one that proves its end"
        )


class TestDustOnHyperliquid:
    async def test_a_dust_conversion_has_a_reference_of_its_own(self) -> None:
        rows = [
            fill(0, tid=0, oid=oid, coin="PURR/USDC", dir="Spot Dust Conversion", side="A") for oid in (1, 2)
        ]
        venue, _ = await opened({"userFillsByTime": rows})
        batch = await venue.entries(since=LONG_AGO, methods=[Method.FILLS])
        assert [entry.cause for entry in batch.entries] == ["dust", "dust"]
        assert {entry.kind for entry in batch.entries} == {Kind.FILL}


class TestErrorsOfHyperliquid:
    async def test_a_read_is_tried_as_often_as_said_and_no_more(self) -> None:
        venue, session = await opened({"allMids": Answer("<html>502</html>", 502)})
        with pytest.raises(Transient):
            await venue.marks()
        assert len(session.requests) == 2

    async def test_a_long_pause_is_the_callers_decision(self) -> None:
        venue, session = await opened({"allMids": Answer("null", 429, {"Retry-After": "120"})})
        with pytest.raises(RateLimited) as failure:
            await venue.marks()
        assert failure.value.for_ == timedelta(seconds=120)
        assert len(session.requests) == 1

    async def test_a_text_where_a_list_was_due_is_corrupt(self) -> None:
        venue, _ = await opened({"userFillsByTime": Answer('{"fills": []}')})
        with pytest.raises(Corrupt) as failure:
            await venue.entries(since=LONG_AGO, methods=[Method.FILLS])
        assert failure.value.payload == '{"fills": []}'


async def test_a_fill_that_a_jumping_clock_dated_before_the_last_one_is_amended_to_its_place() -> None:
    rows = [fill(0), fill(1, time=1_700_000_010_000), fill(2, time=1_700_000_009_500)]
    venue, _ = await opened({"userFillsByTime": rows})
    batch = await venue.entries(since=LONG_AGO, methods=[Method.FILLS])
    amends = [entry for entry in batch.entries if entry.kind is Kind.AMEND]
    assert [(one.target, one.amended_time) for one in amends] == [
        ("hl:fill:ETH:2:2:1700000009500", datetime.fromtimestamp(1_700_000_010, tz=UTC))
    ]
    assert batch.complete
