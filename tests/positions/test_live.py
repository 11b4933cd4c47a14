"""Every committed change reaches the live log; what was lost on the way is repaired."""

from __future__ import annotations

import orjson
import pytest
import redis

from positions import ingest, live, queries
from positions.models import Position
from tests.positions.facts import fill, transfer

pytestmark = pytest.mark.django_db


def frames(server: redis.Redis) -> list[dict]:
    return [orjson.loads(fields[b"frame"]) for _, fields in server.xrange(live.LIVE)]


class TestABooking:
    def test_appends_a_complete_frame(self, book, account, redis_server):
        book(transfer("100 USDC", at=0), fill("buy 2 @ 60000 fee 1.5 USDC", at=1))
        ((_, fields),) = redis_server.xrange(live.LIVE)
        assert (fields[b"kind"], fields[b"account"]) == (b"book", str(account.pk).encode())
        (frame,) = frames(redis_server)
        assert (frame["sequence"], frame["trace_id"]) == (1, "trace-0001")
        (row,) = frame["positions"]
        stored = Position.objects.get()
        assert (row["id"], row["version"], row["quantity"], row["fees"]) == (
            stored.pk,
            1,
            "2",
            {"USDC": "1.5"},
        )
        assert frame["balances"] == [{"wallet": "", "asset": "USDC", "amount": "98.5", "unknown_count": 0}]

    def test_of_nothing_new_appends_nothing(self, book, redis_server):
        entry = fill("buy 2 @ 60000 fee 1 USDC", at=1)
        book(entry)
        book(entry)
        assert len(frames(redis_server)) == 1

    def test_frame_row_is_what_a_reader_of_the_table_would_send(self, book, redis_server):
        book(fill("buy 2 @ 60000 fee 1 USDC", at=1))
        live_row = frames(redis_server)[0]["positions"][0]
        account = Position.objects.get().account_id
        redis_server.delete(live.PUBLISHED)
        live.repair()
        repaired = frames(redis_server)[1]["positions"][0]
        assert {name: repaired[name] for name in live_row} == live_row
        assert queries.change_sequences() == [(account, 1)]


class TestTheContiguousMark:
    def append(self, account: int, first: int, last: int | None = None) -> None:
        live.append_change(account=account, first=first, last=last or first, frame={"sequence": first})

    def test_follows_frames_in_order(self):
        for sequence in (1, 2, 3):
            self.append(7, sequence)
        assert live.published() == {7: 3}

    def test_waits_for_a_frame_that_is_overtaken(self):
        for sequence in (1, 3, 4):
            self.append(7, sequence)
        assert live.published() == {7: 1}
        self.append(7, 2)
        assert live.published() == {7: 4}

    def test_takes_a_range_that_fills_the_gap(self):
        for sequence in (1, 4):
            self.append(7, sequence)
        self.append(7, 2, 3)
        assert live.published() == {7: 4}

    def test_is_kept_per_account(self):
        self.append(7, 1)
        self.append(8, 2)
        assert live.published() == {7: 1}


class TestTheRepairer:
    def test_appends_what_a_crash_lost(self, book, account, redis_server, monkeypatch):
        book(fill("buy 1 @ 60000 fee 1 USDC", at=1))
        with monkeypatch.context() as crashed:
            crashed.setattr(
                live, "_append_change", lambda **_: (_ for _ in ()).throw(redis.ConnectionError())
            )
            book(fill("buy 1 @ 60000 fee 1 USDC", at=2))
        live.forget_pause()
        assert live.published() == {account.pk: 1}
        assert live.repair() == {account.pk: 1}
        assert live.published() == {account.pk: 2}
        (row,) = frames(redis_server)[-1]["positions"]
        assert (row["version"], row["quantity"]) == (2, "2")

    def test_has_nothing_to_do_when_all_is_published(self, book, redis_server):
        book(fill("buy 1 @ 60000 fee 1 USDC", at=1))
        assert live.repair() == {}
        assert len(frames(redis_server)) == 1

    def test_publishes_all_again_after_a_flush_under_a_new_epoch(self, book, account, redis_server):
        book(fill("buy 1 @ 60000 fee 1 USDC", at=1))
        before = live.epoch()
        redis_server.flushdb()
        assert live.repair() == {account.pk: 1}
        assert live.epoch() != before

    def test_starts_over_when_the_database_is_older_than_redis(self, book, account, redis_server):
        book(fill("buy 1 @ 60000 fee 1 USDC", at=1))
        redis_server.hset(live.PUBLISHED, str(account.pk), 99)
        assert live.repair() == {account.pk: 1}
        assert live.published() == {account.pk: 1}

    def test_sends_many_rows_in_several_frames(self, book, account, redis_server, monkeypatch):
        monkeypatch.setattr(live, "ROWS_PER_FRAME", 2)
        for n in range(3):
            book(fill("buy 1 @ 60000 fee 1 USDC", at=2 * n), fill("sell 1 @ 60000 fee 1 USDC", at=2 * n + 1))
        redis_server.flushdb()
        live.repair()
        told = [row["id"] for frame in frames(redis_server) for row in frame["positions"]]
        assert sorted(told) == sorted(Position.objects.values_list("pk", flat=True))
        assert len(frames(redis_server)) == 2


class TestADeadRedis:
    def test_does_not_make_a_booking_fail_nor_wait(self, book, monkeypatch):
        calls = []

        def refuse(**_: object) -> None:
            calls.append(1)
            raise redis.ConnectionError("down")

        monkeypatch.setattr(live, "_append_change", refuse)
        done = book(fill("buy 1 @ 60000 fee 1 USDC", at=1))
        assert done.results[0].outcome is ingest.EntryOutcome.BOOKED
        book(fill("buy 1 @ 60000 fee 1 USDC", at=2))
        assert len(calls) == 1
        live.forget_pause()


class TestAnyFrame:
    def test_can_be_appended(self, redis_server):
        token = live.append(kind="feed", frame={"state": "live"}, account=3)
        ((found, fields),) = redis_server.xrange(live.LIVE)
        assert (found.decode(), fields[b"kind"], fields[b"account"]) == (token, b"feed", b"3")
